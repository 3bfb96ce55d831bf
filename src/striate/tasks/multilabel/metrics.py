"""All metrics of several labels on one set of items, with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from striate.errors import ArgumentError
from striate.metrics import confusion
from striate.metrics.area_interval import class_area_intervals
from striate.metrics.confusion import ClassCounts, mean_defined, ratio
from striate.metrics.intervals import (
    NUM_RESAMPLES,
    Draws,
    Estimate,
    Numbers,
    Weights,
    bootstrap,
    mean_interval,
    wider,
)
from striate.metrics.probabilities import binary_roc_auc

METRICS: Final = ("map", "micro_f1", "macro_f1", "roc_auc")
"""The names of the metrics, in the order of a report."""

UNDEFINED: Final = "no label is both on some items here and off others"
"""Why a metric has no value."""

_OF_LABEL: Final = "no item here has the label, or all have it"

_MAX_WORK: Final = 10**8
"""Items times labels times draws: some seconds for a hundred labels."""

_MIN_RESAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """The figures of one label.

    Attributes:
        support: Number of items that have the label.
        num_predicted: Number of items for which it is predicted.
        num_correct: Number of items that have the label and for which it is predicted.
        average_precision: Area under the curve of precision over recall.
        roc_auc: Chance that an item with the label is ranked above one without.
        precision: Share of right ones among the predictions of the label; 0 without any.
        recall: Share of the label's items that are found; 0 without any.
        f1: Harmonic mean of precision and recall; 0 where both are.
    """

    support: int
    num_predicted: int
    num_correct: int
    average_precision: Estimate
    roc_auc: Estimate
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class MultilabelFigures:
    """All figures of several labels on a set of items.

    Attributes:
        metrics: An estimate for each name in `METRICS`.
        per_label: The figures of each label, in the order of their numbers.
    """

    metrics: dict[str, Estimate]
    per_label: tuple[LabelFigures, ...]


def average_precision(
    scores: Float[np.ndarray, " n"], has: Bool[np.ndarray, " n"], weights: Weights
) -> Draws:
    """The sum of the precisions at each threshold, each weighted by the gain in recall there.

    NaN where the weights leave no item that has the label. As in scikit-learn's
    `average_precision_score`.

    Args:
        scores: The score of each item.
        has: Whether each item has the label.
        weights: `b` weightings of the items.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    sorted_weights = weights[order]
    above = np.cumsum(sorted_weights, axis=0)[ends]
    found = np.cumsum(sorted_weights * has[order][:, None], axis=0)[ends]
    precision = np.divide(found, above, out=np.zeros_like(found), where=above > 0)
    gains = (np.diff(found, axis=0, prepend=0.0) * precision).sum(0)
    return np.asarray(ratio(gains, found[-1]))


def metric_values(
    probabilities: Float[np.ndarray, "n labels"],
    decided: Bool[np.ndarray, "n labels"],
    truth: Bool[np.ndarray, "n labels"],
    weights: Weights | None = None,
) -> dict[str, Draws]:
    """Every metric under each of `b` weightings of the items (one of ones by default).

    `map` is the mean average precision of the labels that occur, `roc_auc` the mean area of those
    that some items have and others lack, `macro_f1` the mean F1 of those that occur or are
    predicted, and `micro_f1` the F1 of all decisions together. NaN where a metric is undefined.

    Args:
        probabilities: Probability of each label for each item.
        decided: Whether each label is predicted for each item.
        truth: Whether each item has each label.
        weights: Weightings of the items.
    """
    if weights is None:
        weights = np.ones((len(truth), 1))
    precisions, areas = _curves(probabilities, truth, weights)
    return _macro(precisions, areas, _counts(decided, truth, weights))


def evaluate(
    probabilities: Float[np.ndarray, "n labels"],
    decided: Bool[np.ndarray, "n labels"],
    truth: Bool[np.ndarray, "n labels"],
    groups: Numbers | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> MultilabelFigures:
    """Evaluate predictions of several labels on one set of items.

    Every interval is a percentile interval of a bootstrap by group. Those of areas under the ROC
    curve are widened to `area_interval`, which keeps a width where no item is ranked wrongly.

    Args:
        probabilities: Probability of each label for each item.
        decided: Whether each label is predicted for each item.
        truth: Whether each item has each label.
        groups: Number of each item's group (copies, one patient), which counts as one fact; by
            default every item is a group of its own.
        num_resamples: Number of draws; fewer (100 at least) where items times labels is very
            large.
        seed: Seed of the draws.

    Raises:
        ArgumentError: There are no items, or the arrays are of different shapes.
    """
    if not len(truth) or not probabilities.shape == decided.shape == truth.shape:
        raise ArgumentError(
            f"probabilities of shape {probabilities.shape} for labels of shape {truth.shape}",
            fix="give one row an item, at least one, and one column a label",
        )
    num_labels = truth.shape[1]

    def values(weights: Weights) -> dict[str, Draws]:
        precisions, areas = _curves(probabilities, truth, weights)
        single = {f"{name} {k}": row for name, rows in (("ap", precisions), ("auc", areas)) for k, row in enumerate(rows)}  # fmt: skip
        return _macro(precisions, areas, _counts(decided, truth, weights)) | single

    found = bootstrap(
        values,
        np.zeros(len(truth), np.int64),
        groups,
        undefined=_OF_LABEL,
        intervals=_area_intervals(probabilities, truth, groups),
        num_resamples=min(num_resamples, max(_MIN_RESAMPLES, _MAX_WORK // truth.size)),
        seed=seed,
    )
    counts = _counts(decided, truth, np.ones((len(truth), 1)))
    precision, recall, f1 = (
        np.nan_to_num(metric(counts)[:, 0])
        for metric in (confusion.precision, confusion.recall, confusion.f1)
    )
    return MultilabelFigures(
        metrics={name: found[name] for name in METRICS},
        per_label=tuple(
            LabelFigures(
                support=int(counts.support[k, 0]),
                num_predicted=int(counts.predicted[k, 0]),
                num_correct=int(counts.correct[k, 0]),
                average_precision=found[f"ap {k}"],
                roc_auc=found[f"auc {k}"],
                precision=float(precision[k]),
                recall=float(recall[k]),
                f1=float(f1[k]),
            )
            for k in range(num_labels)
        ),
    )


def _area_intervals(
    probabilities: Float[np.ndarray, "n labels"],
    truth: Bool[np.ndarray, "n labels"],
    groups: Numbers | None,
) -> dict[str, Callable[[float, Draws], tuple[float, float]]]:
    """What makes the intervals of the areas, of each label and of their mean, by name."""
    pairs, once = zip(probabilities.T, truth.T, strict=True), np.ones((len(truth), 1))
    areas = np.array([binary_roc_auc(scores, has, once)[0] for scores, has in pairs])
    known = np.flatnonzero(~np.isnan(areas))
    if not len(known):
        return {}
    alone = np.arange(len(truth)) if groups is None else groups
    limits = class_area_intervals(areas, truth, alone)[known]
    made = {f"auc {k}": wider((low, high)) for k, (low, high) in zip(known, limits, strict=True)}
    return {**made, "roc_auc": wider(mean_interval(areas[known], limits))}


def _counts(
    decided: Bool[np.ndarray, "n labels"], truth: Bool[np.ndarray, "n labels"], weights: Weights
) -> ClassCounts:
    """Weighted counts of each label: right predictions, items with it, predictions."""
    correct, support, predicted = (
        members.T.astype(np.float64) @ weights for members in (decided & truth, truth, decided)
    )
    return ClassCounts(correct=correct, support=support, predicted=predicted)


def _curves(
    probabilities: Float[np.ndarray, "n labels"],
    truth: Bool[np.ndarray, "n labels"],
    weights: Weights,
) -> tuple[Float[np.ndarray, "labels b"], Float[np.ndarray, "labels b"]]:
    """Average precision and area under the ROC curve of each label."""
    pairs = list(zip(probabilities.T, truth.T, strict=True))
    return (
        np.stack([average_precision(scores, has, weights) for scores, has in pairs]),
        np.stack([binary_roc_auc(scores, has, weights) for scores, has in pairs]),
    )


def _macro(
    precisions: Float[np.ndarray, "labels b"],
    areas: Float[np.ndarray, "labels b"],
    counts: ClassCounts,
) -> dict[str, Draws]:
    right, said = counts.correct.sum(0), counts.support.sum(0) + counts.predicted.sum(0)
    return {
        "map": mean_defined(precisions),
        "micro_f1": ratio(2 * right, said),
        "macro_f1": confusion.macro_f1(counts),
        "roc_auc": mean_defined(areas),
    }
