"""Classes as a fit learns them: targets, cross entropy, calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.names import in_order
from striate.data.source import Item, Note
from striate.data.target import Target
from striate.errors import DataError, one_line
from striate.metrics.calibration import negative_log_likelihood
from striate.metrics.classification import roc_area_bound
from striate.metrics.items.label_errors import DoubtfulLabel, doubtful_labels
from striate.report import EvaluatedItems, RunFacts
from striate.tasks.classification.report import (
    FEW_CLASS_ITEMS,
    ClassificationReport,
    build_report,
)
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.objective import Indices, Objective
from striate.tasks.prediction import Calibration
from striate.train.losses import CrossEntropy, balanced_weights
from striate.transfer.logistic_probe import class_folds, cross_outputs, fit_probe
from striate.transfer.probe import LinearProbe, ProbeConfig
from striate.transfer.ridge_probe import fit_ridge_probe, ridge_cross_outputs, wanted_logits

LABEL_SMOOTHING: Final = 0.05
"""Share of each target that is spread evenly over the classes while a network is trained."""

BALANCE_FROM: Final = 3.0
"""Ratio of the largest to the smallest class from which the loss weighs classes alike."""

MAX_IMBALANCE: Final = 100
"""Ratio of the largest to the smallest class beyond which a user is warned."""

TOLD_APART: Final = 0.85
"""Area under the ROC curve of two classes below which they are not told apart."""

_NUM_CLASSES_NAMED: Final = 10


@dataclass(frozen=True, kw_only=True)
class ClassTarget(Target):
    """The class number of each item; the classes are in the order of numbers or names."""

    @classmethod
    def of(cls, labels: Sequence[str]) -> Self:
        """The target of items with these labels."""
        classes = tuple(in_order(labels))
        number = {name: k for k, name in enumerate(classes)}
        numbers = np.array([number[label] for label in labels], np.int64)
        return cls(classes=classes, values=numbers, strata=numbers, answers=numbers)

    def text(self, index: int) -> str:
        """The name of an item's class."""
        return self.classes[int(self.values[index])]

    def counts(self) -> NDArray[np.int64]:
        """(classes,) Number of items of each class."""
        return np.bincount(self.values, minlength=len(self.classes))

    def overview(self) -> dict[str, Any]:
        """The number of items of each class."""
        return {"classes": dict(zip(self.classes, self.counts().tolist(), strict=True))}

    def check_splits(self, splits: NDArray[np.str_]) -> None:
        """Make sure that every class of another split is in training.

        Raises:
            DataError: It is not so.
        """
        trained = set(self.values[splits == "train"].tolist())
        for name in ("val", "test"):
            unknown = sorted(set(self.values[splits == name].tolist()) - trained)
            if unknown:
                names = few([self.classes[k] for k in unknown])
                raise DataError(
                    f"{name} has classes that train has not: {names}",
                    fix=f"add items of them to train, or leave them out of {name}",
                )

    def split_notes(self, items: Sequence[Item], splits: NDArray[np.str_]) -> tuple[Note, ...]:
        """What a user should know of the classes' sizes in the splits."""
        classes, counts = self.classes, self.counts()
        notes = []
        for number in np.flatnonzero(counts == 1).tolist():
            only = int(np.flatnonzero(self.values == number)[0])
            message = (
                f"class {classes[number]!r} has one item: it is in {splits[only]}, nowhere else"
            )
            ids, advice = (items[only].id,), "add items of it, or leave it out"
            notes.append(Note(code="single-item-class", message=message, ids=ids, advice=advice))
        for name in ("val", "test"):
            there = set(self.values[splits == name].tolist())
            absent = [classes[k] for k in np.flatnonzero(counts > 1).tolist() if k not in there]
            if absent and there:
                message = f"no item of {few(absent)} in {name}: figures there leave them out"
                advice = "add items of it, or fit with --folds 5, which tests every item"
                notes.append(Note(code="class-not-in-split", message=message, advice=advice))
        notes += self._few_note(splits)
        most, fewest = int(counts.argmax()), int(counts.argmin())
        if counts[most] > MAX_IMBALANCE * counts[fewest]:
            message = (
                f"{counts[most]} items of {classes[most]!r} and {counts[fewest]} of "
                f"{classes[fewest]!r}"
            )
            advice = "read the figures of each class, not the accuracy alone"
            notes.append(Note(code="imbalance", message=message, advice=advice))
        return tuple(notes)

    def _few_note(self, splits: NDArray[np.str_]) -> list[Note]:
        """A note of the classes that have too few test items for a figure of their own."""
        tested = np.bincount(self.values[splits == "test"], minlength=len(self.classes))
        order = np.argsort(tested, kind="stable")
        small = [k for k in order.tolist() if 0 < tested[k] < FEW_CLASS_ITEMS]
        if not small:
            return []
        named = few([f"{self.classes[k]} ({tested[k]})" for k in small])
        message = f"too few test items to tell how well a class is found: {named}"
        advice = "add items of them, or fit with --folds 5, which tests every item"
        return [Note(code="few-test-items", message=message, severity="info", advice=advice)]


class ClassificationObjective(Objective):
    """Which of some classes an item belongs to."""

    metrics = ("log_loss", "accuracy")
    error_name = "share of wrong answers"

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.num_outputs = len(dataset.classes)

    def training_targets(self, indices: Indices) -> Tensor:
        """(items,) Class numbers."""
        return torch.from_numpy(self.values[indices])

    def loss(self) -> CrossEntropy:
        """Cross entropy, in which classes weigh alike where their sizes differ much."""
        counts = self._training_counts()
        balanced = float(counts.max() / counts.min().clamp(min=1)) > BALANCE_FROM
        weights = balanced_weights(counts) if balanced else None
        return CrossEntropy(label_smoothing=LABEL_SMOOTHING, class_weights=weights)

    def probe_config(self, seed: int) -> ProbeConfig:
        """The values of C of a logistic regression."""
        return ProbeConfig(seed=seed)

    def can_learn(self, indices: Indices) -> bool:
        """Whether each class occurs."""
        return len(np.unique(self.values[indices])) == self.num_outputs

    def fit_probe(self, features: Tensor, indices: Indices, config: ProbeConfig) -> LinearProbe:
        """Logistic regression, its C chosen by cross-validation in these items.

        Ridge regression of the classes, its C chosen by leave-one-out errors, where `config` says
        so.
        """
        if config.squared:
            return fit_ridge_probe(
                features[indices], wanted_logits(self.membership(indices)), config
            )
        return fit_probe(*self._items(features, indices), **self._folds(indices, config))

    def cross_outputs(
        self,
        features: Tensor,
        indices: Indices,
        config: ProbeConfig,
        judged: Tensor | None = None,
    ) -> tuple[Tensor, Indices]:
        """Logits of stratified folds."""
        folds = self._folds(indices, config)
        judged = features if judged is None else judged
        if config.squared:
            parts = class_folds(self.values[indices], folds["groups"], config)
            outputs, covered = ridge_cross_outputs(
                features[indices],
                wanted_logits(self.membership(indices)),
                parts,
                config,
                judged[indices],
            )
            return outputs, indices[covered]
        outputs, covered = cross_outputs(
            *self._items(features, indices), judged=judged[indices], **folds
        )
        return outputs, indices[covered]

    def membership(self, indices: Indices) -> NDArray[np.bool_]:
        """Which items are of which class."""
        return np.asarray(self.values[indices][:, None] == np.arange(self.num_outputs))

    def not_told_apart(self, outputs: Tensor, indices: Indices) -> str:
        """A class and the one it is most taken for, where the area under their ROC curve is small."""
        logits, labels = outputs.double().numpy(), self.values[indices]
        for first in np.unique(labels).tolist():
            others = np.setdiff1d(labels, [first])
            if not len(others):
                continue
            second = int(others[logits[labels == first].mean(0)[others].argmax()])
            scores = logits[:, first] - logits[:, second]
            area = roc_area_bound(scores[labels == first], scores[labels == second])
            if area < TOLD_APART:
                return f"{self.dataset.classes[first]!r} and {self.dataset.classes[second]!r}"
        return ""

    def doubtful_labels(self, outputs: Tensor, indices: Indices) -> list[DoubtfulLabel]:
        """By the calibrated probabilities."""
        calibration, _ = self.calibrate(outputs, indices)
        return doubtful_labels(calibration.answers(outputs.numpy()), self.values[indices])

    def item_losses(
        self, outputs: Tensor, calibration: Calibration, indices: Indices
    ) -> NDArray[np.float64]:
        """Negative log likelihoods."""
        probabilities = calibration.answers(outputs.numpy())
        chosen = probabilities[np.arange(len(indices)), self.values[indices]]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)))

    def item_errors(self, answers: NDArray[np.float64], indices: Indices) -> NDArray[np.float64]:
        """1 where another class than the item's is the most probable one."""
        return np.asarray(answers.argmax(1) != self.values[indices], np.float64)

    def calibrate(self, outputs: Tensor, indices: Indices) -> tuple[ClassCalibration, float]:
        """A temperature, shifts of classes where they help, sets, what the aim asks; the log loss."""
        labels, logits = self.values[indices], outputs.numpy()
        calibration = ClassCalibration.fitted(logits, labels).with_sets(logits, labels)
        if self.aim:
            calibration = calibration.deciding(logits, labels, self.aim, self.dataset.classes)
        return calibration, negative_log_likelihood(calibration.scaled(logits), labels)

    def epoch_metrics(self, outputs: Tensor, indices: Indices) -> Mapping[str, float]:
        """Log loss and accuracy of calibrated probabilities."""
        labels = self.values[indices]
        scaled = ClassCalibration.fitted(outputs.numpy(), labels).scaled(outputs.numpy())
        return {
            "log_loss": negative_log_likelihood(scaled, labels),
            "accuracy": float((scaled.argmax(1) == labels).mean()),
        }

    def null_loss(self, indices: Indices) -> float:
        """Entropy of the classes' shares."""
        labels = self.values[indices]
        shares = np.bincount(labels) / len(labels)
        return float(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))

    def composition(self) -> tuple[str, str]:
        """The first classes with their counts."""
        counts = list(self.dataset.target.overview()["classes"].items())[:_NUM_CLASSES_NAMED]
        return f"in {self.num_outputs} classes", one_line(
            ", ".join(f"{name} {n}" for name, n in counts)
        )

    def constant(self) -> NDArray[np.float64]:
        """The classes' shares in training."""
        counts = self._training_counts().double().numpy()
        return np.asarray(counts / counts.sum())

    def uncalibrated_answers(self, outputs: Tensor) -> NDArray[np.float64]:
        """Probabilities."""
        return outputs.double().softmax(1).numpy()

    def report(self, facts: RunFacts, items: EvaluatedItems, *, seed: int) -> ClassificationReport:
        """The evaluation of a classifier."""
        return build_report(facts, items, seed=seed)

    def _items(self, features: Tensor, indices: Indices) -> tuple[Tensor, Tensor, int]:
        return features[indices], self.training_targets(indices), self.num_outputs

    def _folds(self, indices: Indices, config: ProbeConfig) -> dict[str, Any]:
        config = replace(config, quick=self.quick)
        return {"config": config, "groups": self.dataset.duplicate_groups[indices]}

    def _training_counts(self) -> Tensor:
        """(classes,) Number of training items of each class."""
        labels = self.training_targets(self.dataset.indices("train"))
        return torch.bincount(labels, minlength=self.num_outputs)
