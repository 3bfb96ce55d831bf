"""All metrics of a classifier on one set of items, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from striate.errors import ArgumentError
from striate.metrics import confusion
from striate.metrics.area_interval import class_area_intervals
from striate.metrics.confusion import class_counts, confusion_matrix
from striate.metrics.intervals import (
    NUM_RESAMPLES,
    Draws,
    Estimate,
    Numbers,
    Weights,
    bootstrap,
    mean_interval,
    share_estimate,
    wider,
)
from striate.metrics.probabilities import class_roc_auc, ece, log_loss, roc_auc
from striate.metrics.reliability import calibration_error

_OF_COUNTS = {
    "accuracy": confusion.accuracy,
    "balanced_accuracy": confusion.balanced_accuracy,
    "macro_f1": confusion.macro_f1,
}
_OF_PROBABILITIES = {"roc_auc": roc_auc, "log_loss": log_loss, "ece": ece}
METRICS = (*_OF_COUNTS, *_OF_PROBABILITIES)
"""The names of the metrics, in the order of a report."""

_MAX_WORK = 3 * 10**8
"""Items times classes times draws: some seconds for a thousand classes."""
_MIN_RESAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """The figures of one class.

    Attributes:
        support: Number of items of the class.
        precision: Share of right ones among the predictions of the class; 0 without any.
        recall: Share of the class's items that are found, with Wilson's interval; undefined where
            the class has no item.
        f1: Harmonic mean of precision and recall; 0 where both are.
        roc_auc: Area of the class against all others; None where either side has no item.
    """

    support: int
    precision: float
    recall: Estimate
    f1: float
    roc_auc: float | None


@dataclass(frozen=True, kw_only=True)
class ClassifierFigures:
    """All figures of a classifier on a set of items.

    Attributes:
        metrics: An estimate for each name in `METRICS`.
        per_class: The figures of each class, in the order of the class numbers.
        confusion: (c, c) Items by class (row) and prediction (column).
    """

    metrics: dict[str, Estimate]
    per_class: tuple[ClassFigures, ...]
    confusion: Int[np.ndarray, "c c"]


def metric_values(
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    weights: Weights | None = None,
    predictions: Numbers | None = None,
) -> dict[str, Draws]:
    """Every metric under each of `b` weightings of the items (one of ones by default).

    NaN where a metric is not defined. The prediction is the first class of highest probability
    unless predictions are given.
    """
    if weights is None:
        weights = np.ones((len(labels), 1))
    if predictions is None:
        predictions = probabilities.argmax(1)
    counts = class_counts(predictions, labels, probabilities.shape[1], weights)
    values = {name: metric(counts) for name, metric in _OF_COUNTS.items()}
    for name, of_probabilities in _OF_PROBABILITIES.items():
        values[name] = of_probabilities(probabilities, labels, weights)
    return values


def evaluate(
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    groups: Numbers | None = None,
    *,
    predictions: Numbers | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> ClassifierFigures:
    """Evaluate a classifier on one set of items.

    Accuracy and recall carry Wilson's interval at the number of independent items, and the
    calibration error that of `calibration_error`, which also frees its value from noise. Everything
    else has a percentile interval of a stratified bootstrap by group. Those of the balanced accuracy
    and of the area under the ROC curve are widened to what closed forms say, which keep a width
    where every item is right, as a bootstrap does not; the macro F1 then has the interval of the
    balanced accuracy. BCa was left out: its acceleration needs a jackknife, quadratic in the items,
    and at hundreds of items changes nothing one could see.

    Args:
        probabilities: A row for each item, which sums to one.
        labels: The class number of each item.
        groups: Number of each item's group (copies, one patient), which counts as one fact; by
            default every item is a group of its own.
        predictions: Number of the class that each item is taken for; by default its most probable
            one.
        num_resamples: Number of draws; fewer (100 at least) where items times classes is very
            large.
        seed: Seed of the draws.

    Raises:
        ArgumentError: There are no items, or the arrays do not fit together.
    """
    _check(probabilities, labels)
    num_classes = probabilities.shape[1]
    if groups is None:
        groups = np.arange(len(labels))
    if predictions is None:
        predictions = probabilities.argmax(1)
    missing = num_classes - len(np.unique(labels))
    per_class = _per_class(probabilities, predictions, labels, groups)
    metrics = bootstrap(
        lambda weights: metric_values(probabilities, labels, weights, predictions),
        labels,
        groups,
        undefined=f"{missing} of {num_classes} classes have no item here",
        intervals={
            name: wider(limits)
            for name, limits in (
                ("balanced_accuracy", _recall_limits(per_class)),
                ("roc_auc", _area_limits(probabilities, labels, groups)),
            )
            if limits is not None
        },
        num_resamples=min(num_resamples, max(_MIN_RESAMPLES, _MAX_WORK // probabilities.size)),
        seed=seed,
    )
    metrics["accuracy"] = share_estimate(float((predictions == labels).mean()), groups)
    metrics["ece"] = calibration_error(probabilities, labels, groups)
    if (predictions == labels).all():
        limits = metrics["balanced_accuracy"].ci95
        metrics["macro_f1"] = Estimate(value=metrics["macro_f1"].value, ci95=limits)
    return ClassifierFigures(
        metrics=metrics,
        per_class=per_class,
        confusion=confusion_matrix(predictions, labels, num_classes),
    )


def _recall_limits(per_class: tuple[ClassFigures, ...]) -> tuple[float, float]:
    """The interval of the mean recall of the classes that have items, which are independent."""
    found = [(of.recall.value, of.recall.ci95) for of in per_class if of.support]
    values, limits = zip(*found, strict=True)
    return mean_interval(np.array(values, np.float64), np.array(limits, np.float64))


def _area_limits(
    probabilities: Float[np.ndarray, "n c"], labels: Numbers, groups: Numbers
) -> tuple[float, float] | None:
    """The interval of the mean area over the classes; None where a class has no item."""
    areas = class_roc_auc(probabilities, labels, np.ones((len(labels), 1)))[:, 0]
    if np.isnan(areas).any():
        return None
    # Of two classes the areas are one figure.
    shown = slice(1, 2) if len(areas) == 2 else slice(None)
    members = labels[:, None] == np.arange(len(areas))[shown]
    return mean_interval(areas[shown], class_area_intervals(areas[shown], members, groups))


def roc_area_bound(positive: Float[np.ndarray, " n"], negative: Float[np.ndarray, " m"]) -> float:
    """Upper bound of the area under the ROC curve, two standard errors above what is observed.

    The standard error is that of scores that tell nothing, the largest there is about.

    Args:
        positive: Scores of the items of the class, of one at least.
        negative: Scores of the others, of one at least.
    """
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))[:n]
    area = (ranks.sum() - n * (n + 1) / 2) / (n * m)
    return float(area + 2 * np.sqrt((n + m + 1) / (12 * n * m)))


def _check(probabilities: Float[np.ndarray, "n c"], labels: Numbers) -> None:
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


def _per_class(
    probabilities: Float[np.ndarray, "n c"], predictions: Numbers, labels: Numbers, groups: Numbers
) -> tuple[ClassFigures, ...]:
    weights = np.ones((len(labels), 1))
    counts = class_counts(predictions, labels, probabilities.shape[1], weights)
    precision, recall, f1, areas = (
        confusion.precision(counts)[:, 0],
        confusion.recall(counts)[:, 0],
        confusion.f1(counts)[:, 0],
        class_roc_auc(probabilities, labels, weights)[:, 0],
    )
    return tuple(
        ClassFigures(
            support=int(counts.support[c, 0]),
            precision=float(np.nan_to_num(precision[c])),
            recall=_recall(float(recall[c]), groups[labels == c]),
            f1=float(np.nan_to_num(f1[c])),
            roc_auc=None if np.isnan(areas[c]) else float(areas[c]),
        )
        for c in range(probabilities.shape[1])
    )


def _recall(value: float, groups: Numbers) -> Estimate:
    if len(groups) == 0:
        return Estimate(value=None, reason="the class has no item here")
    return share_estimate(value, groups)
