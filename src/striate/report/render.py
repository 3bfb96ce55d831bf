"""A report as one offline HTML page, and both as files."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from striate.errors import one_line
from striate.progress import duration
from striate.report.charts import Line, interval_bar, line_chart, reliability_chart
from striate.report.schema import BaselineFigures, Figure, Report
from striate.report.verdict import NOUNS, PERCENT, interval_text, percent, verdict
from striate.run import REPORT_HTML, REPORT_JSON, write_atomic

MAX_MATRIX_CLASSES = 20
"""Up to so many classes the confusion matrix is shown; for more, the most frequent confusions."""

_NUM_CONFUSIONS = 25
_NUM_CLASS_ROWS = 30
_PICTURE_SIDE = 320


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A test item to look at: the item and, where there is one, what the model looked at in it."""

    image: Image.Image
    overlay: Image.Image | None = None


@dataclass(frozen=True)
class _Metric:
    """How a metric is shown: its name, what it means, and its unit."""

    name: str
    meaning: str
    scale: float = 1.0
    decimals: int = 3
    unit: str = ""

    def text(self, *values: float) -> str:
        """Values with the unit behind the last."""
        return " to ".join(f"{self.scale * v:.{self.decimals}f}" for v in values) + self.unit


_METRICS = {
    "accuracy": _Metric("Accuracy", "share classified correctly", 100, 1, PERCENT),
    "balanced_accuracy": _Metric("Balanced accuracy", "the same, each class counting equally", 100, 1, PERCENT),
    "macro_f1": _Metric("Macro F1", "mean of the classes' F1: finding them without false alarms"),
    "roc_auc": _Metric("ROC AUC", "chance that a member of a class is ranked above a non-member"),
    "log_loss": _Metric("Log loss", "surprise at the true class, in nats; lower is better"),
    "ece": _Metric("Calibration error", "distance of stated and true probability; lower is better", 100, 1, " points"),
}  # fmt: skip

_CHARTS = {
    "Loss by epoch": ("loss",),
    "Quality by epoch": ("accuracy", "auc", "f1"),
}
"""History columns by the end of their names: a chart each."""


def render_html(report: Report, pictures: Mapping[str, Picture] | None = None) -> str:
    """The report as one HTML document that needs nothing else.

    Args:
        report: the evaluation.
        pictures: by item id; those of `report.worst_mistakes` are shown.
    """
    shown = {one_line(item): picture for item, picture in (pictures or {}).items()}
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            verdict=verdict(report),
            one=NOUNS[report.kind][0],
            many=NOUNS[report.kind][1],
            metrics=_metric_rows(report),
            classes=_class_rows(report),
            num_class_rows=_NUM_CLASS_ROWS,
            matrix=_matrix(report) if len(report.classes) <= MAX_MATRIX_CLASSES else None,
            confusions=_confusions(report),
            mistakes=[
                (mistake, *_data_urls(shown.get(mistake.id))) for mistake in report.worst_mistakes
            ],
            reliability=reliability_chart(report.reliability_uncalibrated, report.reliability),
            history=_history_charts(report),
            run=shlex.quote(report.run),
        )
    )


def write_report(report: Report, pictures: Mapping[str, Picture] | None, folder: Path) -> None:
    """Write `report.json` and `report.html` into a folder, each whole or not at all.

    Raises:
        StorageError: a file could not be written.
    """
    page = render_html(report, pictures)
    indent = 2 if len(report.classes) <= MAX_MATRIX_CLASSES else None
    write_atomic(folder / REPORT_JSON, report.model_dump_json(indent=indent).encode())
    write_atomic(folder / REPORT_HTML, page.encode())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("striate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        percent=percent, interval=interval_text, duration=duration, kebab_words=_words
    )
    return environment


def _words(code: str) -> str:
    """`near-duplicate` as `Near duplicate`."""
    return code.replace("-", " ").replace("_", " ").capitalize()


def _metric_rows(report: Report) -> list[dict[str, object]]:
    """A row a metric: the model's value and interval, and the baselines' values."""
    rows: list[dict[str, object]] = []
    for key, metric in _METRICS.items():
        figure: Figure = getattr(report.test, key)
        rows.append(
            {
                "name": metric.name,
                "meaning": metric.meaning,
                "value": _text(metric, figure),
                "interval": "" if figure.ci95 is None else metric.text(*figure.ci95),
                "reason": figure.reason,
                "probe": _of_baseline(metric, report.baselines.probe, key),
                "majority": _of_baseline(metric, report.baselines.majority, key),
            }
        )
    return rows


def _text(metric: _Metric, figure: Figure) -> str:
    return "–" if figure.value is None else metric.text(figure.value)


def _of_baseline(metric: _Metric, figures: BaselineFigures | None, key: str) -> str:
    return "–" if figures is None else _text(metric, getattr(figures, key))


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


def _history_charts(report: Report) -> list[dict[str, object]]:
    """A chart of the losses and one of the quality figures, where the history has them."""
    charts: list[dict[str, object]] = []
    for title, endings in _CHARTS.items():
        columns = [
            column
            for column in (report.history[0] if report.history else ())
            if column.endswith(endings)
            and any(row.get(column) is not None for row in report.history)
        ]
        lines = [
            Line(
                name=_words(column),
                style=number,
                points=[
                    (row.get("epoch") or float(i), row.get(column))
                    for i, row in enumerate(report.history)
                ],
            )
            for number, column in enumerate(columns, start=1)
        ]
        if lines:
            svg = line_chart(lines, title=title, x_label="epoch")
            charts.append({"title": title, "svg": svg, "lines": lines})
    return charts


def _data_urls(picture: Picture | None) -> tuple[str | None, str | None]:
    if picture is None:
        return None, None
    overlay = None if picture.overlay is None else _data_url(picture.overlay)
    return _data_url(picture.image), overlay


def _data_url(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    out = BytesIO()
    small.save(out, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
