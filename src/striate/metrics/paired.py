"""Two classifiers on the same items: is one better, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binomtest

from striate.errors import ArgumentError
from striate.metrics.bootstrap import NUM_RESAMPLES, resampling_weights
from striate.metrics.evaluation import METRICS, metric_values
from striate.metrics.intervals import Estimate, percentile_interval


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """The second classifier against the first.

    Attributes:
        differences: second minus first, for each name in `METRICS`.
        only_first: items that only the first classifies correctly.
        only_second: items that only the second classifies correctly.
        p_value: of McNemar's exact test: the chance of so uneven a count, or a more uneven one,
            if both were right equally often. It takes the items as independent.
    """

    differences: dict[str, Estimate]
    only_first: int
    only_second: int
    p_value: float


def compare(
    first: Float[np.ndarray, "n c"],
    second: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare two classifiers by their probabilities for the same items.

    Both are evaluated on the same draws, so that hard items, which are hard for both, do not
    blur the difference.

    Args:
        first: probabilities of the one.
        second: probabilities of the other.
        labels: class numbers.
        groups: items of one number are drawn together; all apart by default.
        num_resamples: draws.
        seed: of the draws.

    Raises:
        ArgumentError: no items, or arrays of different shapes.
    """
    if first.shape != second.shape or len(first) != len(labels) or len(labels) == 0:
        raise ArgumentError(
            f"probabilities of {first.shape} and {second.shape} for {len(labels)} labels",
            fix="give the same items, at least one, and the same classes to both",
        )
    if groups is None:
        groups = np.arange(len(labels))
    blocks = [
        _differences(first, second, labels, weights)
        for weights in resampling_weights(labels, groups, num_resamples, seed)
    ]
    values = _differences(first, second, labels, np.ones((len(labels), 1)))
    first_right, second_right = first.argmax(1) == labels, second.argmax(1) == labels
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    return PairedComparison(
        differences={
            name: _estimate(float(values[name][0]), np.concatenate([b[name] for b in blocks]))
            for name in METRICS
        },
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: 1 where both are right on the same items.

    Source: McNemar, Psychometrika 12, 1947; in its exact, binomial form.
    """
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def _differences(
    first: Float[np.ndarray, "n c"],
    second: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> dict[str, Float[np.ndarray, " b"]]:
    of_first = metric_values(first, labels, weights)
    of_second = metric_values(second, labels, weights)
    return {name: of_second[name] - of_first[name] for name in METRICS}


def _estimate(value: float, draws: Float[np.ndarray, " b"]) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, reason="a class has no item here")
    interval = percentile_interval(draws)
    reason = "" if interval else "the difference is the same in every resample of these items"
    return Estimate(value=value, ci95=interval, reason=reason)
