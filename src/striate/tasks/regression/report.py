"""The report on predicted numbers: what it holds, and how it comes from the test items."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from striate.metrics.intervals import Estimate
from striate.metrics.regression import Values, coverage, evaluate_regression
from striate.report.facts import NUM_MISTAKES, EvaluatedItems, RunFacts
from striate.report.schema import Mistake, Record, RunReport

MAX_POINTS: Final = 500
"""Number of items shown as points; of more, so many are drawn at random."""

_MAX_BINS: Final = 40


class Figures(Record):
    """The metrics of predicted numbers; errors are in the unit of the targets."""

    mae: Estimate
    rmse: Estimate
    r2: Estimate
    median_absolute_error: Estimate
    pearson: Estimate


class Baselines(Record):
    """What the model must beat.

    Attributes:
        mean: Always the mean of the training targets.
        probe: A linear model of the frozen features; None where there was none.
    """

    mean: Figures
    probe: Figures | None


class Interval(Record):
    """The interval around each prediction, and how often it held on the test items.

    Attributes:
        half_width: Distance of either limit from the prediction, where its scale is 1.
        level: Share of new items whose true number it is to hold.
        num_items: Number of validation items that it was taken from.
        coverage: Share of the test items whose true number it held.
        knots: Predictions at which the scale is known; empty where it is 1 everywhere.
        scales: The scale at each of them.
        mean_half_width: Mean half width over the test items; None in reports of earlier versions.
    """

    half_width: float
    level: float
    num_items: int
    coverage: Estimate
    knots: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    mean_half_width: float | None = None

    def range(self) -> tuple[float, float]:
        """The smallest and the largest half width."""
        scales = self.scales or (1.0,)
        return self.half_width * min(scales), self.half_width * max(scales)


class NumberMistake(Mistake):
    """A test item and the number predicted for it."""

    target: float
    prediction: float


class Scatter(Record):
    """Targets and predictions of test items, in pairs; a sample of them where there are many."""

    targets: tuple[float, ...]
    predictions: tuple[float, ...]


class Histogram(Record):
    """Numbers of items between edges; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    count: tuple[int, ...]


class WithoutLeaks(Record):
    """The figures on the test items that have no copy in the other splits."""

    num_items: int
    test: Figures


class RegressionReport(RunReport):
    """The evaluation of a predictor of numbers.

    Attributes:
        training_mean: Mean of the training targets, the prediction of the baseline.
        interval: None where there were too few validation items to tell one.
        worst_mistakes: The furthest off first.
        residuals: Test items by prediction minus target.
        leaks: How the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["regression"] = "regression"
    training_mean: float
    test: Figures
    baselines: Baselines
    interval: Interval | None
    worst_mistakes: tuple[NumberMistake, ...]
    scatter: Scatter
    residuals: Histogram
    leaks: WithoutLeaks | None


def build_report(facts: RunFacts, test: EvaluatedItems, *, seed: int = 0) -> RegressionReport:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: What there is to say of the run apart from its test items.
        test: The items, whose truth are numbers; one at least.
        seed: Seed of the bootstrap, and of the sample of points.

    Raises:
        ArgumentError: There are no items, the arrays do not fit together, or a number is not
            finite.
    """

    def evaluated(predictions: Values) -> Figures:
        found = evaluate_regression(predictions, test.truth, test.groups, seed=seed)
        return Figures(**found)

    predictions = test.calibration.answers(test.outputs)
    (mean,) = test.constant.tolist()
    return RegressionReport(
        **facts.fields(),
        unit=test.calibration.unit,
        training_mean=mean,
        test=evaluated(predictions),
        baselines=Baselines(
            mean=evaluated(np.full(len(test.ids), mean)),
            probe=None if test.probe is None else evaluated(test.probe),
        ),
        interval=_interval(test, predictions),
        worst_mistakes=_worst_mistakes(test, predictions),
        scatter=_scatter(test, predictions, seed),
        residuals=_histogram(predictions - test.truth),
        leaks=_without_leaks(test, seed),
    )


def _interval(test: EvaluatedItems, predictions: Values) -> Interval | None:
    interval = test.calibration.interval
    if interval is None:
        return None
    held = coverage(predictions, test.truth, interval, test.groups)
    mean = float(interval.half_widths(predictions).mean())
    return Interval(**vars(interval), coverage=held, mean_half_width=mean)


def _worst_mistakes(test: EvaluatedItems, predictions: Values) -> tuple[NumberMistake, ...]:
    """The predictions that are furthest off, the furthest first; exact ones are none."""
    errors = np.abs(predictions - test.truth)
    worst = np.argsort(-errors, kind="stable")[:NUM_MISTAKES]
    return tuple(
        NumberMistake(id=test.ids[i], target=float(test.truth[i]), prediction=float(predictions[i]))
        for i in worst
        if errors[i] > 0
    )


def _scatter(test: EvaluatedItems, predictions: Values, seed: int) -> Scatter:
    """Every item, or `MAX_POINTS` of them, in their order."""
    shown = np.arange(len(test.ids))
    if len(shown) > MAX_POINTS:
        rng = np.random.default_rng(seed)
        shown = np.sort(rng.choice(shown, MAX_POINTS, replace=False))
    return Scatter(
        targets=tuple(test.truth[shown].tolist()), predictions=tuple(predictions[shown].tolist())
    )


def _histogram(residuals: Values) -> Histogram:
    """Counts in bins of equal width, by Freedman's and Diaconis' rule but no more than 40."""
    low, high = np.quantile(residuals, [0.25, 0.75])
    width = 2 * (high - low) / len(residuals) ** (1 / 3)
    wanted = np.ptp(residuals) / width if width > 0 else np.sqrt(len(residuals))
    count, edges = np.histogram(residuals, bins=int(np.clip(np.ceil(wanted), 1, _MAX_BINS)))
    return Histogram(edges=tuple(edges.tolist()), count=tuple(count.tolist()))


def _without_leaks(test: EvaluatedItems, seed: int) -> WithoutLeaks | None:
    rest = test.without_leaks()
    if rest is None:
        return None
    predictions = rest.calibration.answers(rest.outputs)
    found = evaluate_regression(predictions, rest.truth, rest.groups, seed=seed)
    return WithoutLeaks(num_items=len(rest.ids), test=Figures(**found))
