"""The page of `striate eval --corruptions`: how the figures fall with the severity."""

from __future__ import annotations

import shlex
from importlib.metadata import version

from striate.errors import one_line
from striate.metrics.intervals import Estimate
from striate.report.charts import Line, line_chart
from striate.report.render import render_page
from striate.run.evaluate.corrupted import CorruptionCurve, Robustness


def robustness_page(result: Robustness) -> str:
    """The figures as one HTML document that needs nothing else.

    Args:
        result: What `Run.robustness` gave.
    """
    clean, many = result.clean[result.metric], result.nouns[1]
    return render_page(
        "items.html",
        {
            "title": f"Robustness of {result.run}",
            "version": version("striate"),
            "headline": f"{_name(result.metric)} of {result.num_items} {many} as they are: "
            f"{clean.as_text()}",
            "verdict": _verdict(result),
            "points": [one_line(note) for note in result.notes],
            "parts": [_part(result, curve) for curve in result.curves],
            "commands": [
                "# all figures by severity, with their intervals",
                f"striate eval {shlex.quote(result.run)} --corruptions --json",
                "# whether new items are like those that the run was made from",
                f"striate drift {shlex.quote(result.run)} NEW",
            ],
        },
    )


def _verdict(result: Robustness) -> str:
    """Which corruption changes the figure most, at the middle severity."""
    clean = result.clean[result.metric].value
    changes = {
        curve.name: abs(value - clean)
        for curve in result.curves
        if clean is not None and (value := curve.values(result.metric)[2]) is not None
    }
    if not changes:
        return ""
    worst = max(changes, key=changes.__getitem__)
    if not changes[worst]:
        return "At severity 3 of 5 no corruption changes it."
    curve = next(curve for curve in result.curves if curve.name == worst)
    told = curve.metrics[2][result.metric].as_text()
    return (
        f"At severity 3 of 5, {worst} changes it most: to {told} ({curve.means}: "
        f"{curve.levels[2]:g})."
    )


def _part(result: Robustness, curve: CorruptionCurve) -> dict[str, object]:
    clean = result.clean[result.metric].value
    values = curve.values(result.metric)
    points = [(float(at), value) for at, value in enumerate([clean, *values])]
    chart = ""
    if any(value is not None for _, value in points):
        chart = line_chart(
            [
                Line(name="as they are", points=[(0.0, clean), (5.0, clean)], style=2),
                Line(name=curve.name, points=points, style=1),
            ],
            title=f"{_name(result.metric)} by severity of {curve.name}",
            x_label="severity, 0 being as they are",
        )
    names = list(result.clean)
    rows = [("0", "–", *(_text(result.clean[name]) for name in names))]
    rows += [
        (str(at), f"{level:g}", *(_text(metrics[name]) for name in names))
        for at, (level, metrics) in enumerate(zip(curve.levels, curve.metrics, strict=True), 1)
    ]
    return {
        "id": curve.name,
        "title": _name(curve.name),
        "about": f"Level: {curve.means}.",
        "chart": chart,
        "head": ("severity", "level", *map(_name, names)),
        "rows": rows,
        "pictures": (),
        "more": "",
    }


def _name(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _text(figure: Estimate) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"
