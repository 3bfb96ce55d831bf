"""What the page of a classifier shows."""

from __future__ import annotations

from typing import Any

from striate.report.charts import interval_bar, reliability_chart
from striate.report.figure_rows import Metric, figure_rows
from striate.report.schema import Report
from striate.report.verdict import PERCENT, percent, verdict

MAX_MATRIX_CLASSES = 20
"""Up to so many classes the confusion matrix is shown; for more, the most frequent confusions."""

_NUM_CONFUSIONS = 25
_NUM_CLASS_ROWS = 30

_METRICS = {
    "accuracy": Metric("Accuracy", "share classified correctly", 100, 1, PERCENT),
    "balanced_accuracy": Metric("Balanced accuracy", "the same, each class counting equally", 100, 1, PERCENT),
    "macro_f1": Metric("Macro F1", "mean of the classes' F1: finding them without false alarms"),
    "roc_auc": Metric("ROC AUC", "chance that a member of a class is ranked above a non-member"),
    "log_loss": Metric("Log loss", "surprise at the true class, in nats; lower is better"),
    "ece": Metric("Calibration error", "distance of stated and true probability; lower is better", 100, 1, " points"),
}  # fmt: skip


def classification_context(report: Report) -> dict[str, Any]:
    """The variables of `classification.html`."""
    baselines = report.baselines
    columns = {"Linear probe": baselines.probe, "Most common class": baselines.majority}
    shown = {name: figures for name, figures in columns.items() if figures is not None}
    return {
        "verdict": verdict(report),
        "columns": list(shown),
        "metrics": figure_rows(_METRICS, report.test, list(shown.values())),
        "classes": _class_rows(report),
        "num_class_rows": _NUM_CLASS_ROWS,
        "matrix": _matrix(report) if len(report.classes) <= MAX_MATRIX_CLASSES else None,
        "confusions": _confusions(report),
        "reliability": reliability_chart(report.reliability_uncalibrated, report.reliability),
    }


def _class_rows(report: Report) -> list[dict[str, object]]:
    """A row a class, the one found least first; classes without test items last."""
    ranked = sorted(
        report.per_class, key=lambda c: 2.0 if c.recall.value is None else c.recall.value
    )
    return [
        {
            "figures": figures,
            "bar": interval_bar(
                figures.recall, label=f"recall of {figures.name}: {percent(figures.recall.value)}"
            ),
        }
        for figures in ranked
    ]


def _matrix(report: Report) -> list[list[tuple[int, float]]]:
    """Cells of the confusion matrix: the count, and its share of the row."""
    return [[(count, count / max(sum(row), 1)) for count in row] for row in report.confusion]


def _confusions(report: Report) -> list[tuple[str, str, int, float]]:
    """The most frequent confusions: class, taken for, how often, share of the class."""
    found = [
        (report.classes[true], report.classes[predicted], count, count / sum(row))
        for true, row in enumerate(report.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    return sorted(found, key=lambda c: (-c[2], -c[3]))[:_NUM_CONFUSIONS]
