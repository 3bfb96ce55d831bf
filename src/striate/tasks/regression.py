"""Numbers: squared error of standardized targets, prediction intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.errors import DataError
from striate.metrics import NumberCalibration, fit_prediction_interval
from striate.report import AnyReport, RegressionItems, RunFacts, build_regression_report
from striate.tasks.task import AnyCalibration, Task, Tested
from striate.transfer.probe import LinearProbe, ProbeConfig
from striate.transfer.ridge import STRENGTHS, fit_ridge_probe, ridge_cross_outputs


class Regression(Task):
    """How large a number an item has.

    Raises:
        DataError: the training targets are all the same.
    """

    name = "regression"
    loss = "squared_error"
    metrics = ("squared_error", "mae")

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        assert dataset.targets is not None, "regression needs targets"
        self.num_outputs = 1
        self._targets = dataset.targets
        train = self._targets[dataset.indices("train")]
        if np.ptp(train) == 0:
            raise DataError(
                f"{dataset.name}: the training targets are all {train[0]:g}",
                why="there is nothing to predict",
            )
        self._plain = NumberCalibration(mean=float(train.mean()), std=float(train.std()))

    def training_targets(self, indices: NDArray[np.int64]) -> Tensor:
        """(items, 1) numbers of mean 0 and deviation 1 over the training items."""
        standardized = (self._targets[indices] - self._plain.mean) / self._plain.std
        return torch.from_numpy(standardized).float()[:, None]

    def class_counts(self) -> None:
        """There are no classes."""
        return

    def probe_config(self, seed: int) -> ProbeConfig:
        """The strengths of a ridge regression."""
        return ProbeConfig(strengths=STRENGTHS, seed=seed)

    def can_learn(self, indices: NDArray[np.int64]) -> bool:
        """Whether the targets differ."""
        return len(np.unique(self._targets[indices])) > 1

    def fit_probe(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> LinearProbe:
        """Ridge regression; leave-one-out errors choose its penalty, without chance."""
        return fit_ridge_probe(features[indices], self.training_targets(indices), config)

    def cross_outputs(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """Standardized numbers of folds, without chance."""
        groups = self.dataset.duplicate_groups[indices]
        targets = self.training_targets(indices)
        return ridge_cross_outputs(features[indices], targets, groups, config), indices

    def item_losses(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Squared errors of the standardized numbers, which no calibration changes."""
        errors = (outputs - self.training_targets(indices)).double()
        return np.asarray(errors.square()[:, 0].numpy())

    def calibrated(
        self, outputs: Tensor, indices: NDArray[np.int64]
    ) -> tuple[NumberCalibration, float]:
        """The scale of the training targets with an interval, and the standardized squared error."""
        interval = fit_prediction_interval(
            self._plain.numbers(outputs.numpy()), self._targets[indices]
        )
        return replace(self._plain, interval=interval), self.uncalibrated_loss(outputs, indices)

    def epoch_metrics(self, outputs: Tensor, indices: NDArray[np.int64]) -> Mapping[str, float]:
        """Squared error of standardized numbers, and mean absolute error in the targets' unit."""
        errors = self._plain.numbers(outputs.numpy()) - self._targets[indices]
        return {
            "squared_error": self.uncalibrated_loss(outputs, indices),
            "mae": float(np.abs(errors).mean()),
        }

    def uncalibrated_loss(self, outputs: Tensor, indices: NDArray[np.int64]) -> float:
        """Mean squared error of the standardized numbers."""
        return float((outputs - self.training_targets(indices)).double().square().mean())

    def ignorance(self, indices: NDArray[np.int64]) -> float:
        """Variance of the standardized numbers."""
        return float(self.training_targets(indices).double().var(correction=0))

    def composition(self) -> tuple[str, str]:
        """The range of the targets."""
        return "with numbers", f"from {self._targets.min():g} to {self._targets.max():g}"

    def prediction_columns(self) -> Sequence[str]:
        """The true number, the prediction and its interval."""
        return ["target", "prediction", "low", "high"]

    def prediction_rows(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> Iterator[Sequence[float | str]]:
        """Numbers in the targets' unit; the interval is empty where there is none."""
        assert isinstance(calibration, NumberCalibration)
        numbers = calibration.numbers(outputs.numpy())
        for target, number in zip(self._targets[indices], numbers, strict=True):
            interval = calibration.interval
            limits: list[float | str] = ["", ""]
            if interval is not None:
                limits = [
                    _digits(number - interval.half_width),
                    _digits(number + interval.half_width),
                ]
            yield [_digits(target), _digits(number), *limits]

    def report(self, facts: RunFacts, tested: Tested, *, seed: int) -> AnyReport:
        """The evaluation."""
        assert isinstance(tested.calibration, NumberCalibration)
        dataset = self.dataset
        test = dataset.indices("test")
        probe = tested.probe
        items = RegressionItems(
            ids=dataset.ids(test),
            targets=self._targets[test],
            predictions=tested.calibration.numbers(tested.outputs.numpy()),
            training_mean=self._plain.mean,
            interval=tested.calibration.interval,
            groups=dataset.duplicate_groups[test],
            probe_predictions=None if probe is None else self._plain.numbers(probe.test.numpy()),
            leaked=self.leaked(),
        )
        return build_regression_report(facts, items, seed=seed)


def _digits(value: float) -> float:
    """Nine significant digits: a number, for a text that begins with a minus is escaped."""
    return float(f"{value:.9g}")
