"""How far from a predicted number the true one is to be looked for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float, Int

from striate.metrics.intervals import Estimate, effective_size, wilson_interval
from striate.metrics.regression import check_numbers

COVERAGE = 0.9
"""Share of new items whose true number an interval is to hold."""


@dataclass(frozen=True, kw_only=True)
class PredictionInterval:
    """An interval around every prediction: the prediction plus and minus `half_width`.

    Attributes:
        half_width: in the targets' unit.
        level: share of new items whose true number lies inside, on average.
        num_items: held-out items it was taken from.
    """

    half_width: float
    level: float
    num_items: int

    def limits(
        self, predictions: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Lower and upper limit of each prediction."""
        return predictions - self.half_width, predictions + self.half_width


def fit_prediction_interval(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    *,
    level: float = COVERAGE,
) -> PredictionInterval | None:
    """The interval that held-out items ask for; None where they are too few (below 9 for 90 %).

    Its half width is the k-th smallest absolute error, k = ceil((n + 1) level). For a new item
    drawn like these it holds the true number with a probability of at least `level`, whatever
    the distribution, and at most level + 1 / (n + 1) where no two errors are equal.

    Args:
        predictions: of items that took no part in the training.
        targets: their true numbers.
        level: between 0 and 1.

    Raises:
        ArgumentError: no items, arrays that do not fit together, or a value that is not finite.

    Source: split conformal prediction, Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113, 2018.
    """
    check_numbers(predictions, targets)
    # Rounded, since 0.9 * 10 must not become a hair above 9.
    rank = ceil(round((len(targets) + 1) * level, 9))
    if rank > len(targets):
        return None
    errors = np.abs(predictions.astype(np.float64) - targets.astype(np.float64))
    half_width = float(np.partition(errors, rank - 1)[rank - 1])
    return PredictionInterval(half_width=half_width, level=level, num_items=len(targets))


def coverage(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    interval: PredictionInterval,
    groups: Int[np.ndarray, " n"] | None = None,
) -> Estimate:
    """The share of items whose true number lies inside, with Wilson's interval.

    Args:
        predictions: of the items.
        targets: their true numbers.
        interval: fitted on other items.
        groups: items of one number count as one fact; all apart by default.

    Raises:
        ArgumentError: no items, arrays that do not fit together, or a value that is not finite.
    """
    check_numbers(predictions, targets)
    errors = np.abs(predictions.astype(np.float64) - targets.astype(np.float64))
    share = float((errors <= interval.half_width).mean())
    size = effective_size(np.arange(len(targets)) if groups is None else groups)
    return Estimate(value=share, ci95=wilson_interval(share, size))
