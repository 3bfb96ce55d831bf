"""All metrics of predicted numbers on one set of items, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int

from striate.errors import ArgumentError
from striate.metrics.bootstrap import NUM_RESAMPLES, resampling_weights
from striate.metrics.intervals import Estimate, percentile_interval
from striate.metrics.number_text import number_text

_CONSTANT = 1e-12
"""Share of a sum of squares below which a variation about the mean is rounding."""


def mae(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """Mean absolute error, in the targets' unit."""
    return np.asarray(np.abs(predictions - targets) @ weights / weights.sum(0))


def rmse(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """Root of the mean squared error, in the targets' unit."""
    return np.asarray(np.sqrt((predictions - targets) ** 2 @ weights / weights.sum(0)))


def r2(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """Share of the targets' variance that is explained: 0 for their own mean, below 0 for worse.

    NaN where the targets do not vary.
    """
    unexplained = (predictions - targets) ** 2 @ weights
    return np.asarray(1 - unexplained / _variation(targets, weights))


def median_absolute_error(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """The absolute error that half of the items stay below, in the targets' unit.

    Between the two middle ones where their number is even.
    """
    errors = np.abs(predictions - targets)
    order = np.argsort(errors)
    errors, below = errors[order], weights[order].cumsum(0)
    half = below[-1] / 2
    lower, upper = (below >= half).argmax(0), (below > half).argmax(0)
    return np.asarray((errors[lower] + errors[upper]) / 2)


def pearson(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """Pearson's correlation of predictions and targets; NaN where either does not vary."""
    p, t = predictions - predictions.mean(), targets - targets.mean()
    shared = (p * t) @ weights - (p @ weights) * (t @ weights) / weights.sum(0)
    scale = np.sqrt(_variation(predictions, weights)) * np.sqrt(_variation(targets, weights))
    return np.asarray(np.clip(shared / scale, -1, 1))


_OF_NUMBERS: dict[str, Callable[..., Float[np.ndarray, " b"]]] = {
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
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"] | None = None,
) -> dict[str, Float[np.ndarray, " b"]]:
    """Every metric under each of `b` weightings of the items (one of ones by default).

    NaN where a metric is not defined.

    Raises:
        ArgumentError: no items, arrays that do not fit together, or a value that is not finite.
    """
    check_numbers(predictions, targets)
    exact, truth = predictions.astype(np.float64), targets.astype(np.float64)
    if weights is None:
        weights = np.ones((len(truth), 1))
    return {name: metric(exact, truth, weights) for name, metric in _OF_NUMBERS.items()}


def evaluate_regression(
    predictions: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Evaluate predicted numbers on one set of items: an estimate a metric, by name.

    Intervals are percentile intervals of a bootstrap by group.

    Args:
        predictions: in the targets' unit.
        targets: the true numbers.
        groups: items of one number (copies, one patient) count as one fact; all apart by default.
        num_resamples: draws.
        seed: of the draws.

    Raises:
        ArgumentError: no items, arrays that do not fit together, or a value that is not finite.
    """
    values = regression_values(predictions, targets)
    if groups is None:
        groups = np.arange(len(targets))
    one_stratum = np.zeros(len(targets), dtype=np.int64)
    blocks = [
        regression_values(predictions, targets, weights)
        for weights in resampling_weights(one_stratum, groups, num_resamples, seed)
    ]
    return {
        name: _estimate(
            float(values[name][0]),
            np.concatenate([block[name] for block in blocks]),
            _why_undefined(predictions, targets),
        )
        for name in REGRESSION_METRICS
    }


def estimates_text(estimates: Mapping[str, Estimate], *, unit: str = "") -> list[str]:
    """A line a metric, for a person: its name, figure and interval.

    Args:
        estimates: by names of `REGRESSION_METRICS`.
        unit: of the targets, such as "mm"; none where empty.
    """
    return [
        f"{name:22} {estimate_text(estimate, unit=unit if name in IN_UNIT else '')}"
        for name, estimate in estimates.items()
    ]


def estimate_text(estimate: Estimate, *, unit: str = "", signed: bool = False) -> str:
    """A figure of any size, with its interval and unit; `signed` shows a plus too."""
    if estimate.value is None:
        return f"undefined ({estimate.reason})"
    behind = f" {unit}" if unit else ""
    value = number_text(estimate.value, 4, signed=signed)
    if estimate.ci95 is None:
        return f"{value}{behind}"
    low, high = (number_text(limit, 4, signed=signed) for limit in estimate.ci95)
    return f"{value}{behind} (95 % interval {low} to {high})"


def check_numbers(predictions: Float[np.ndarray, " n"], targets: Float[np.ndarray, " n"]) -> None:
    """Make sure that there are items, a finite prediction and a finite target for each.

    Raises:
        ArgumentError: it is not so.
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


def _variation(
    numbers: Float[np.ndarray, " n"], weights: Float[np.ndarray, "n b"]
) -> Float[np.ndarray, " b"]:
    """Weighted sum of squares about the weighted mean; NaN where there is no variation."""
    centred = numbers - numbers.mean()  # so that little is lost in the difference below
    squares = centred**2 @ weights
    variation = squares - (centred @ weights) ** 2 / weights.sum(0)
    return np.asarray(np.where(variation > _CONSTANT * squares, variation, np.nan))


def _estimate(value: float, draws: Float[np.ndarray, " b"], why_undefined: str) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, reason=why_undefined)
    interval = percentile_interval(draws)
    reason = "" if interval else "the figure is the same in every resample of these items"
    return Estimate(value=value, ci95=interval, reason=reason)


def _why_undefined(predictions: Float[np.ndarray, " n"], targets: Float[np.ndarray, " n"]) -> str:
    """Why a metric that asks for variation has no value."""
    if len(targets) == 1:
        return "there is only one item"
    constant = "target" if np.ptp(targets) == 0 else "prediction"
    return f"every {constant} is the same"
