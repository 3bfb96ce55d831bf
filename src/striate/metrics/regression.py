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

SCALED_ITEMS = 100
"""Held-out items from which intervals may be wider for some predictions than for others."""

_BINS, _FOLDS = 5, 5
_PRIOR_ITEMS = 10
"""Items of mean error that are added to those of each bin, so that a few say little."""

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
    """An interval around every prediction: the prediction plus and minus a half width.

    Attributes:
        half_width: Distance of either limit from the prediction, in the targets' unit, where its
            scale is 1.
        level: Share of new items whose true number lies inside, on average.
        num_items: Number of held-out items that the interval was taken from.
        knots: Predictions, ascending, at which the scale is known; between them it is linear,
            outside that of the nearest. Empty where it is 1 everywhere.
        scales: The scale at each of them.
    """

    half_width: float
    level: float
    num_items: int
    knots: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    def half_widths(self, predictions: Values) -> Values:
        """Distance of either limit from each prediction, in the targets' unit."""
        if not self.knots:
            return np.full(len(predictions), self.half_width)
        return np.asarray(self.half_width * np.interp(predictions, self.knots, self.scales))

    def range(self) -> tuple[float, float]:
        """The smallest and the largest half width."""
        scales = self.scales or (1.0,)
        return self.half_width * min(scales), self.half_width * max(scales)


def fit_prediction_interval(predictions: Values, targets: Values) -> PredictionInterval | None:
    """The interval that held-out items ask for; None where they are too few (below 9 for 90 %).

    Its half width is the k-th smallest absolute error, k = ceil((n + 1) COVERAGE). For a new item
    drawn like these it holds the true number with a probability of at least `COVERAGE`,
    whatever the distribution, and at most COVERAGE + 1 / (n + 1) where no two errors are equal.

    Of `SCALED_ITEMS` and more it follows the prediction where cross-validation within the items
    finds that this makes better intervals (by their interval score, beyond chance): the error of
    large numbers is often larger. Errors are then divided by the mean error of such predictions.

    Args:
        predictions: Predicted numbers of items that took no part in the training.
        targets: Their true numbers.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a value is not finite.

    Source: split conformal prediction with locally weighted errors, Lei, G'Sell, Rinaldo,
    Tibshirani, Wasserman, JASA 113, 2018; the interval score, Gneiting, Raftery, JASA 102, 2007.
    """
    check_numbers(predictions, targets)
    exact = predictions.astype(np.float64)
    errors = np.abs(exact - targets.astype(np.float64))
    half_width = conformal_quantile(errors, COVERAGE)
    if half_width is None:
        return None
    same = PredictionInterval(half_width=half_width, level=COVERAGE, num_items=len(targets))
    return _scaled(exact, errors, same) if len(targets) >= SCALED_ITEMS else same


def _scaled(predictions: Values, errors: Values, same: PredictionInterval) -> PredictionInterval:
    """The interval whose width follows the prediction, where that is clearly better."""
    folds = np.random.default_rng(0).permutation(len(errors)) % _FOLDS
    scales = np.empty(len(errors))
    for fold in range(_FOLDS):
        held = folds == fold
        scales[held] = np.interp(predictions[held], *_scale_of(predictions[~held], errors[~held]))
    half_width = conformal_quantile(errors / scales, COVERAGE)
    if half_width is None:
        return same
    gains = _interval_scores(errors, same.half_width) - _interval_scores(
        errors, half_width * scales
    )
    if gains.mean() <= 2 * gains.std() / len(gains) ** 0.5:
        return same
    knots, at_knots = _scale_of(predictions, errors)
    return PredictionInterval(
        half_width=half_width,
        level=same.level,
        num_items=same.num_items,
        knots=tuple(knots.tolist()),
        scales=tuple(at_knots.tolist()),
    )


def _scale_of(predictions: Values, errors: Values) -> tuple[Values, Values]:
    """Median prediction and mean error of bins by prediction, relative to the mean of all errors."""
    parts = np.array_split(np.argsort(predictions, kind="stable"), _BINS)
    knots = np.array([np.median(predictions[part]) for part in parts])
    mean = max(float(errors.mean()), np.finfo(np.float64).tiny)
    sums = np.array([errors[part].sum() for part in parts])
    counts = np.array([len(part) for part in parts])
    return knots, (sums / mean + _PRIOR_ITEMS) / (counts + _PRIOR_ITEMS)


def _interval_scores(errors: Values, half_widths: Values | float) -> Values:
    """Width of each interval, and what its true number lies outside by, times 2 / (1 - level)."""
    outside = np.maximum(errors - half_widths, 0)
    return np.asarray(2 * half_widths + 2 / (1 - COVERAGE) * outside)


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
    share = float((errors <= interval.half_widths(predictions.astype(np.float64))).mean())
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
