"""Whether stated probabilities come true: bins of a reliability diagram, and the calibration error.

The plain calibration error (`striate.metrics.probabilities.ece`) is too high wherever there are few
items: each bin adds the absolute value of a difference, which noise alone makes larger. What a
report states is therefore free of that excess, and its interval allows for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from striate.metrics.intervals import LEVEL, Estimate, Numbers, effective_size, wilson_interval

BIN_ITEMS: Final = 40
"""Number of independent items that a bin should hold."""

MAX_BINS: Final = 10

_SUCCESSES, _TRIALS = 2, 4
"""What is added to a bin's counts, so that a bin without an error has a variance too (Agresti and
Coull, The American Statistician 52, 1998)."""

_FAR: Final = 8.0
"""Distance in standard errors at which noise adds nothing to an absolute value."""

_GRID: Final = np.linspace(0, _FAR, 4001)


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """Items by the probability of the predicted class, about as many in each bin.

    Attributes:
        count: (bins,) Number of items, one at least.
        size: (bins,) Number of independent items that they are worth.
        confidence: (bins,) Mean probability of the predicted class.
        accuracy: (bins,) Share of right predictions.
        interval: (bins, 2) Wilson's 95 % interval of the accuracy.
    """

    count: Int[np.ndarray, " bins"]
    size: Float[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    interval: Float[np.ndarray, "bins 2"]


def reliability_bins(
    probabilities: Float[np.ndarray, "n c"], labels: Numbers, groups: Numbers | None = None
) -> ReliabilityBins:
    """The figures of a reliability diagram.

    There are as few bins as it takes for `BIN_ITEMS` independent items in each, and `MAX_BINS` at
    most. Items of one confidence are in one bin.

    Args:
        probabilities: A row for each item, which sums to one; one item at least.
        labels: The class number of each item.
        groups: Number of each item's group (copies, one patient), which counts as one fact; by
            default every item is a group of its own.
    """
    if groups is None:
        groups = np.arange(len(labels))
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    index = _bins(confidence, effective_size(groups))
    members = [np.flatnonzero(index == number) for number in np.unique(index)]
    size = [effective_size(groups[some]) for some in members]
    accuracy = [float(right[some].mean()) for some in members]
    limits = [wilson_interval(share, items) for share, items in zip(accuracy, size, strict=True)]
    return ReliabilityBins(
        count=np.array([len(some) for some in members]),
        size=np.array(size),
        confidence=np.array([confidence[some].mean() for some in members]),
        accuracy=np.array(accuracy),
        interval=np.array(limits),
    )


def calibration_error(
    probabilities: Float[np.ndarray, "n c"], labels: Numbers, groups: Numbers | None = None
) -> Estimate:
    """The expected calibration error without what noise adds to it, and its interval.

    In a bin whose true difference is d, noise of standard error s leaves an absolute difference of
    E|d + s z| on average, for a standard normal z. The d for which that is what was observed is
    taken, 0 where even d = 0 leaves more. The interval is conservative. Its upper limit lies
    1.96 standard errors above the plain error, which no noise makes too small on average; the lower
    one 1.96 below the plain error less all that noise can add. The standard error is that of a
    difference in one direction in every bin, the largest there is.

    Args:
        probabilities: A row for each item, which sums to one; one item at least.
        labels: The class number of each item.
        groups: Number of each item's group, which counts as one fact.

    Source of the error: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks",
    ICML 2017; of bins with equal numbers of items: Roelofs, Cain, Shlens, Mozer, "Mitigating Bias
    in Calibration Error Estimation", AISTATS 2022.
    """
    bins = reliability_bins(probabilities, labels, groups)
    share = bins.count / bins.count.sum()
    smoothed = (bins.accuracy * bins.size + _SUCCESSES) / (bins.size + _TRIALS)
    noise = np.sqrt(smoothed * (1 - smoothed) / bins.size)
    gaps = np.abs(bins.confidence - bins.accuracy)
    plain = float(share @ gaps)
    most_added = float(share @ noise) * np.sqrt(2 / np.pi)
    from scipy.special import ndtri  # slow to import

    reach = ndtri((1 + LEVEL) / 2) * float(np.sqrt(np.square(share * noise).sum()))
    return Estimate(
        value=float(share @ (noise * _without_noise(gaps / noise))),
        ci95=(max(plain - most_added - reach, 0.0), min(plain + reach, 1.0)),
    )


def _bins(confidence: NDArray[np.float64], num_independent: float) -> Numbers:
    """The bin of each item, by quantiles of the confidence."""
    num_bins = int(np.clip(num_independent // BIN_ITEMS, 1, MAX_BINS))
    first = np.arange(1, num_bins) * len(confidence) // num_bins
    return np.asarray(np.searchsorted(np.sort(confidence)[first], confidence, side="right"))


def _without_noise(observed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The difference whose mean absolute value under unit normal noise is the observed one."""
    from scipy.special import ndtr  # slow to import

    density = np.exp(-np.square(_GRID) / 2) * np.sqrt(2 / np.pi)
    folded = density + _GRID * (1 - 2 * ndtr(-_GRID))
    return np.where(observed > _FAR, observed, np.interp(observed, folded, _GRID))
