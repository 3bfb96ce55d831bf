"""What the page of a predictor of numbers shows."""

from __future__ import annotations

from typing import Any

from striate.metrics import IN_UNIT
from striate.report.charts import histogram_chart, scatter_chart
from striate.report.figure_rows import Metric, figure_rows
from striate.report.schema_regression import RegressionReport
from striate.report.verdict_regression import regression_verdict, with_unit

_METRICS = {
    "mae": ("Mean absolute error", "how far off a prediction is on average; lower is better"),
    "rmse": ("Root mean squared error", "the same, large errors counting more; lower is better"),
    "median_absolute_error": ("Median absolute error", "half of the predictions are closer than this"),
    "r2": ("R²", "share of the variation explained: 1 is perfect, 0 no better than a constant"),
    "pearson": ("Correlation", "whether larger predictions go with larger true values, from -1 to 1"),
}  # fmt: skip


def regression_context(report: RegressionReport) -> dict[str, Any]:
    """The variables of `regression.html`."""
    unit = f"\u00a0{report.unit}" if report.unit else ""
    metrics = {
        key: Metric(name, meaning, decimals=None, unit=unit)
        if key in IN_UNIT
        else Metric(name, meaning)
        for key, (name, meaning) in _METRICS.items()
    }
    baselines = report.baselines
    columns = {"Linear probe": baselines.probe, "Training mean": baselines.mean}
    shown = {name: figures for name, figures in columns.items() if figures is not None}
    return {
        "verdict": regression_verdict(report),
        "columns": list(shown),
        "metrics": figure_rows(metrics, report.test, list(shown.values())),
        "scatter": scatter_chart(report.scatter, report.unit),
        "residuals": histogram_chart(report.residuals, report.unit),
        "with_unit": lambda value: with_unit(report, value),
    }
