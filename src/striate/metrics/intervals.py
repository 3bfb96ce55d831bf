"""Figures with their 95 % intervals: what a figure could have been on other items like these.

Intervals come from draws with replacement of whole groups of items, stratum by stratum. Copies of
one item are one fact, so a group is drawn as a whole. Classes are drawn apart (stratified): how
many items a class has was decided by who collected the data and by the split, not by chance, and a
draw without any item of a class would leave most metrics undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import floor, isfinite, log10
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95
NUM_RESAMPLES = 1000

_MAX_CELLS = 2**22
"""Items times draws that are held at once: 32 MiB of float64."""

Numbers: TypeAlias = Int[np.ndarray, " n"]
"""A whole number for each item: its class, its group, its stratum."""

Weights: TypeAlias = Float[np.ndarray, "n b"]
"""`b` weightings of `n` items: ones for the items themselves, counts for a bootstrap draw."""

Draws: TypeAlias = Float[np.ndarray, " b"]
"""A metric under each of `b` weightings."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure; None where it is not defined.
        ci95: Lower and upper limit; None where the items cannot tell them.
        reason: Why the value or the interval is None; empty where neither is.
    """

    value: float | None
    ci95: tuple[float, float] | None = None
    reason: str = ""

    def as_text(self, digits: int | None = None, unit: str = "", *, signed: bool = False) -> str:
        """The figure and its interval for a person.

        Args:
            digits: Significant digits that are shown; four decimals where None.
            unit: Unit of the figure, such as "mm".
            signed: Whether a plus is shown too.
        """
        if self.value is None:
            return f"undefined ({self.reason})"

        def text(value: float) -> str:
            if digits is None:
                return f"{value:{'+' if signed else ''}.4f}"
            return number_text(value, digits, signed=signed)

        told = text(self.value) + (f" {unit}" if unit else "")
        return told + (
            "" if self.ci95 is None else f" (95 % interval {' to '.join(map(text, self.ci95))})"
        )


def number_text(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with so many significant digits, without an exponent where that can be read.

    >>> number_text(0.61234), number_text(12345.6), number_text(0.000123), number_text(0)
    ('0.612', '12346', '0.000123', '0')
    >>> number_text(1.5e9), number_text(2.5, signed=True), number_text(9.9996)
    ('1.50e+09', '+2.50', '10.0')
    """
    sign = "+" if signed else ""
    if value == 0 or not isfinite(value):
        return f"{value:{sign}g}"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = floor(log10(abs(rounded)))
    if not -5 < exponent < 7:
        return f"{value:{sign}.{digits - 1}e}"
    return f"{value:{sign}.{max(digits - 1 - exponent, 0)}f}"


def estimate_lines(
    estimates: Mapping[str, Estimate],
    digits: int | None = None,
    unit: str = "",
    in_unit: tuple[str, ...] = (),
    *,
    signed: bool = False,
) -> list[str]:
    """A line for each metric, for a person: its name, figure and interval.

    Args:
        estimates: The metrics by name.
        digits: Significant digits that are shown; four decimals where None.
        unit: Unit of the targets, such as "mm".
        in_unit: Names of the metrics that have this unit.
        signed: Whether a plus is shown too.
    """
    return [
        f"{name:22} " + estimate.as_text(digits, unit if name in in_unit else "", signed=signed)
        for name, estimate in estimates.items()
    ]


def bootstrap(
    values: Callable[[Weights], Mapping[str, Draws]],
    strata: Numbers,
    groups: Numbers | None,
    *,
    undefined: str,
    figure: str = "figure",
    intervals: Mapping[str, Callable[[float, Draws], tuple[float, float] | None]] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """An estimate of every metric, with a percentile interval of draws by group.

    Args:
        values: Every metric by name, under some weightings of the items.
        strata: Number of each item's stratum; each stratum is drawn from apart.
        groups: Number of each item's group (copies, one patient), which counts as one fact; by
            default every item is a group of its own.
        undefined: Why a metric that is NaN has no value.
        figure: What the metrics are called in a reason.
        intervals: Intervals by the name of the metric, from its value and its draws, where the
            percentile interval is not the right one.
        num_resamples: Number of draws.
        seed: Seed of the draws.
    """
    if groups is None:
        groups = np.arange(len(strata))
    plain = values(np.ones((len(strata), 1)))
    blocks = [
        values(weights) for weights in resampling_weights(strata, groups, num_resamples, seed)
    ]
    found = {}
    for name, (value, *_) in plain.items():
        if np.isnan(value):
            found[name] = Estimate(value=None, reason=undefined)
            continue
        draws = np.concatenate([block[name] for block in blocks])
        own = (intervals or {}).get(name)
        limits = own(float(value), draws) if own else percentile_interval(draws)
        same = f"the {figure} is the same in every resample of these items"
        found[name] = Estimate(value=float(value), ci95=limits, reason="" if limits else same)
    return found


def resampling_weights(
    strata: Numbers, groups: Numbers, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Iterator[Weights]:
    """How often each item occurs in each draw, in blocks of draws.

    Args:
        strata: Number of each item's stratum; a group belongs to that of its first item.
        groups: Number of each item's group; the items of a group are drawn together.
        num_resamples: Number of draws in all.
        seed: Seed of the draws, which depend on nothing else but the arguments.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    members = [np.flatnonzero(strata[first] == stratum) for stratum in np.unique(strata[first])]
    rng = np.random.default_rng(seed)
    block = max(1, _MAX_CELLS // len(strata))
    for start in range(0, num_resamples, block):
        num_draws = min(block, num_resamples - start)
        drawn = np.empty((len(first), num_draws))
        for inside in members:
            drawn[inside] = _draw(len(inside), num_draws, rng)
        yield drawn[group]


def percentile_interval(draws: Draws) -> tuple[float, float] | None:
    """The middle 95 % of the draws that are defined; None where they do not vary.

    Draws that are all equal come of items without a single error (or success): they say nothing
    of how rare errors are, and an interval without width would pretend to certainty.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0 or np.ptp(defined) == 0:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean_interval(
    values: Float[np.ndarray, " k"], limits: Float[np.ndarray, "k 2"]
) -> tuple[float, float]:
    """The interval of the plain mean of figures that are independent, from their own intervals.

    Where those keep a width at 0 and 1, this one does too.

    Args:
        values: The figures.
        limits: The lower and the upper limit of each.

    Source: the square-and-add method of Zou and Donner, "Construction of confidence limits about
    effect measures", Statistics in Medicine 27, 2008.
    """
    reach = np.sqrt(np.square(limits - values[:, None]).sum(0)) / len(values)
    mean = float(values.mean())
    return float(mean - reach[0]), float(mean + reach[1])


def wider(limits: tuple[float, float]) -> Callable[[float, Draws], tuple[float, float]]:
    """What makes an interval for `bootstrap`: that of the draws, widened to hold these limits.

    Draws of items of which nearly all are right vary too little; such limits as Wilson's do not.
    """

    def interval(_value: float, draws: Draws) -> tuple[float, float]:
        low, high = percentile_interval(draws) or limits
        return min(low, limits[0]), max(high, limits[1])

    return interval


def fold_widening(num_folds: int) -> float:
    """How many times as wide an interval must be whose items were answered by models of folds.

    The models of two folds share most of their training items, so that their errors go together,
    which an interval of independent items does not know. The variance of the mean over k folds is
    that of one fold times 1 / k + 1 / (k - 1), where that of independent models has the first term
    alone; no estimate of it from one cross-validation is free of bias.

    Args:
        num_folds: Number of folds, 2 at least.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003;
    Bengio and Grandvalet, JMLR 5, 2004, on the estimate.

    >>> round(fold_widening(5), 3), round(fold_widening(10), 3)
    (1.5, 1.453)
    """
    return float(np.sqrt(1 + num_folds / (num_folds - 1)))


def widened(figure: Estimate, factor: float, low: float, high: float) -> Estimate:
    """The figure with limits that are so many times further away.

    Args:
        figure: The figure.
        factor: Factor on the distance of each limit from the value.
        low: What the figure can be at least.
        high: What it can be at most.
    """
    if figure.value is None or figure.ci95 is None:
        return figure
    below, above = (figure.value + factor * (limit - figure.value) for limit in figure.ci95)
    return replace(figure, ci95=(max(below, low), min(above, high)))


def wilson_interval(value: float, num_items: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share of `num_items` independent items.

    It has a width at 0 and 1 too, where a bootstrap has none.

    Args:
        value: The share.
        num_items: Number of the items.
        level: How often such intervals hold the true share.

    Source: Wilson, JASA 22, 1927.
    """
    from scipy.special import ndtri  # slow to import

    z = float(ndtri((1 + level) / 2))
    shrink = 1 + z**2 / num_items
    centre = (value + z**2 / (2 * num_items)) / shrink
    half = z / shrink * np.sqrt(value * (1 - value) / num_items + z**2 / (4 * num_items**2))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def effective_size(groups: Numbers) -> float:
    """The number of independent items that items are worth whose groups stand or fall together.

    Source: Kish, Survey Sampling, 1965: n squared over the sum of squared group sizes.
    """
    _, sizes = np.unique(groups, return_counts=True)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def share_estimate(value: float, groups: Numbers) -> Estimate:
    """A share of items with Wilson's interval, at the number of independent items."""
    return Estimate(value=value, ci95=wilson_interval(value, effective_size(groups)))


def _draw(size: int, num_draws: int, rng: np.random.Generator) -> Int[np.ndarray, "size draws"]:
    """How often each of `size` things occurs in `size` draws with replacement, `num_draws` times."""
    chosen = rng.integers(size, size=(num_draws, size)) + size * np.arange(num_draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=size * num_draws).reshape(num_draws, size).T
