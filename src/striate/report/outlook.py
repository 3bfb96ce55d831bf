"""Where a model is worst and what more data would bring, in plain English."""

from __future__ import annotations

from typing import Any, Final

from striate.metrics.intervals import number_text
from striate.report.charts import Line, line_chart
from striate.report.page import interval_text, percent
from striate.report.schema import RunReport

LITTLE: Final = 0.01
"""Gain of a share up to which twice the data are said to bring little."""


def slice_rows(report: RunReport) -> list[dict[str, Any]]:
    """The parts of the test items in which the model is clearly worse, as the page shows them."""
    if report.slices is None:
        return []
    share = report.slices.is_share
    rows = []
    for one in report.slices.found:
        low, high = one.error.ci95 or (0.0, 0.0)
        limits = interval_text(one.error) if share else f"{number_text(low)} to {number_text(high)}"
        rows.append(
            {
                "name": f"{one.column}: {one.value}",
                "error": _shown(one.error.value or 0.0, share),
                "interval": limits,
                "others": _shown(one.others, share),
                "num_items": one.num_items,
                "chance": "below 0.1 %" if one.p_value < 0.001 else percent(one.p_value),
            }
        )
    return rows


def learning_part(report: RunReport) -> dict[str, Any] | None:
    """The curve and what it says; None where the data do not tell what more of them would bring."""
    curve = report.learning_curve
    sentence = learning_sentence(report)
    if curve is None or not sentence:
        return None
    scale = 100 if curve.is_share else 1
    points = [
        (float(size), None if error.value is None else scale * error.value)
        for size, error in zip(curve.sizes, curve.errors, strict=True)
    ]
    unit = " in %" if curve.is_share else f" in {report.unit}" if report.unit else ""
    line = Line(name=curve.error_name, points=points, style=1)
    title = f"{curve.error_name.capitalize()}{unit}, by what was learnt from"
    label = f"{report.nouns[1]} learnt from"
    return {"sentence": sentence, "chart": line_chart([line], title=title, x_label=label)}


def learning_sentence(report: RunReport) -> str:
    """What twice the data would bring; empty where the data do not tell."""
    curve, many = report.learning_curve, report.nouns[1]
    if curve is None or curve.gain.ci95 is None or curve.gain.value is None:
        return ""
    low, high = curve.gain.ci95
    name = f"the {curve.error_name} of a linear model"
    if not curve.is_supported:
        if not curve.is_share or high > LITTLE:
            return ""
        return f"Twice the {many} would lower {name} by {100 * high:.1f} percentage points at most."
    unit = "percentage points" if curve.is_share else report.unit
    shown = [
        f"{100 * value:.1f}" if curve.is_share else number_text(value)
        for value in (curve.gain.value, low, high)
    ]
    by = f"{shown[0]} {unit}".rstrip()
    return (
        f"Twice the {many} would lower {name} by about {by} (95 % interval: {shown[1]} to "
        f"{shown[2]}), to about {_shown(curve.expected.value or 0.0, curve.is_share)}."
    )


def _shown(value: float, is_share: bool) -> str:
    return percent(value) if is_share else number_text(value)
