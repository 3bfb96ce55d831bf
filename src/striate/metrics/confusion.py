"""Counts of right and wrong decisions, and the metrics that are made of them.

Everything takes weights "n b": `b` weightings of the same `n` items. Ones give the plain metric,
the counts of a bootstrap draw give a resampled one, and both come from the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Weighted counts of each class, (c, b).

    Attributes:
        correct: Items of the class that were predicted as it (true positives).
        support: Items of the class.
        predicted: Items predicted as the class.
    """

    correct: Float[np.ndarray, "c b"]
    support: Float[np.ndarray, "c b"]
    predicted: Float[np.ndarray, "c b"]


def sum_by(
    values: Float[np.ndarray, "n b"], index: Int[np.ndarray, " n"], size: int
) -> Float[np.ndarray, "size b"]:
    """The sum of the rows of `values` that share an index; zero where an index does not occur."""
    from scipy.sparse import csr_array  # slow to import

    num_items = len(index)
    sums = csr_array((np.ones(num_items), (index, np.arange(num_items))), shape=(size, num_items))
    return np.asarray(sums @ values)


def class_counts(
    predictions: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    num_classes: int,
    weights: Float[np.ndarray, "n b"],
) -> ClassCounts:
    """Count right decisions, items and predictions of each class."""
    right = weights * (predictions == labels)[:, None]
    return ClassCounts(
        correct=sum_by(right, labels, num_classes),
        support=sum_by(weights, labels, num_classes),
        predicted=sum_by(weights, predictions, num_classes),
    )


def confusion_matrix(
    predictions: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], num_classes: int
) -> Int[np.ndarray, "c c"]:
    """Items by class (row) and prediction (column)."""
    cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def accuracy(counts: ClassCounts) -> Float[np.ndarray, " b"]:
    """The share of items that are classified correctly."""
    return ratio(counts.correct.sum(0), counts.support.sum(0))


def precision(counts: ClassCounts) -> Float[np.ndarray, "c b"]:
    """The share of right ones among the predictions of each class; NaN without predictions."""
    return ratio(counts.correct, counts.predicted)


def recall(counts: ClassCounts) -> Float[np.ndarray, "c b"]:
    """The share of each class's items that are found; NaN without items."""
    return ratio(counts.correct, counts.support)


def f1(counts: ClassCounts) -> Float[np.ndarray, "c b"]:
    """The harmonic mean of precision and recall; NaN with neither items nor predictions."""
    return ratio(2 * counts.correct, counts.support + counts.predicted)


def balanced_accuracy(counts: ClassCounts) -> Float[np.ndarray, " b"]:
    """The mean recall of the classes that have items."""
    return mean_defined(recall(counts))


def macro_f1(counts: ClassCounts) -> Float[np.ndarray, " b"]:
    """The mean F1 of the classes that have items or predictions (as in scikit-learn)."""
    return mean_defined(f1(counts))


def ratio(
    numerator: Float[np.ndarray, "*shape"], denominator: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Quotient with NaN, and no warning, where the denominator is zero."""
    undefined = np.full_like(numerator, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=denominator > 0))


def mean_defined(values: Float[np.ndarray, "c b"]) -> Float[np.ndarray, " b"]:
    """Mean over the classes that are not NaN."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(0), defined.sum(0).astype(float))
