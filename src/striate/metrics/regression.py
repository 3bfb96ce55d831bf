"""All metrics of predicted numbers on one set of items, and intervals around predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from striate.errors import ArgumentError
from striate.metrics.conformal import conformal_quantile
from striate.metrics.intervals import (
    NUM_RESAMPLES,
    Draws,
    Estimate,
    Numbers,
    Weights,
    bootstrap,
    share_estimate,
)

Values: TypeAlias = Float[np.ndarray, " n"]
"""A number for each item, predicted or true, in the targets' unit."""

COVERAGE = 0.9
"""Share of new items whose true number an interval is to hold."""

_CONSTANT = 1e-12
"""Share of a sum of squares below which a variation about the mean is rounding."""


def mae(predictions: Values, targets: Values, weights: Weights) -> Draws:
    """Mean absolute error, in the targets' unit."""
    return np.asarray(np.abs(predictions - targets) @ weights / weights.sum(0))


def rmse(predictions: Values, targets: Values, weights: Weights) -> Draws:
    """Root of the mean squared error, in the targets' unit."""
    return np.asarray(np.sqrt((predictions - targets) ** 2 @ weights / weights.sum(0)))


def r2(predictions: Values, targets: Values, weights: Weights) -> Draws:
    """Share of the targets' variance that is explained: 0 for their own mean, below 0 for worse.

    NaN where the targets do not vary, or so little that no float holds the quotient.
    """
    unexplained = (predictions - targets) ** 2 @ weights
    with np.errstate(over="ignore"):
        quotient = unexplained / _variation(targets, weights)
    return np.asarray(1 - np.where(np.isinf(quotient), np.nan, quotient))


def median_absolute_error(predictions: Values, targets: Values, weights: Weights) -> Draws:
    """The absolute error that half of the items stay below, in the targets' unit.

    Between the two middle ones where their number is even.
    """
    errors = np.abs(predictions - targets)
    order = np.argsort(errors)
    errors, below = errors[order], weights[order].cumsum(0)
    half = below[-1] / 2
    lower, upper = (below >= half).argmax(0), (below > half).argmax(0)
    return np.asarray((errors[lower] + errors[upper]) / 2)


def pearson(predictions: Values, targets: Values, weights: Weights) -> Draws:
    """Pearson's correlation of predictions and targets; NaN where either does not vary."""
    p, t = predictions - predictions.mean(), targets - targets.mean()
    shared = (p * t) @ weights - (p @ weights) * (t @ weights) / weights.sum(0)
    scale = np.sqrt(_variation(predictions, weights)) * np.sqrt(_variation(targets, weights))
    return np.asarray(np.clip(shared / scale, -1, 1))


_OF_NUMBERS = {
    "mae": mae,
    "rmse": rmse,
    "r2": r2,
    "median_absolute_error": median_absolute_error,
    "pearson": pearson,
}
REGRESSION_METRICS = tuple(_OF_NUMBERS)
"""The names of the metrics, in the order of a report."""

IN_UNIT = ("mae", "rmse", "median_absolute_error")
"""The metrics that are in the targets' unit."""


def regression_values(
    predictions: Values, targets: Values, weights: Weights | None = None
) -> dict[str, Draws]:
    """Every metric under each of `b` weightings of the items (one of ones by default).

    NaN where a metric is not defined.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a value is not finite.
    """
    check_numbers(predictions, targets)
    exact, truth = predictions.astype(np.float64), targets.astype(np.float64)
    if weights is None:
        weights = np.ones((len(truth), 1))
    return {name: metric(exact, truth, weights) for name, metric in _OF_NUMBERS.items()}


def evaluate_regression(
    predictions: Values,
    targets: Values,
    groups: Numbers | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Evaluate predicted numbers on one set of items: an estimate of each metric, by name.

    Intervals are percentile intervals of a bootstrap by group.

    Args:
        predictions: Predicted number of each item.
        targets: True number of each item.
        groups: Number of each item's group (copies, one patient), which counts as one fact; by
            default every item is a group of its own.
        num_resamples: Number of draws.
        seed: Seed of the draws.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a value is not finite.
    """
    check_numbers(predictions, targets)
    return bootstrap(
        lambda weights: regression_values(predictions, targets, weights),
        np.zeros(len(targets), np.int64),
        groups,
        undefined=_why_undefined(predictions, targets),
        num_resamples=num_resamples,
        seed=seed,
    )


@dataclass(frozen=True, kw_only=True)
class PredictionInterval:
    """An interval around every prediction: the prediction plus and minus `half_width`.

    Attributes:
        half_width: Distance of either limit from the prediction, in the targets' unit.
        level: Share of new items whose true number lies inside, on average.
        num_items: Number of held-out items that the interval was taken from.
    """

    half_width: float
    level: float
    num_items: int


def fit_prediction_interval(predictions: Values, targets: Values) -> PredictionInterval | None:
    """The interval that held-out items ask for; None where they are too few (below 9 for 90 %).

    Its half width is the k-th smallest absolute error, k = ceil((n + 1) COVERAGE). For a new item
    drawn like these it holds the true number with a probability of at least `COVERAGE`,
    whatever the distribution, and at most COVERAGE + 1 / (n + 1) where no two errors are equal.

    Args:
        predictions: Predicted numbers of items that took no part in the training.
        targets: Their true numbers.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a value is not finite.

    Source: split conformal prediction, Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 113, 2018.
    """
    check_numbers(predictions, targets)
    errors = np.abs(predictions.astype(np.float64) - targets.astype(np.float64))
    half_width = conformal_quantile(errors, COVERAGE)
    if half_width is None:
        return None
    return PredictionInterval(half_width=half_width, level=COVERAGE, num_items=len(targets))


def coverage(
    predictions: Values,
    targets: Values,
    interval: PredictionInterval,
    groups: Numbers | None = None,
) -> Estimate:
    """The share of items whose true number lies inside, with Wilson's interval.

    Args:
        predictions: Predicted number of each item.
        targets: True number of each item.
        interval: Interval that was fitted on other items.
        groups: Number of each item's group, which counts as one fact; by default every item is a
            group of its own.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a value is not finite.
    """
    check_numbers(predictions, targets)
    errors = np.abs(predictions.astype(np.float64) - targets.astype(np.float64))
    share = float((errors <= interval.half_width).mean())
    return share_estimate(share, np.arange(len(targets)) if groups is None else groups)


def check_numbers(predictions: Values, targets: Values) -> None:
    """Make sure that there are items, a finite prediction and a finite target for each.

    Raises:
        ArgumentError: It is not so.
    """
    if len(targets) == 0:
        raise ArgumentError("nothing to evaluate", why="there is no item", fix="give some items")
    if predictions.shape != targets.shape or targets.ndim != 1:
        raise ArgumentError(
            f"predictions of shape {predictions.shape} for targets of shape {targets.shape}",
            fix="give one number an item",
        )
    for name, numbers in (("prediction", predictions), ("target", targets)):
        if not np.isfinite(numbers).all():
            first = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise ArgumentError(f"{name} {first} is {numbers[first]}", why="it must be finite")


def _variation(numbers: Values, weights: Weights) -> Draws:
    """Weighted sum of squares about the weighted mean; NaN where there is no variation."""
    centred = numbers - numbers.mean()  # so that little is lost in the difference below
    squares = centred**2 @ weights
    variation = squares - (centred @ weights) ** 2 / weights.sum(0)
    return np.asarray(np.where(variation > _CONSTANT * squares, variation, np.nan))


def _why_undefined(predictions: Values, targets: Values) -> str:
    """Why a metric that asks for variation has no value."""
    if len(targets) == 1:
        return "there is only one item"
    constant = "target" if np.ptp(targets) == 0 else "prediction"
    return f"every {constant} is the same"
