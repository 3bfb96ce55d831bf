"""Whether probabilities mean what they say: log loss, calibration error, reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from striate.metrics.confusion import sum_by

NUM_BINS = 15
"""Equal-width bins of the top class's probability, the number of Guo et al. (ICML 2017)."""


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """Items by the probability of the predicted class, in bins of equal width over (0, 1].

    Attributes:
        count: (bins,) items.
        confidence: (bins,) mean probability of the predicted class; NaN in an empty bin.
        accuracy: (bins,) share of right predictions; NaN in an empty bin.
    """

    count: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]


def log_loss(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """Mean negative log probability of the true class, in nats.

    Probabilities are held above float64's epsilon, as in scikit-learn, so a zero stays finite.
    """
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    losses = -np.log(np.maximum(true, np.finfo(np.float64).eps))
    return np.asarray(losses @ weights / weights.sum(0))


def ece(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
    num_bins: int = NUM_BINS,
) -> Float[np.ndarray, " b"]:
    """Expected calibration error: mean distance of confidence and accuracy over the bins.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    confidence, right = _top(probabilities, labels)
    gaps = sum_by(weights * (confidence - right)[:, None], _bin(confidence, num_bins), num_bins)
    return np.asarray(np.abs(gaps).sum(0) / weights.sum(0))


def reliability_bins(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    num_bins: int = NUM_BINS,
) -> ReliabilityBins:
    """The figures of a reliability diagram."""
    confidence, right = _top(probabilities, labels)
    index = _bin(confidence, num_bins)
    count = np.bincount(index, minlength=num_bins)
    held = np.where(count > 0, count, np.nan)
    return ReliabilityBins(
        count=count,
        confidence=np.bincount(index, weights=confidence, minlength=num_bins) / held,
        accuracy=np.bincount(index, weights=right, minlength=num_bins) / held,
    )


def _top(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Probability of the predicted class, and 1 where the prediction is right."""
    right = probabilities.argmax(1) == labels
    return probabilities.max(1).astype(np.float64), right.astype(np.float64)


def _bin(confidence: Float[np.ndarray, " n"], num_bins: int) -> Int[np.ndarray, " n"]:
    """The bin of each confidence; an upper edge belongs to the bin below it."""
    above = np.ceil(confidence * num_bins).astype(np.int64)
    return np.asarray(np.clip(above - 1, 0, num_bins - 1))
