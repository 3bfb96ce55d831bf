"""`report.json` where the task is to predict a number."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from striate.report.schema import Figure, Record, Report, RunReport, Text


class RegressionFigures(Record):
    """The metrics of predicted numbers; errors are in the unit of the targets."""

    mae: Figure
    rmse: Figure
    r2: Figure
    median_absolute_error: Figure
    pearson: Figure


class RegressionBaselines(Record):
    """What the model must beat.

    Attributes:
        mean: always the mean of the training targets.
        probe: a linear model of the frozen features; None where there was none.
    """

    mean: RegressionFigures
    probe: RegressionFigures | None


class Interval(Record):
    """The interval around each prediction, and how often it held on the test items.

    Attributes:
        half_width: an interval reaches from the prediction minus this to the prediction plus it.
        level: share of new items whose true number it is to hold.
        num_items: validation items it was taken from.
        coverage: share of the test items whose true number it held.
    """

    half_width: float
    level: float
    num_items: int
    coverage: Figure


class RegressionMistake(Record):
    """A test item and the number predicted for it."""

    id: Text
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


class RegressionWithoutLeaks(Record):
    """The figures on the test items that have no copy in the other parts."""

    num_items: int
    test: RegressionFigures


class RegressionReport(RunReport):
    """The evaluation of a predictor of numbers.

    Attributes:
        unit: of the targets; empty where it is not known.
        training_mean: mean of the training targets, the prediction of the baseline.
        interval: None where the validation part was too small to tell one.
        worst_mistakes: the furthest off first.
        residuals: test items by prediction minus target.
        leaks: how the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["regression"] = "regression"
    unit: Text = ""
    training_mean: float
    test: RegressionFigures
    baselines: RegressionBaselines
    interval: Interval | None
    worst_mistakes: tuple[RegressionMistake, ...]
    scatter: Scatter
    residuals: Histogram
    leaks: RegressionWithoutLeaks | None


AnyReport: TypeAlias = Report | RegressionReport
"""The report of any task."""


def read_report(document: Any) -> AnyReport:
    """The report in the content of `report.json`, whatever its task.

    Raises:
        pydantic.ValidationError: it is no report.
    """
    regression = isinstance(document, dict) and document.get("task_kind") == "regression"
    return (RegressionReport if regression else Report).model_validate(document)
