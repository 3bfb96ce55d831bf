"""How well odd items are told from good ones: areas, alarms, and the threshold of a promise."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from striate.metrics.area_interval import area_interval
from striate.metrics.intervals import (
    LEVEL,
    Draws,
    Estimate,
    Numbers,
    Weights,
    bootstrap,
    effective_size,
    share_estimate,
    wider,
)
from striate.metrics.probabilities import binary_roc_auc

FALSE_ALARMS: Final = 0.05
"""Share of good items that is to be taken for odd."""

THRESHOLD: Final = 1.0
"""Score from which on an item is odd: scores are distances over the threshold's."""


@dataclass(frozen=True, kw_only=True)
class AlarmThreshold:
    """A distance beyond which an item is odd, and what it promises.

    Attributes:
        distance: The threshold; an item at it is not odd.
        share: Share of new good items that is beyond it, on average over draws of the held-out ones.
        low: Lower limit of that share with just these held-out items.
        high: Its upper limit; between the two it lies in 95 of 100 draws.
        num_items: Number of held-out good items that it was taken from.
    """

    distance: float
    share: float
    low: float
    high: float
    num_items: int


def alarm_threshold(
    distances: Float[np.ndarray, " n"], share: float = FALSE_ALARMS
) -> AlarmThreshold:
    """The lowest threshold that so few good items are beyond, whatever their distances are like.

    Of n held-out items the k-th smallest distance, k = ceil((n + 1) * (1 - share)), is exceeded by
    n + 1 - k of n + 1 new items on average (split conformal prediction); with just these items held
    out the share is a draw from a beta distribution of n + 1 - k and k. Too few items cannot promise
    so small a share: then it is the largest distance.

    Args:
        distances: Distances of held-out good items, one at least, that are independent.
        share: Share of good items that may be beyond the threshold.

    Source: Vovk, "Conditional validity of inductive conformal predictors", ACML 2012.
    """
    from scipy.stats import beta  # slow to import

    n = len(distances)
    k = min(n, ceil((n + 1) * (1 - share) - 1e-9))
    low, high = beta.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], n + 1 - k, k)
    return AlarmThreshold(
        distance=float(np.sort(distances)[k - 1]),
        share=(n + 1 - k) / (n + 1),
        low=float(low),
        high=float(high),
        num_items=n,
    )


def metric_values(
    scores: Float[np.ndarray, " n"], odd: Bool[np.ndarray, " n"], weights: Weights
) -> dict[str, Draws]:
    """Every metric under some weightings of the items; NaN where good or odd items are missing.

    Args:
        scores: Distances over the threshold.
        odd: Whether each item is odd in truth.
        weights: Weightings of the items.
    """
    said = scores > THRESHOLD
    return {
        "roc_auc": binary_roc_auc(scores, odd, weights),
        "recall": _share(said & odd, odd, weights),
        "precision": _share(said & odd, said, weights),
        "false_alarms": _share(said & ~odd, ~odd, weights),
    }


def evaluate(
    scores: Float[np.ndarray, " n"],
    odd: Bool[np.ndarray, " n"],
    groups: Numbers | None = None,
    *,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The metrics with their intervals, which keep a width where every item is right.

    Args:
        scores: Distances over the threshold.
        odd: Whether each item is odd in truth.
        groups: Number of each item's group, which counts as one fact; by default every item is a
            group of its own.
        seed: Seed of the draws.
    """
    groups = np.arange(len(scores)) if groups is None else groups
    said = scores > THRESHOLD
    limits = {}
    if odd.any() and not odd.all():
        area = float(binary_roc_auc(scores, odd, np.ones((len(odd), 1)))[0])
        sizes = (effective_size(groups[odd]), effective_size(groups[~odd]))
        limits["roc_auc"] = wider(area_interval(area, *sizes))
    missing = "no good item is here" if odd.all() else "no odd item is here"
    found = bootstrap(
        lambda weights: metric_values(scores, odd, weights),
        odd.astype(np.int64),
        groups,
        undefined=missing,
        intervals=limits,
        seed=seed,
    )
    for name, among, hits in (("recall", odd, said), ("false_alarms", ~odd, said)):
        if among.any():
            found[name] = share_estimate(float(hits[among].mean()), groups[among])
    if odd.any() and said.any():
        found["precision"] = share_estimate(float(odd[said].mean()), groups[said])
    elif odd.any():
        found["precision"] = Estimate(value=None, reason="no item is taken for odd")
    else:
        # That all alarms among good items are false says nothing.
        found["precision"] = Estimate(value=None, reason=missing)
    return found


def _share(hits: Bool[np.ndarray, " n"], among: Bool[np.ndarray, " n"], weights: Weights) -> Draws:
    total = among @ weights
    undefined = np.full(weights.shape[1], np.nan)
    return np.asarray(np.divide(hits @ weights, total, out=undefined, where=total > 0))
