"""What more items would bring: errors on growing parts of the data, and where their curve leads.

The error of a model falls with the number of items that it learns from about as a power law above
what cannot be learnt at all, a + b n^-c (Hestness et al., "Deep learning scaling is predictable,
empirically", arXiv:1712.00409; Viering and Loog, "The shape of learning curves: a review", IEEE
TPAMI 2022). How far the fitted curve may be off is told by drawing the folds and the items again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from striate.metrics.intervals import LEVEL, Estimate, Numbers

NUM_DRAWS: Final = 400
"""Draws of folds and items."""

MIN_SIZES: Final = 4
"""Sizes that a curve needs: it has three parameters."""

_EXPONENTS: Final = np.arange(0.1, 2.01, 0.05)
"""Exponents that are tried."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """The errors at each size and where they lead.

    Attributes:
        sizes: Numbers of items learnt from, ascending.
        errors: Mean error at each, with its interval.
        num_items: Number of items of which there would be twice as many.
        gain: By how much the error would fall with twice the items.
        expected: The error with twice the items.
    """

    sizes: tuple[int, ...]
    errors: tuple[Estimate, ...]
    num_items: int
    gain: Estimate
    expected: Estimate

    @property
    def is_supported(self) -> bool:
        """Whether the data tell that more of them would help: the whole interval is above 0."""
        return self.gain.ci95 is not None and self.gain.ci95[0] > 0


def learning_curve(
    sizes: tuple[int, ...],
    errors: Float[np.ndarray, "n s"],
    folds: Numbers,
    groups: Numbers,
    *,
    num_items: int,
    seed: int = 0,
) -> LearningCurve | None:
    """The learning curve of some errors; None where there are too few sizes.

    Args:
        sizes: Numbers of items learnt from, ascending.
        errors: Error of each item by models that learnt from so many others.
        folds: Number of each item's fold, whose models judged it.
        groups: Number of each item's group (copies), which counts as one fact.
        num_items: Number of items of which there would be twice as many.
        seed: Seed of the draws.
    """
    if len(sizes) < MIN_SIZES:
        return None
    weights = _draws(folds, groups, NUM_DRAWS, seed)
    drawn = (weights.T @ errors) / weights.sum(0)[:, None]
    means = errors.mean(0)
    at = np.array(sizes, np.float64)
    spread = np.maximum(drawn.std(0), 1e-12)
    targets = np.array([num_items, 2 * num_items], np.float64)
    now, twice = predicted_errors(at, drawn, spread, targets).T
    (best,) = predicted_errors(at, means[None], spread, targets)
    return LearningCurve(
        sizes=sizes,
        errors=tuple(
            _estimate(float(mean), column) for mean, column in zip(means, drawn.T, strict=True)
        ),
        num_items=num_items,
        # The mean over the draws: one fit alone leaps between a floor and none.
        gain=_estimate(float((now - twice).mean()), now - twice),
        expected=_estimate(float(best[1]), twice),
    )


def predicted_errors(
    sizes: Float[np.ndarray, " s"],
    errors: Float[np.ndarray, "b s"],
    spread: Float[np.ndarray, " s"],
    targets: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "b t"]:
    """The errors at other sizes by a + b n^-c, fitted by weighted least squares with a, b >= 0.

    Args:
        sizes: Numbers of items.
        errors: Errors at each of them, a row for each curve.
        spread: Standard error at each size.
        targets: Numbers of items at which errors are predicted.
    """
    weight = 1 / np.square(spread)
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), len(targets)))
    for exponent in _EXPONENTS:
        powers = (sizes / sizes[-1]) ** -exponent
        floor, slope = _line(powers, errors, weight)
        residuals = errors - floor[:, None] - slope[:, None] * powers
        lost = np.square(residuals) @ weight
        better = lost < best
        best = np.where(better, lost, best)
        at = floor[:, None] + slope[:, None] * (targets / sizes[-1]) ** -exponent
        found = np.where(better[:, None], at, found)
    return found


def _line(
    powers: Float[np.ndarray, " s"],
    errors: Float[np.ndarray, "b s"],
    weight: Float[np.ndarray, " s"],
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """The floor and the slope of least squares, neither below 0."""
    total = weight.sum()
    mean_power, mean_error = powers @ weight / total, errors @ weight / total
    away = powers - mean_power
    slope = (errors - mean_error[:, None]) @ (weight * away) / (weight @ np.square(away))
    floor = mean_error - slope * mean_power
    flat = slope <= 0
    without_floor = errors @ (weight * powers) / (weight @ np.square(powers))
    below = ~flat & (floor < 0)
    slope = np.where(flat, 0.0, np.where(below, without_floor, slope))
    floor = np.where(flat, mean_error, np.where(below, 0.0, floor))
    return floor, slope


def _draws(folds: Numbers, groups: Numbers, num_draws: int, seed: int) -> Float[np.ndarray, "n b"]:
    """How often each item is drawn: folds with replacement, then groups within each of them."""
    rng = np.random.default_rng(seed)
    names, fold = np.unique(folds, return_inverse=True)
    weights = np.zeros((len(folds), num_draws))
    of_fold = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_draws)
    for k in range(len(names)):
        inside = np.flatnonzero(fold == k)
        _, group = np.unique(groups[inside], return_inverse=True)
        count = int(group.max()) + 1
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=num_draws)
        weights[inside] = drawn.T[group] * of_fold[:, k]
    return weights


def _estimate(value: float, draws: Float[np.ndarray, " b"]) -> Estimate:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Estimate(value=value, ci95=(low, high))
