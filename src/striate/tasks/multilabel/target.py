"""Several labels as a fit learns them: targets, binary cross entropy, calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.source import Item, Note
from striate.data.target import Target
from striate.errors import DataError, one_line
from striate.report import EvaluatedItems, RunFacts
from striate.tasks.multilabel.labels import joined, label_sets, membership, named_labels
from striate.tasks.multilabel.loss import BinaryCrossEntropy
from striate.tasks.multilabel.metrics import metric_values
from striate.tasks.multilabel.probe import fit_label_probes, label_cross_outputs
from striate.tasks.multilabel.report import MultilabelReport, build_report
from striate.tasks.multilabel.scoring import DEFAULT_THRESHOLD, LabelCalibration
from striate.tasks.objective import Indices, Objective
from striate.tasks.prediction import Calibration
from striate.transfer.probe import LinearProbe, ProbeConfig

_NUM_LABELS_NAMED: Final = 10


@dataclass(frozen=True, kw_only=True)
class LabelTarget(Target):
    """Whether each item has each label, (items, labels); the labels are in alphabetical order."""

    @classmethod
    def of(cls, items: Sequence[Item], name: str) -> Self:
        """The target of items.

        Args:
            items: Items of one table.
            name: Name of their data, for messages.

        Raises:
            DataError: No item has a label, or a label is on every item or on none.
        """
        classes, sets = named_labels(items), label_sets(items)
        if not classes:
            raise DataError(
                f"{name}: no item has a label", fix="fill in the column labels for some of them"
            )
        members = membership(sets, classes)
        for counts, where in (
            ((~members).sum(0), "every item has"),
            (members.sum(0), "no item has"),
        ):
            constant = [classes[k] for k in np.flatnonzero(counts == 0)]
            if constant and len(items):
                raise DataError(
                    f"{name}: {where} the label {few(constant)}",
                    why="there is nothing to tell apart",
                    fix="take it out, or add items of the other sort",
                )
        answers = np.unique(members, axis=0, return_inverse=True)[1].reshape(-1)
        return cls(classes=classes, values=members, strata=members, answers=answers)

    def text(self, index: int) -> str:
        """The labels of an item."""
        return joined(self.classes[k] for k in np.flatnonzero(self.values[index]))

    def overview(self) -> dict[str, Any]:
        """The number of items of each label, and of those without any."""
        return {
            "classes": dict(zip(self.classes, self.values.sum(0).tolist(), strict=True)),
            "without_label": int((~self.values.any(1)).sum()),
        }

    def check_splits(self, splits: NDArray[np.str_]) -> None:
        """Make sure that every label of another split is in training.

        Raises:
            DataError: It is not so.
        """
        trained = self.values[splits == "train"].any(0)
        for name in ("val", "test"):
            unknown = np.flatnonzero(self.values[splits == name].any(0) & ~trained)
            if len(unknown):
                names = few([self.classes[k] for k in unknown])
                raise DataError(
                    f"{name} has labels that train has not: {names}",
                    fix=f"add items of them to train, or leave them out of {name}",
                )

    def split_notes(self, items: Sequence[Item], splits: NDArray[np.str_]) -> tuple[Note, ...]:
        """What a user should know of the labels in the splits."""
        notes = []
        counts = self.values.sum(0)
        for number in np.flatnonzero(counts == 1).tolist():
            only = int(np.flatnonzero(self.values[:, number])[0])
            message = f"label {self.classes[number]!r} has one item: it is in {splits[only]}, nowhere else"
            ids, advice = (items[only].id,), "add items of it, or leave the label out"
            notes.append(Note(code="single-item-label", message=message, ids=ids, advice=advice))
        for name in ("val", "test"):
            there = self.values[splits == name]
            absent = [self.classes[k] for k in np.flatnonzero((counts > 1) & ~there.any(0))]
            if absent and len(there):
                message = f"no item of {few(absent)} in {name}: figures there leave them out"
                advice = "add items of it, or fit with --folds 5, which tests every item"
                notes.append(Note(code="label-not-in-split", message=message, advice=advice))
        return tuple(notes)


class MultilabelObjective(Objective):
    """Which of some labels an item has."""

    metrics = ("log_loss", "map")
    error_name = "share of wrong labels"

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.num_outputs = len(dataset.classes)

    def training_targets(self, indices: Indices) -> Tensor:
        """(items, labels) 1 where an item has a label, else 0."""
        return torch.from_numpy(self.values[indices]).float()

    def loss(self) -> BinaryCrossEntropy:
        """Binary cross entropy."""
        return BinaryCrossEntropy()

    def probe_config(self, seed: int) -> ProbeConfig:
        """The values of C of the logistic regressions."""
        return ProbeConfig(seed=seed)

    def can_learn(self, indices: Indices) -> bool:
        """Whether each label is on some items and off others."""
        members = self.values[indices]
        return len(members) > 0 and bool((members.any(0) & ~members.all(0)).all())

    def fit_probe(self, features: Tensor, indices: Indices, config: ProbeConfig) -> LinearProbe:
        """A logistic regression for each label, their C chosen by cross-validation."""
        return fit_label_probes(features[indices], *self._answers(indices), config)

    def cross_outputs(
        self,
        features: Tensor,
        indices: Indices,
        config: ProbeConfig,
        judged: Tensor | None = None,
    ) -> tuple[Tensor, Indices]:
        """Logits of folds that hold every label in proportion."""
        judged = features if judged is None else judged
        return (
            label_cross_outputs(
                features[indices], *self._answers(indices), config, judged=judged[indices]
            ),
            indices,
        )

    def membership(self, indices: Indices) -> NDArray[np.bool_]:
        """Which items have which label."""
        return np.asarray(self.values[indices])

    def item_losses(
        self, outputs: Tensor, calibration: Calibration, indices: Indices
    ) -> NDArray[np.float64]:
        """Binary cross entropies, the mean over the labels."""
        probabilities = calibration.answers(outputs.numpy())
        chosen = np.where(self.values[indices], probabilities, 1 - probabilities)
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).eps)).mean(1))

    def item_errors(self, answers: NDArray[np.float64], indices: Indices) -> NDArray[np.float64]:
        """The share of each item's labels that are wrong where the threshold is one half."""
        decided = answers >= DEFAULT_THRESHOLD
        return np.asarray((decided != self.values[indices]).mean(1), np.float64)

    def calibrate(self, outputs: Tensor, indices: Indices) -> tuple[LabelCalibration, float]:
        """Scale, shift and threshold of each label, and the log loss."""
        calibration = LabelCalibration.fitted(outputs.numpy(), self.values[indices])
        return calibration, float(self.item_losses(outputs, calibration, indices).mean())

    def epoch_metrics(self, outputs: Tensor, indices: Indices) -> Mapping[str, float]:
        """Log loss of calibrated probabilities, and mean average precision."""
        calibration, loss = self.calibrate(outputs, indices)
        probabilities = calibration.answers(outputs.numpy())
        decided = calibration.decided(probabilities)
        (found,) = metric_values(probabilities, decided, self.values[indices])["map"]
        return {"log_loss": loss, "map": float(found)}

    def null_loss(self, indices: Indices) -> float:
        """Entropy of the labels' shares, the mean over the labels."""
        shares = self.values[indices].mean(0)
        both = np.concatenate([shares, 1 - shares])
        both = both[both > 0]
        return float(-(both * np.log(both)).sum() / len(shares))

    def composition(self) -> tuple[str, str]:
        """The first labels with their counts, and how many items have none."""
        found = self.dataset.target.overview()
        counts = [f"{name} {n}" for name, n in list(found["classes"].items())[:_NUM_LABELS_NAMED]]
        if found["without_label"]:
            counts.append(f"none {found['without_label']}")
        noun = "label" if self.num_outputs == 1 else "labels"
        return f"with {self.num_outputs} {noun}", one_line(", ".join(counts))

    def constant(self) -> NDArray[np.float64]:
        """The labels' shares in training."""
        return np.asarray(self.values[self.dataset.indices("train")].mean(0))

    def uncalibrated_answers(self, outputs: Tensor) -> NDArray[np.float64]:
        """Probabilities."""
        return outputs.double().sigmoid().numpy()

    def report(self, facts: RunFacts, items: EvaluatedItems, *, seed: int) -> MultilabelReport:
        """The evaluation of predicted labels."""
        return build_report(facts, items, seed=seed)

    def _answers(self, indices: Indices) -> tuple[Bool[np.ndarray, "n labels"], Indices]:
        """Whether items have the labels, and the groups of the items."""
        return self.values[indices], self.dataset.duplicate_groups[indices]
