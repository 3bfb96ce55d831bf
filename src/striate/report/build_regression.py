"""From the numbers predicted for the test items to a report: a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from striate.metrics import PredictionInterval, coverage, evaluate_regression
from striate.report.facts import NUM_MISTAKES, RunFacts, figure, figures, shared_fields
from striate.report.schema_regression import (
    Histogram,
    Interval,
    RegressionBaselines,
    RegressionFigures,
    RegressionMistake,
    RegressionReport,
    RegressionWithoutLeaks,
    Scatter,
)

MAX_POINTS = 500
"""Items shown as points; of more, so many are drawn at random."""

_MAX_BINS = 40


@dataclass(frozen=True, kw_only=True)
class RegressionItems:
    """The test items and the numbers predicted for them.

    Attributes:
        ids: of the items.
        targets: the true numbers.
        predictions: of the model, in the same unit.
        training_mean: mean of the training targets.
        unit: of the targets, such as "mm"; empty where it is not known.
        interval: around each prediction, fitted on the validation items.
        groups: items of one number (copies) count as one fact; all apart where None.
        probe_predictions: of a linear model of the frozen features, where one was trained.
        leaked: items with a copy in another part; nothing leaked where None.
    """

    ids: Sequence[str]
    targets: Float[np.ndarray, " n"]
    predictions: Float[np.ndarray, " n"]
    training_mean: float
    unit: str = ""
    interval: PredictionInterval | None = None
    groups: Int[np.ndarray, " n"] | None = None
    probe_predictions: Float[np.ndarray, " n"] | None = None
    leaked: Bool[np.ndarray, " n"] | None = None


def build_regression_report(
    facts: RunFacts, test: RegressionItems, *, seed: int = 0
) -> RegressionReport:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: of the run.
        test: the items; one at least.
        seed: of the bootstrap, and of the sample of points.

    Raises:
        ArgumentError: no items, arrays that do not fit together, or a number that is not finite.
    """

    def evaluated(predictions: Float[np.ndarray, " n"]) -> RegressionFigures:
        found = evaluate_regression(predictions, test.targets, test.groups, seed=seed)
        return RegressionFigures(**figures(found))

    probe = test.probe_predictions
    return RegressionReport(
        **shared_fields(facts),
        unit=test.unit,
        training_mean=test.training_mean,
        test=evaluated(test.predictions),
        baselines=RegressionBaselines(
            mean=evaluated(np.full(len(test.targets), test.training_mean)),
            probe=None if probe is None else evaluated(probe),
        ),
        interval=_interval(test),
        worst_mistakes=_worst_mistakes(test),
        scatter=_scatter(test, seed),
        residuals=_histogram(test.predictions - test.targets),
        leaks=_without_leaks(test, seed),
    )


def _interval(test: RegressionItems) -> Interval | None:
    if test.interval is None:
        return None
    held = coverage(test.predictions, test.targets, test.interval, test.groups)
    return Interval(
        half_width=test.interval.half_width,
        level=test.interval.level,
        num_items=test.interval.num_items,
        coverage=figure(held),
    )


def _worst_mistakes(test: RegressionItems) -> tuple[RegressionMistake, ...]:
    """The predictions that are furthest off, the furthest first; exact ones are none."""
    errors = np.abs(test.predictions - test.targets)
    worst = np.argsort(-errors, kind="stable")[:NUM_MISTAKES]
    return tuple(
        RegressionMistake(
            id=test.ids[i], target=float(test.targets[i]), prediction=float(test.predictions[i])
        )
        for i in worst
        if errors[i] > 0
    )


def _scatter(test: RegressionItems, seed: int) -> Scatter:
    """Every item, or `MAX_POINTS` of them, in their order."""
    shown = np.arange(len(test.targets))
    if len(shown) > MAX_POINTS:
        rng = np.random.default_rng(seed)
        shown = np.sort(rng.choice(shown, MAX_POINTS, replace=False))
    return Scatter(
        targets=tuple(test.targets[shown].tolist()),
        predictions=tuple(test.predictions[shown].tolist()),
    )


def _histogram(residuals: Float[np.ndarray, " n"]) -> Histogram:
    """Counts in bins of equal width, by Freedman's and Diaconis' rule but no more than 40."""
    exact = residuals.astype(np.float64)
    low, high = np.quantile(exact, [0.25, 0.75])
    width = 2 * (high - low) / len(exact) ** (1 / 3)
    wanted = np.ptp(exact) / width if width > 0 else np.sqrt(len(exact))
    count, edges = np.histogram(exact, bins=int(np.clip(np.ceil(wanted), 1, _MAX_BINS)))
    return Histogram(edges=tuple(edges.tolist()), count=tuple(count.tolist()))


def _without_leaks(test: RegressionItems, seed: int) -> RegressionWithoutLeaks | None:
    if test.leaked is None or not test.leaked.any() or test.leaked.all():
        return None
    kept = ~test.leaked
    groups = None if test.groups is None else test.groups[kept]
    found = evaluate_regression(test.predictions[kept], test.targets[kept], groups, seed=seed)
    return RegressionWithoutLeaks(
        num_items=int(kept.sum()), test=RegressionFigures(**figures(found))
    )
