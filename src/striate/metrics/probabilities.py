"""Metrics of class probabilities: areas under the ROC curve, log loss and calibration error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from striate.metrics.confusion import sum_by
from striate.metrics.intervals import Draws, Numbers, Weights

NUM_BINS = 15
"""Equal-width bins of the top class's probability, the number of Guo et al. (ICML 2017)."""


def binary_roc_auc(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], weights: Weights
) -> Draws:
    """The chance that a positive item scores above a negative one; a tie counts one half.

    NaN where the weights leave no positive or no negative item.

    What a positive item beats among all items is read off one running sum; the pairs of two
    positives among them win half of their weight, whatever the scores.
    """
    order = np.argsort(scores)
    running = np.zeros((len(scores) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=running[1:])
    ascending, found = scores[order], scores[positive]
    below = running[np.searchsorted(ascending, found, side="left")]
    not_above = running[np.searchsorted(ascending, found, side="right")]
    of_positives = weights[positive]
    num_positives = of_positives.sum(0)
    wins = np.einsum("pb,pb->b", of_positives, below + not_above) / 2 - num_positives**2 / 2
    pairs = num_positives * (running[-1] - num_positives)
    undefined = np.full_like(wins, np.nan)
    return np.asarray(np.divide(wins, pairs, out=undefined, where=pairs > 0))


def class_roc_auc(
    probabilities: Float[np.ndarray, "n c"], labels: Numbers, weights: Weights
) -> Float[np.ndarray, "c b"]:
    """The area of each class against all others; NaN where a class or its others have no item."""
    columns = range(probabilities.shape[1])
    return np.stack([binary_roc_auc(probabilities[:, c], labels == c, weights) for c in columns])


def roc_auc(probabilities: Float[np.ndarray, "n c"], labels: Numbers, weights: Weights) -> Draws:
    """The area of class 1 of two, or the plain mean of one-versus-rest areas of more.

    NaN where a class has no item, as in scikit-learn's `roc_auc_score`, which raises there.
    """
    if probabilities.shape[1] == 2:
        return binary_roc_auc(probabilities[:, 1], labels == 1, weights)
    return np.asarray(class_roc_auc(probabilities, labels, weights).mean(0))


def log_loss(probabilities: Float[np.ndarray, "n c"], labels: Numbers, weights: Weights) -> Draws:
    """Mean negative log probability of the true class, in nats.

    Probabilities are held above float64's epsilon, as in scikit-learn, so a zero stays finite.
    """
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    losses = -np.log(np.maximum(true, np.finfo(np.float64).eps))
    return np.asarray(losses @ weights / weights.sum(0))


def ece(probabilities: Float[np.ndarray, "n c"], labels: Numbers, weights: Weights) -> Draws:
    """Expected calibration error: mean distance of confidence and accuracy over the bins.

    Of few items it is too high; see `striate.metrics.reliability.calibration_error`.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    confidence, right = _top(probabilities, labels)
    gaps = sum_by(weights * (confidence - right)[:, None], _bin(confidence), NUM_BINS)
    return np.asarray(np.abs(gaps).sum(0) / weights.sum(0))


def _top(
    probabilities: Float[np.ndarray, "n c"], labels: Numbers
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Probability of the predicted class, and 1 where the prediction is right."""
    right = probabilities.argmax(1) == labels
    return probabilities.max(1).astype(np.float64), right.astype(np.float64)


def _bin(confidence: Float[np.ndarray, " n"]) -> Numbers:
    """The bin of each confidence; an upper edge belongs to the bin below it."""
    above = np.ceil(confidence * NUM_BINS).astype(np.int64)
    return np.asarray(np.clip(above - 1, 0, NUM_BINS - 1))
