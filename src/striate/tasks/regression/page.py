"""The page of predicted numbers: what the report means in plain English, its tables and charts."""

from __future__ import annotations

from typing import Any, Final

from striate.metrics.intervals import number_text
from striate.metrics.regression import IN_UNIT
from striate.report.charts import histogram_chart, scatter_chart
from striate.report.page import NBSP, Metric, Verdict, figure_table, percent, verdict
from striate.tasks.regression.report import Interval, RegressionReport

_METRICS: Final = {
    "mae": ("Mean absolute error", "how far off a prediction is on average; lower is better"),
    "rmse": ("Root mean squared error", "the same, large errors counting more; lower is better"),
    "median_absolute_error": ("Median absolute error", "half of the predictions are closer than this"),
    "r2": ("R²", "share of the variation explained: 1 is perfect, 0 no better than a constant"),
    "pearson": ("Correlation", "whether larger predictions go with larger true values, from -1 to 1"),
}  # fmt: skip


def page_context(report: RegressionReport) -> dict[str, Any]:
    """The variables of `page.html`."""
    unit = f"{NBSP}{report.unit}" if report.unit else ""
    metrics = {
        key: Metric(name, meaning, decimals=None, unit=unit)
        if key in IN_UNIT
        else Metric(name, meaning)
        for key, (name, meaning) in _METRICS.items()
    }
    baselines = report.baselines
    columns = {"Linear probe": baselines.probe, "Training mean": baselines.mean}
    return {
        **figure_table(metrics, report.test, columns),
        "verdict": regression_verdict(report),
        "scatter": scatter_chart(report.scatter.targets, report.scatter.predictions, report.unit),
        "residuals": histogram_chart(report.residuals.edges, report.residuals.count, report.unit),
        "with_unit": lambda value: _with_unit(report, value),
        "half_width": report.interval and _half_width(report, report.interval),
    }


def regression_verdict(report: RegressionReport) -> Verdict:
    """Sum a report up."""
    error, guessing = report.test.mae, report.baselines.mean.mae.value or 0.0
    better = error.ci95 is not None and error.ci95[1] < guessing
    headline = f"Its predictions are off by {_with_unit(report, error.value or 0.0)} on average"
    against = _against_mean(report, guessing, better), _against_probe(report)
    return verdict(report, headline, better, (*against, _explained(report), _interval(report)))


def _with_unit(report: RegressionReport, value: float) -> str:
    """A number of the targets' kind, with their unit behind a space that never ends a line."""
    return number_text(value) + (f"{NBSP}{report.unit}" if report.unit else "")


def _against_mean(report: RegressionReport, guessing: float, better: bool) -> str:
    off = f"off by {_with_unit(report, guessing)}"
    if better:
        return (
            f"Always predicting the training mean would be {off}: the error of this model is "
            f"{percent(1 - (report.test.mae.value or 0.0) / guessing)} smaller."
        )
    return (
        "It is not reliably better than always predicting the training mean, which would be "
        f"{off}: do not rely on this model yet."
    )


def _against_probe(report: RegressionReport) -> str:
    probe, error = report.baselines.probe, report.test.mae.value or 0.0
    if report.is_baseline or probe is None or not probe.mae.value:
        return ""
    gain = 1 - error / probe.mae.value
    if abs(gain) < 0.005:
        return ""
    return (
        "A linear model of features that were not trained for this task is off by "
        f"{_with_unit(report, probe.mae.value)}: the error of this model is {percent(abs(gain))} "
        f"{'smaller' if gain > 0 else 'larger'}."
    )


def _explained(report: RegressionReport) -> str:
    explained = report.test.r2.value
    if explained is None:
        return ""
    if explained <= 0:
        return "It explains nothing of how the true values vary (R² is not above 0)."
    return f"It explains {percent(explained)} of how the true values vary (R²)."


def _half_width(report: RegressionReport, interval: Interval) -> str:
    """How far the limits lie from a prediction: one number, or from the least to the most."""
    low, high = interval.range()
    least = "" if low == high else f"{number_text(low)} to "
    return least + _with_unit(report, high)


def _interval(report: RegressionReport) -> str:
    interval, (_, many) = report.interval, report.nouns
    if interval is None:
        return (
            f"There are too few validation {many} to say how far off a single prediction may be: "
            f"it needs nine {many} at least."
        )
    told = (
        f"For {percent(interval.level)} of new {many} the true value should lie within "
        f"{_half_width(report, interval)} of the prediction; among the test {many} it "
        f"did for {percent(interval.coverage.value)}"
    )
    limits = interval.coverage.ci95
    if limits is not None and limits[1] < interval.level:
        return told + ", which is less than promised: allow for more."
    return told + "."
