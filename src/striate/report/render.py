"""A report as one offline HTML page, and both as files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from striate.errors import one_line
from striate.files import write_atomic
from striate.metrics import number_text
from striate.progress import duration
from striate.report.charts import Line, line_chart
from striate.report.page_classification import MAX_MATRIX_CLASSES, classification_context
from striate.report.page_regression import regression_context
from striate.report.picture import Picture, data_url
from striate.report.schema import Report
from striate.report.schema_regression import AnyReport, RegressionReport
from striate.report.verdict import interval_text, nouns, percent
from striate.run.folder import REPORT_HTML, REPORT_JSON

_CHARTS = {
    "Loss by epoch": ("loss",),
    "Error by epoch": ("mae", "rmse"),
    "Quality by epoch": ("accuracy", "auc", "f1", "r2"),
}
"""History columns by the end of their names: a chart each."""

_METHODS = {
    "probe": "a linear layer on frozen features",
    "kernel": "a kernel machine on frozen features of every scale",
    "finetune": "pretrained, then fine-tuned",
    "scratch": "trained from random weights",
}
"""How the page says what `report.json` has as the method."""


def render_html(report: AnyReport, pictures: Mapping[str, Picture] | None = None) -> str:
    """The report as one HTML document that needs nothing else.

    Args:
        report: the evaluation.
        pictures: by item id; those of `report.worst_mistakes` are shown.
    """
    if isinstance(report, RegressionReport):
        template, context = "regression.html", regression_context(report)
    else:
        template, context = "classification.html", classification_context(report)
    one, many = nouns(report)
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            report=report,
            method=_METHODS.get(report.method, report.method),
            one=one,
            many=many,
            mistakes=_mistakes(report, pictures or {}),
            history=_history_charts(report),
            run=shlex.quote(report.run),
        )
    )


def write_report(report: AnyReport, pictures: Mapping[str, Picture] | None, folder: Path) -> None:
    """Write `report.json` and `report.html` into a folder, each whole or not at all.

    Raises:
        StorageError: a file could not be written.
    """
    page = render_html(report, pictures)
    many_classes = isinstance(report, Report) and len(report.classes) > MAX_MATRIX_CLASSES
    text = report.model_dump_json(indent=None if many_classes else 2)
    write_atomic(folder / REPORT_JSON, text.encode())
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
    environment.globals.update(number=number_text)
    return environment


def _words(code: str) -> str:
    """`near-duplicate` as `Near duplicate`."""
    return code.replace("-", " ").replace("_", " ").capitalize()


def _mistakes(report: AnyReport, pictures: Mapping[str, Picture]) -> list[dict[str, object]]:
    """The worst mistakes with their pictures as addresses, where there are any."""
    by_id = {one_line(item): picture for item, picture in pictures.items()}
    rows: list[dict[str, object]] = []
    for mistake in report.worst_mistakes:
        picture = by_id.get(mistake.id)
        overlay = None if picture is None else picture.overlay
        rows.append(
            {
                "of": mistake,
                "image": None if picture is None else data_url(picture.image),
                "overlay": None if overlay is None else data_url(overlay),
                "wide": picture is not None and picture.wide,
            }
        )
    return rows


def _history_charts(report: AnyReport) -> list[dict[str, object]]:
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
