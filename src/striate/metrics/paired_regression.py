"""Two predictors of numbers on the same items: is one closer, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import wilcoxon

from striate.errors import ArgumentError
from striate.metrics.bootstrap import NUM_RESAMPLES, resampling_weights
from striate.metrics.intervals import Estimate, percentile_interval
from striate.metrics.regression import (
    IN_UNIT,
    REGRESSION_METRICS,
    estimate_text,
    regression_values,
)


@dataclass(frozen=True, kw_only=True)
class PairedRegression:
    """The second predictor against the first.

    Attributes:
        differences: second minus first, for each name in `REGRESSION_METRICS`; a negative one of
            an error means that the second errs less.
        closer_first: items where the first is closer to the target.
        closer_second: items where the second is.
        p_value: of Wilcoxon's signed-rank test on the absolute errors: the chance of so uneven
            ranks, or more uneven ones, if both erred alike. It takes the items as independent.
    """

    differences: dict[str, Estimate]
    closer_first: int
    closer_second: int
    p_value: float

    def as_json(self) -> dict[str, Any]:
        """What `striate compare --json` says of the result."""
        return {
            "closer_first": self.closer_first,
            "closer_second": self.closer_second,
            "p_value": self.p_value,
            "differences": {
                name: {"value": estimate.value, "ci95": estimate.ci95}
                for name, estimate in self.differences.items()
            },
        }

    def as_lines(self, first: str, second: str, *, unit: str = "") -> list[str]:
        """The result for a person, with the names of both and the unit of the targets."""
        lines = [
            f"closer in {first}: {self.closer_first}, in {second}: {self.closer_second} "
            f"(Wilcoxon's signed-rank test: p = {self.p_value:.3g})"
        ]
        for name, estimate in self.differences.items():
            text = estimate_text(estimate, unit=unit if name in IN_UNIT else "", signed=True)
            lines.append(f"{name:22} {text}")
        return lines


def compare_regression(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> PairedRegression:
    """Compare two predictors by their predictions for the same items.

    Both are evaluated on the same draws, so that hard items, which are hard for both, do not
    blur the difference.

    Args:
        first: predictions of the one.
        second: predictions of the other.
        targets: the true numbers.
        groups: items of one number are drawn together; all apart by default.
        num_resamples: draws.
        seed: of the draws.

    Raises:
        ArgumentError: no items, arrays of different lengths, or a value that is not finite.
    """
    if first.shape != second.shape:
        raise ArgumentError(
            f"predictions of {first.shape} and {second.shape}", fix="give the same items to both"
        )
    if groups is None:
        groups = np.arange(len(targets))
    values = _differences(first, second, targets, np.ones((len(targets), 1)))
    one_stratum = np.zeros(len(targets), dtype=np.int64)
    blocks = [
        _differences(first, second, targets, weights)
        for weights in resampling_weights(one_stratum, groups, num_resamples, seed)
    ]
    exact = targets.astype(np.float64)
    gains = np.abs(first.astype(np.float64) - exact) - np.abs(second.astype(np.float64) - exact)
    return PairedRegression(
        differences={
            name: _estimate(float(values[name][0]), np.concatenate([b[name] for b in blocks]))
            for name in REGRESSION_METRICS
        },
        closer_first=int((gains < 0).sum()),
        closer_second=int((gains > 0).sum()),
        p_value=signed_rank(gains),
    )


def signed_rank(differences: Float[np.ndarray, " n"]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; differences of zero are left out.

    1 where nothing differs.

    Source: Wilcoxon, Biometrics Bulletin 1, 1945.
    """
    differing = differences[differences != 0]
    if len(differing) == 0:
        return 1.0
    return float(wilcoxon(differing).pvalue)


def _differences(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    targets: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> dict[str, Float[np.ndarray, " b"]]:
    of_first = regression_values(first, targets, weights)
    of_second = regression_values(second, targets, weights)
    return {name: of_second[name] - of_first[name] for name in REGRESSION_METRICS}


def _estimate(value: float, draws: Float[np.ndarray, " b"]) -> Estimate:
    if np.isnan(value):
        return Estimate(value=None, reason="the targets, or one's predictions, do not vary")
    interval = percentile_interval(draws)
    reason = "" if interval else "the difference is the same in every resample of these items"
    return Estimate(value=value, ci95=interval, reason=reason)
