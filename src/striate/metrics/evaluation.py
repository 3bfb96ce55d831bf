"""All metrics of a classifier on one set of items, with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from striate.errors import ArgumentError
from striate.metrics import confusion
from striate.metrics.bootstrap import NUM_RESAMPLES, resampling_weights
from striate.metrics.confusion import ClassCounts, class_counts, confusion_matrix
from striate.metrics.intervals import (
    Estimate,
    ece_interval,
    effective_size,
    percentile_interval,
    wilson_interval,
)
from striate.metrics.ranking import class_roc_auc, roc_auc
from striate.metrics.reliability import ece, log_loss

_OF_COUNTS: dict[str, Callable[[ClassCounts], Float[np.ndarray, " b"]]] = {
    "accuracy": confusion.accuracy,
    "balanced_accuracy": confusion.balanced_accuracy,
    "macro_f1": confusion.macro_f1,
}
_OF_PROBABILITIES: dict[str, Callable[..., Float[np.ndarray, " b"]]] = {
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "ece": ece,
}
METRICS = (*_OF_COUNTS, *_OF_PROBABILITIES)
"""The names of the metrics, in the order of a report."""

_MAX_WORK = 3 * 10**8
"""Items times classes times draws: some seconds for a thousand classes."""
_MIN_RESAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """The figures of one class.

    Attributes:
        support: items of the class.
        precision: 0 where nothing was predicted as this class; likewise F1 without both.
        recall: with Wilson's interval; undefined where the class has no item.
        f1: harmonic mean of precision and recall.
        roc_auc: the class against all others; None where either side has no item.
    """

    support: int
    precision: float
    recall: Estimate
    f1: float
    roc_auc: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a set of items says of a classifier.

    Attributes:
        metrics: one estimate for each name in `METRICS`.
        per_class: figures by class number.
        confusion: (c, c) items by class (row) and prediction (column).
    """

    metrics: dict[str, Estimate]
    per_class: tuple[ClassFigures, ...]
    confusion: Int[np.ndarray, "c c"]


def metric_values(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"] | None = None,
) -> dict[str, Float[np.ndarray, " b"]]:
    """Every metric under each of `b` weightings of the items (one of ones by default).

    NaN where a metric is not defined. The prediction is the first class of highest probability.
    """
    if weights is None:
        weights = np.ones((len(labels), 1))
    counts = class_counts(probabilities.argmax(1), labels, probabilities.shape[1], weights)
    values = {name: metric(counts) for name, metric in _OF_COUNTS.items()}
    for name, metric in _OF_PROBABILITIES.items():
        values[name] = metric(probabilities, labels, weights)
    return values


def evaluate(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a classifier on one set of items.

    Accuracy and recall carry Wilson's interval at the number of independent items (an interval
    with a width at 100 % too); everything else a percentile interval of a stratified bootstrap
    by group, which is mirrored for the calibration error (`ece_interval`). BCa was left out: its acceleration needs a
    jackknife, quadratic in the items, and at hundreds of items changes nothing one could see.

    Args:
        probabilities: rows that sum to one.
        labels: class numbers.
        groups: items of one number (copies, one patient) count as one fact; all apart by default.
        num_resamples: draws; fewer (100 at least) where items times classes is very large.
        seed: of the draws.

    Raises:
        ArgumentError: no items, or arrays that do not fit together.
    """
    _check(probabilities, labels)
    if groups is None:
        groups = np.arange(len(labels))
    affordable = max(_MIN_RESAMPLES, _MAX_WORK // probabilities.size)
    blocks = [
        metric_values(probabilities, labels, weights)
        for weights in resampling_weights(labels, groups, min(num_resamples, affordable), seed)
    ]
    values = metric_values(probabilities, labels)
    metrics = {
        name: _estimate(name, float(values[name][0]), np.concatenate([b[name] for b in blocks]))
        for name in METRICS
    }
    if metrics["roc_auc"].value is None:
        missing = probabilities.shape[1] - len(np.unique(labels))
        reason = f"{missing} of {probabilities.shape[1]} classes have no item here"
        metrics["roc_auc"] = Estimate(value=None, reason=reason)
    accuracy = float(values["accuracy"][0])
    metrics["accuracy"] = Estimate(
        value=accuracy, ci95=wilson_interval(accuracy, effective_size(groups))
    )
    predictions = probabilities.argmax(1)
    return Evaluation(
        metrics=metrics,
        per_class=_per_class(probabilities, labels, groups),
        confusion=confusion_matrix(predictions, labels, probabilities.shape[1]),
    )


def _check(probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> None:
    if len(labels) == 0:
        raise ArgumentError(
            "nothing to evaluate", why="there is no item", fix="give labelled items"
        )
    if probabilities.ndim != 2 or probabilities.shape[0] != len(labels):
        raise ArgumentError(
            f"probabilities of shape {probabilities.shape} for {len(labels)} labels",
            fix="give one row an item and one column a class",
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ArgumentError(
            f"labels from {labels.min()} to {labels.max()}",
            why=f"there are {probabilities.shape[1]} classes, numbered from 0",
        )


def _estimate(name: str, value: float, draws: Float[np.ndarray, " b"]) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None)
    interval = ece_interval(value, draws) if name == "ece" else percentile_interval(draws)
    reason = "" if interval else "the figure is the same in every resample of these items"
    return Estimate(value=value, ci95=interval, reason=reason)


def _per_class(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
) -> tuple[ClassFigures, ...]:
    weights = np.ones((len(labels), 1))
    num_classes = probabilities.shape[1]
    counts = class_counts(probabilities.argmax(1), labels, num_classes, weights)
    precision, recall, f1 = (
        confusion.precision(counts),
        confusion.recall(counts),
        confusion.f1(counts),
    )
    areas = class_roc_auc(probabilities, labels, weights)
    return tuple(
        ClassFigures(
            support=int(counts.support[c, 0]),
            precision=float(np.nan_to_num(precision[c, 0])),
            recall=_recall(float(recall[c, 0]), groups[labels == c]),
            f1=float(np.nan_to_num(f1[c, 0])),
            roc_auc=None if np.isnan(areas[c, 0]) else float(areas[c, 0]),
        )
        for c in range(num_classes)
    )


def _recall(value: float, groups: Int[np.ndarray, " n"]) -> Estimate:
    if len(groups) == 0:
        return Estimate(value=None, reason="the class has no item here")
    return Estimate(value=value, ci95=wilson_interval(value, effective_size(groups)))
