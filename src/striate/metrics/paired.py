"""Two models on the same items: is one better, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float

from striate.errors import ArgumentError
from striate.metrics.classification import metric_values
from striate.metrics.intervals import Draws, Estimate, Numbers, Weights, bootstrap, estimate_lines
from striate.metrics.regression import IN_UNIT, Values, regression_values

CLEAR: Final = 0.01
"""P-value at which one model is called clearly better.

Two runs of one recipe that differ in their seeds alone are truly a little apart, so that at 5 % they
would be told apart too often (see docs/trust.md)."""


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """A second model against a first one.

    Attributes:
        differences: Second minus first, for each metric; a negative one of an error or a loss means
            that the second does better.
        better: What a model is on an item where it does better than the other.
        first_better: Number of items where the first does better.
        second_better: Number of items where the second does.
        lead: What the test judges: the second's lead over the first, in the test's own unit.
        test: Name of the test behind `p_value`.
        p_value: Chance of so uneven a result, or a more uneven one, if both were equally good. It
            takes the items as independent.
        digits: Significant digits in which figures are shown; four decimals where None.
        in_unit: Metrics that are in the unit of the targets.
    """

    differences: Mapping[str, Estimate]
    better: str
    first_better: int
    second_better: int
    lead: float
    test: str
    p_value: float
    digits: int | None = None
    in_unit: tuple[str, ...] = ()

    @property
    def clearly_better(self) -> Literal["first", "second"] | None:
        """The one that leads by the test, where chance does not explain it; else None."""
        if self.p_value > CLEAR or self.lead == 0:
            return None
        return "second" if self.lead > 0 else "first"

    def as_json(self) -> dict[str, Any]:
        """What `striate compare --json` says of the result."""
        return {
            "clearly_better": self.clearly_better,
            "first_better": self.first_better,
            "second_better": self.second_better,
            "test": self.test,
            "p_value": self.p_value,
            "differences": {
                name: {"value": estimate.value, "ci95": estimate.ci95}
                for name, estimate in self.differences.items()
            },
        }

    def as_lines(self, first: str, second: str, *, unit: str = "") -> list[str]:
        """The result for a person, with the names of both and the unit of the targets."""
        head = (
            f"{self.better} in {first}: {self.first_better}, in {second}: {self.second_better} "
            f"({self.test}: p = {self.p_value:.3g})"
        )
        better = {"first": first, "second": second, None: None}[self.clearly_better]
        verdict = f"clearly better: {better}" if better else "neither is clearly better"
        lines = estimate_lines(self.differences, self.digits, unit, self.in_unit, signed=True)
        return [head, *lines, f"{verdict} (at p = {CLEAR:g})"]


def compare(
    first: Float[np.ndarray, "n c"],
    second: Float[np.ndarray, "n c"],
    labels: Numbers,
    *,
    answers: tuple[Numbers, Numbers] | None = None,
) -> PairedComparison:
    """Compare two classifiers by their probabilities for the same items.

    Both are evaluated on the same draws, so that hard items, which are hard for both, do not
    blur the difference.

    Args:
        first: Probabilities that the one gives.
        second: Probabilities that the other gives.
        labels: The class number of each item.
        answers: The class number that each answers with; by default its most probable class.

    Raises:
        ArgumentError: There are no items, or the arrays are of different shapes.
    """
    if first.shape != second.shape or len(first) != len(labels) or len(labels) == 0:
        raise ArgumentError(
            f"probabilities of {first.shape} and {second.shape} for {len(labels)} labels",
            fix="give the same items, at least one, and the same classes to both",
        )
    missing = "a class has no item here"
    chosen = answers or (first.argmax(1), second.argmax(1))
    gains = 1.0 * (chosen[1] == labels) - (chosen[0] == labels)
    only_first, only_second = int((gains < 0).sum()), int((gains > 0).sum())
    return PairedComparison(
        differences=_differences(
            lambda model, truth, weights: metric_values(model[0], truth, weights, model[1]),
            (first, chosen[0]),
            (second, chosen[1]),
            labels,
            labels,
            missing,
        ),
        better="right only",
        first_better=only_first,
        second_better=only_second,
        lead=only_second - only_first,
        test="McNemar's exact test",
        p_value=mcnemar(only_first, only_second),
    )


def compare_regression(first: Values, second: Values, targets: Values) -> PairedComparison:
    """Compare two predictors of numbers as `compare` does classifiers.

    Args:
        first: Predictions that the one makes.
        second: Predictions that the other makes.
        targets: True number of each item.

    Raises:
        ArgumentError: There are no items, the arrays are of different lengths, or a value is not
            finite.
    """
    if first.shape != second.shape:
        raise ArgumentError(
            f"predictions of {first.shape} and {second.shape}", fix="give the same items to both"
        )
    constant = "the targets, or one's predictions, do not vary"
    one_stratum = np.zeros(len(targets), np.int64)
    exact = targets.astype(np.float64)
    gains = np.abs(first.astype(np.float64) - exact) - np.abs(second.astype(np.float64) - exact)
    return PairedComparison(
        differences=_differences(regression_values, first, second, targets, one_stratum, constant),
        better="closer",
        first_better=int((gains < 0).sum()),
        second_better=int((gains > 0).sum()),
        lead=signed_rank_sum(gains),
        test="Wilcoxon's signed-rank test",
        p_value=signed_rank(gains),
        digits=4,
        in_unit=IN_UNIT,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: 1 where both are right on the same items.

    Source: McNemar, Psychometrika 12, 1947; in its exact, binomial form.
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(only_first, only_first + only_second).pvalue)


def signed_rank_sum(differences: Values) -> float:
    """The ranks of the positive differences less those of the negative, by size, zeros left out.

    Its sign is the direction of Wilcoxon's signed-rank test, which may differ from that of the
    counts: many small differences weigh less than a few large ones.
    """
    from scipy.stats import rankdata  # slow to import

    differing = differences[differences != 0]
    return float(rankdata(np.abs(differing)) @ np.sign(differing))


def signed_rank(differences: Values) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; differences of zero are left out.

    1 where nothing differs.

    Source: Wilcoxon, Biometrics Bulletin 1, 1945.
    """
    differing = differences[differences != 0]
    if len(differing) == 0:
        return 1.0
    from scipy.stats import wilcoxon  # slow to import

    return float(wilcoxon(differing).pvalue)


def _differences(
    values: Callable[..., Mapping[str, Draws]],
    first: Any,
    second: Any,
    truth: Float[np.ndarray, " n"] | Numbers,
    strata: Numbers,
    undefined: str,
) -> dict[str, Estimate]:
    """Every metric of the second less that of the first, evaluated on the same draws."""

    def difference(weights: Weights) -> dict[str, Draws]:
        of_first, of_second = (values(answers, truth, weights) for answers in (first, second))
        return {name: of_second[name] - of_first[name] for name in of_second}

    return bootstrap(difference, strata, None, undefined=undefined, figure="difference")
