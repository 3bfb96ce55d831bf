"""Numbers as a fit learns them: targets, squared error, prediction intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.duplicates import first_appearance
from striate.data.folder_walk import few
from striate.data.source import Item, Note
from striate.data.target import Target
from striate.errors import DataError
from striate.metrics.regression import fit_prediction_interval
from striate.progress import counted
from striate.report import EvaluatedItems, RunFacts
from striate.tasks.objective import Indices, Objective
from striate.tasks.prediction import Calibration
from striate.tasks.regression.report import RegressionReport, build_report
from striate.tasks.regression.scoring import NumberCalibration
from striate.train.losses import SquaredError
from striate.transfer.probe import LinearProbe, ProbeConfig
from striate.transfer.ridge_probe import RIDGE_CS, fit_ridge_probe, group_folds, ridge_cross_outputs

UNIT: Final = "unit"
"""The further column of a manifest that names the unit of the targets."""

_NUM_STRATA: Final = 5

_FAR: Final = 50
"""A number further from the median than so many interquartile ranges is likely a mistake."""


@dataclass(frozen=True, kw_only=True)
class NumberTarget(Target):
    """The number to predict of each item."""

    @classmethod
    def of(cls, items: Sequence[Item]) -> Self:
        """The target of items that all have a number."""
        values = np.array([item.target for item in items], np.float64)
        # Where the user made the splits, a range of numbers need not be in each.
        given = any(item.split for item in items)
        strata = np.zeros(len(items), np.int64) if given else _ranges(values)
        return cls(values=values, strata=strata, answers=first_appearance(values))

    def text(self, index: int) -> str:
        """The number with all its digits."""
        return repr(float(self.values[index]))

    def split_notes(self, items: Sequence[Item], splits: NDArray[np.str_]) -> tuple[Note, ...]:
        """A warning of numbers so far from the others that they are likely none of them."""
        if not len(self.values):
            return ()
        low, middle, high = np.quantile(self.values, (0.25, 0.5, 0.75))
        away = np.abs(self.values - middle)
        far = np.flatnonzero(away > _FAR * (high - low)).tolist()
        if not far or high == low:
            return ()
        order = sorted(far, key=lambda place: -away[place])
        named = few([f"{items[place].id} ({self.values[place]:g})" for place in order])
        message = f"{counted(len(order), 'number')} far from the others, of which half lie from "
        message += f"{low:g} to {high:g}: {named}"
        advice = (
            "look whether they are mistakes, such as a wrong unit or -999 for a missing number: "
        )
        advice += "a few may spoil the model and its figures"
        ids = tuple(items[place].id for place in order)
        return (Note(code="far-target", message=message, ids=ids, advice=advice),)

    def overview(self) -> dict[str, Any]:
        """The smallest and the largest number."""
        return {"targets": [float(self.values.min()), float(self.values.max())]}


class RegressionObjective(Objective):
    """How large a number an item has.

    Raises:
        DataError: The training targets are all the same.
    """

    metrics = ("squared_error", "mae")
    error_name = "mean absolute error"
    error_is_share = False
    num_outputs = 1

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        train = self.values[dataset.indices("train")]
        if np.ptp(train) == 0:
            raise DataError(
                f"{dataset.name}: the training targets are all {train[0]:g}",
                why="there is nothing to predict",
            )
        self._scale = NumberCalibration(
            mean=float(train.mean()), std=float(train.std()), unit=unit_of(dataset.items)
        )

    def training_targets(self, indices: Indices) -> Tensor:
        """(items, 1) Numbers of mean 0 and standard deviation 1 over the training items."""
        standardized = (self.values[indices] - self._scale.mean) / self._scale.std
        return torch.from_numpy(standardized).float()[:, None]

    def loss(self) -> SquaredError:
        """Squared error."""
        return SquaredError()

    def probe_config(self, seed: int) -> ProbeConfig:
        """The inverse penalties of a ridge regression."""
        return ProbeConfig(Cs=RIDGE_CS, seed=seed, squared=True)

    def can_learn(self, indices: Indices) -> bool:
        """Whether the targets differ."""
        return len(np.unique(self.values[indices])) > 1

    def fit_probe(self, features: Tensor, indices: Indices, config: ProbeConfig) -> LinearProbe:
        """Ridge regression; leave-one-out errors choose its penalty, without chance."""
        return fit_ridge_probe(features[indices], self.training_targets(indices), config)

    def cross_outputs(
        self,
        features: Tensor,
        indices: Indices,
        config: ProbeConfig,
        judged: Tensor | None = None,
    ) -> tuple[Tensor, Indices]:
        """Standardized numbers of folds, without chance."""
        judged = features if judged is None else judged
        groups = self.dataset.duplicate_groups[indices]
        targets, folds = self.training_targets(indices), group_folds(groups)
        found, covered = ridge_cross_outputs(
            features[indices], targets, folds, config, judged[indices]
        )
        return found, indices[covered]

    def item_losses(
        self, outputs: Tensor, calibration: Calibration, indices: Indices
    ) -> NDArray[np.float64]:
        """Squared errors of the standardized numbers, which no calibration changes."""
        errors = (outputs - self.training_targets(indices)).double()
        return np.asarray(errors.square()[:, 0].numpy())

    def item_errors(self, answers: NDArray[np.float64], indices: Indices) -> NDArray[np.float64]:
        """Absolute errors, in the unit of the targets."""
        return np.asarray(np.abs(answers - self.values[indices]), np.float64)

    def calibrate(self, outputs: Tensor, indices: Indices) -> tuple[NumberCalibration, float]:
        """The scale of the training targets with an interval, and the standardized squared error."""
        interval = fit_prediction_interval(
            self._scale.answers(outputs.numpy()), self.values[indices]
        )
        return replace(self._scale, interval=interval), self._squared_error(outputs, indices)

    def epoch_metrics(self, outputs: Tensor, indices: Indices) -> Mapping[str, float]:
        """Squared error of standardized numbers, and mean absolute error in the targets' unit."""
        errors = self._scale.answers(outputs.numpy()) - self.values[indices]
        return {
            "squared_error": self._squared_error(outputs, indices),
            "mae": float(np.abs(errors).mean()),
        }

    def null_loss(self, indices: Indices) -> float:
        """Variance of the standardized numbers."""
        return float(self.training_targets(indices).double().var(correction=0))

    def composition(self) -> tuple[str, str]:
        """The range of the targets."""
        unit = f" {self._scale.unit}" if self._scale.unit else ""
        return "with numbers", f"from {self.values.min():g} to {self.values.max():g}{unit}"

    def constant(self) -> NDArray[np.float64]:
        """The mean of the training targets."""
        return np.array([self._scale.mean])

    def uncalibrated_answers(self, outputs: Tensor) -> NDArray[np.float64]:
        """Numbers in the targets' unit."""
        return self._scale.answers(outputs.numpy())

    def report(self, facts: RunFacts, items: EvaluatedItems, *, seed: int) -> RegressionReport:
        """The evaluation of predicted numbers."""
        return build_report(facts, items, seed=seed)

    def _squared_error(self, outputs: Tensor, indices: Indices) -> float:
        """Mean squared error of the standardized numbers."""
        return float((outputs - self.training_targets(indices)).double().square().mean())


def unit_of(items: Sequence[Item]) -> str:
    """The unit that all items name; empty where they name none, or different ones."""
    units = {item.extra.get(UNIT, "") for item in items}
    return units.pop() if len(units) == 1 else ""


def _ranges(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """(items,) the fifth of all numbers that each lies in: every split gets some of each."""
    if not len(values):
        return np.empty(0, np.int64)
    edges = np.quantile(values, np.linspace(0, 1, _NUM_STRATA + 1)[1:-1])
    found = np.searchsorted(edges, values, side="right")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)
