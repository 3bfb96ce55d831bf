"""95 % intervals: what a figure could have been on other items of the same kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: the figure; None where it is not defined.
        ci95: lower and upper limit; None where the items cannot tell them.
        reason: why the value or the interval is None; else empty.
    """

    value: float | None
    ci95: tuple[float, float] | None = None
    reason: str = ""

    def as_text(self, *, signed: bool = False) -> str:
        """The figure and its interval for a person; `signed` shows a plus too."""
        sign = "+" if signed else ""
        if self.value is None:
            return f"undefined ({self.reason})"
        if self.ci95 is None:
            return f"{self.value:{sign}.4f}"
        low, high = self.ci95
        return f"{self.value:{sign}.4f} (95 % interval {low:{sign}.4f} to {high:{sign}.4f})"


def percentile_interval(draws: Float[np.ndarray, " b"]) -> tuple[float, float] | None:
    """The middle 95 % of the draws that are defined; None where they do not vary.

    Draws that are all equal come of items without a single error (or success): they say nothing
    of how rare errors are, and an interval without width would pretend to certainty.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0 or np.ptp(defined) == 0:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ece_interval(value: float, draws: Float[np.ndarray, " b"]) -> tuple[float, float] | None:
    """An interval for the calibration error, whose draws are biased upwards.

    Each bin adds the absolute value of a mean, which grows with noise: the error of `n` items is
    too high, and that of their draws, with twice the variance, higher still. The percentile
    interval is therefore mirrored at the value (the "basic" interval). For a calibrated
    classifier noise of variance v adds k sqrt(v) to the error and k sqrt(2 v) to the draws: the
    draws show (sqrt(2) - 1) of the value's own excess, and sqrt(2) times as much is still in it.
    That is taken off the lower limit. The interval is cut at zero and always holds the value.
    """
    interval = percentile_interval(draws)
    if interval is None:
        return None
    low, high = interval
    hidden_bias = np.sqrt(2) * max(float(draws.mean()) - value, 0.0)
    return float(max(2 * value - high - hidden_bias, 0.0)), max(2 * value - low, value)


def wilson_interval(value: float, num_items: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `num_items` independent items.

    It has a width at 0 and 1 too, where a bootstrap has none.

    Source: Wilson, JASA 22, 1927.
    """
    z = float(ndtri((1 + LEVEL) / 2))
    shrink = 1 + z**2 / num_items
    centre = (value + z**2 / (2 * num_items)) / shrink
    half = z / shrink * np.sqrt(value * (1 - value) / num_items + z**2 / (4 * num_items**2))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def effective_size(groups: Int[np.ndarray, " n"]) -> float:
    """How many independent items the items are worth when those of one group stand or fall together.

    Source: Kish, Survey Sampling, 1965: n squared over the sum of squared group sizes.
    """
    _, sizes = np.unique(groups, return_counts=True)
    return float(sizes.sum() ** 2 / (sizes**2).sum())
