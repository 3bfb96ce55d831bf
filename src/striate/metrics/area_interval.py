"""The interval of an area under the ROC curve, which keeps a width at 0 and 1."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from striate.metrics.intervals import LEVEL, Numbers, effective_size

_STEPS: Final = 50
"""Halvings of an interval that holds a limit: none is seen of what is left."""


def area_interval(value: float, num_positive: float, num_negative: float) -> tuple[float, float]:
    """The areas from which the observed one is at most 1.96 of their own standard errors away.

    It is to an area what Wilson's interval is to a share: of items that are ranked without a single
    error a bootstrap sees nothing but 1, and here the lower limit falls with the number of items.

    Args:
        value: The observed area.
        num_positive: Number of independent items of the class, at least 1.
        num_negative: Number of independent items of the others, at least 1.

    Source: method 5 of Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", Statistics in Medicine 25, 2006.
    """
    n = (num_positive + num_negative) / 2
    from scipy.special import ndtri  # slow to import

    z = float(ndtri((1 + LEVEL) / 2))

    def holds(area: float) -> bool:
        spread = (2 * n - 1 - (3 * n - 3) / ((2 - area) * (1 + area))) * area * (1 - area)
        return (value - area) ** 2 <= z**2 * spread / (num_positive * num_negative)

    def limit(outside: float) -> float:
        inside = value
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if holds(middle) else (inside, middle)
        return inside

    return limit(0.0), limit(1.0)


def class_area_intervals(
    areas: Float[np.ndarray, " c"], members: Bool[np.ndarray, "n c"], groups: Numbers
) -> Float[np.ndarray, "c 2"]:
    """The interval of each class's area, at the number of independent items.

    Args:
        areas: The area of each class against all others; those that are NaN get NaN.
        members: Whether each item belongs to each class.
        groups: Number of each item's group, which counts as one fact.
    """
    limits = np.full((len(areas), 2), np.nan)
    for k in np.flatnonzero(~np.isnan(areas)):
        inside = members[:, k]
        sizes = (effective_size(groups[inside]), effective_size(groups[~inside]))
        limits[k] = area_interval(float(areas[k]), *sizes)
    return limits
