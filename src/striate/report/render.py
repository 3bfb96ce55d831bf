"""A report as one offline HTML page."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import one_line
from striate.explain.drawing import overlay
from striate.metrics.intervals import number_text
from striate.progress import duration
from striate.report.charts import Line, interval_bar, line_chart
from striate.report.outlook import learning_part, slice_rows
from striate.report.page import NBSP, interval_text, percent, sentence
from striate.report.picture import Picture, data_url
from striate.report.schema import Mistake, RunReport

if TYPE_CHECKING:
    from jinja2 import Environment

_CHARTS = {
    "Loss by epoch": ("loss", "squared_error"),
    "Error by epoch": ("mae", "rmse"),
    "Quality by epoch": ("accuracy", "auc", "f1", "r2", "map"),
}
"""History columns by the end of their names: a chart each."""


def render_html(
    report: RunReport,
    template: Path,
    context: Mapping[str, Any],
    pictures: Mapping[str, Picture] | None = None,
) -> str:
    """The report as one HTML document that needs nothing else.

    Args:
        report: The report of any task.
        template: The page of the task, which extends `report.html`.
        context: The variables that the page needs beside those of `report.html`.
        pictures: Pictures by item id; those of `report.worst_mistakes` are shown.
    """
    one, many = report.nouns
    page = _environment().from_string(template.read_text(encoding="utf-8"))
    return page.render(
        **context,
        report=report,
        one=one,
        many=many,
        mistakes=_mistakes(report, pictures or {}),
        history=_history_charts(report),
        slices=slice_rows(report),
        learning=learning_part(report),
        run=shlex.quote(report.run),
    )


def render_page(name: str, variables: Mapping[str, Any]) -> str:
    """A page that is no report of a run, as one HTML document that needs nothing else.

    Args:
        name: Name of a template of this room.
        variables: What the template needs.
    """
    return _environment().get_template(name).render(**variables)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # slow to import

    environment = Environment(
        loader=PackageLoader("striate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        percent=percent,
        interval=interval_text,
        duration=duration,
        kebab_words=_words,
        sentence=sentence,
    )
    script = files("striate.report").joinpath("templates/page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        number=number_text,
        interval_bar=interval_bar,
        heat=_heat_colours(),
        nbsp=NBSP,
        script=script,
        script_hash=f"sha256-{digest}",  # no other script may run, whatever a name holds
    )
    return environment


def _heat_colours() -> str:
    """Colours of evidence over grey, from none to the most, as a style sheet lists them."""
    heat = np.linspace(0, 1, 9)[None]
    pixels = np.asarray(overlay(np.full((3, *heat.shape), 128, np.uint8), heat))[0]
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in pixels.tolist())


def _words(code: str) -> str:
    """`near-duplicate` as `Near duplicate`."""
    return code.replace("-", " ").replace("_", " ").capitalize()


def _mistakes(report: RunReport, pictures: Mapping[str, Picture]) -> list[dict[str, object]]:
    """The worst mistakes with their pictures as addresses, where there are any."""
    by_id = {one_line(item): picture for item, picture in pictures.items()}
    rows: list[dict[str, object]] = []
    for mistake in report.worst_mistakes:
        picture = by_id.get(mistake.id)
        row: dict[str, object] = {
            "of": mistake, "image": None, "overlay": None, "wide": False, "method": "", "check": "",
            "nearest": _nearest(report, mistake, picture), "among": _among(report),
        }  # fmt: skip
        if picture is not None:
            row |= {"image": data_url(picture.image), "wide": picture.wide}
            row |= {"method": picture.method, "check": picture.check()}
            row["overlay"] = picture.overlay and data_url(picture.overlay)
        rows.append(row)
    return rows


def _nearest(
    report: RunReport, mistake: Mistake, picture: Picture | None
) -> list[dict[str, str | None]]:
    """The training items nearest to a mistake, each with its answer as text and its picture."""
    behind = f"{NBSP}{report.unit}" if report.unit else ""
    drawn = () if picture is None else picture.nearest
    return [
        {
            "id": near.id,
            "label": near.label
            if isinstance(near.label, str)
            else number_text(near.label) + behind,
            "image": None if drawing is None else data_url(drawing),
        }
        for near, drawing in zip_longest(mistake.nearest, drawn)
    ]


def _among(report: RunReport) -> str:
    """Of how many training items the nearest are, where not of all."""
    among, every = report.nearest_among, report.split_sizes.get("train", 0)
    return f" (of {among:,} that were compared)" if among < every else ""


def history_lines(report: RunReport) -> dict[str, list[Line]]:
    """The lines of the charts of a training, by title, where the history has any."""
    rows = [(row.get("epoch") or float(i), row) for i, row in enumerate(report.history)]
    columns = report.history[0] if report.history else {}
    known = [name for name in columns if any(row.get(name) is not None for _, row in rows)]
    charts: dict[str, list[Line]] = {}
    for title, endings in _CHARTS.items():
        shown = [name for name in known if name.endswith(endings)]
        lines = [
            Line(name=_words(name), style=style, points=[(x, row.get(name)) for x, row in rows])
            for style, name in enumerate(shown, start=1)
        ]
        if lines:
            charts[title] = lines
    return charts


def _history_charts(report: RunReport) -> list[dict[str, object]]:
    """A chart of the losses and one of the quality figures, where the history has them."""
    return [
        {"title": title, "svg": line_chart(lines, title=title, x_label="epoch"), "lines": lines}
        for title, lines in history_lines(report).items()
    ]
