"""Small charts as SVG elements; colours and fonts come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree.ElementTree import Element, SubElement, tostring

from striate.metrics.intervals import Estimate, number_text

_WIDTH, _HEIGHT = 360, 256
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 18, 40


Bin: TypeAlias = tuple[int, float, float, tuple[float, float]]
"""Number of items, their mean stated probability, the share of them that is right, its interval."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Name in the legend.
        points: Pairs (x, y), in order; a y of None leaves a gap.
        style: Number of its colour and dash in the style sheet.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    style: int


@dataclass(frozen=True)
class _Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def line_chart(lines: Sequence[Line], *, title: str, x_label: str) -> str:
    """Lines over a shared axis, such as a loss over the epochs."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points if y is not None]
    x_ticks = [tick for tick in ticks(min(xs), max(xs)) if tick == int(tick)]
    y_ticks = ticks(min(ys), max(ys))
    x, y = _scales((min(xs), max(max(xs), min(xs) + 1)), y_ticks)
    svg = _frame(title, x, y, x_ticks, y_ticks, x_label)
    for line in lines:
        for run in _runs(line.points):
            _polyline(svg, [(x(px), y(py)) for px, py in run], line.style)
            if len(run) == 1:
                _dot(svg, x(run[0][0]), y(run[0][1]), 3, f"dot s{line.style}", line.name)
    return tostring(svg, encoding="unicode")


def share_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    diagonal: bool = False,
    marks: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Lines between shares from 0 to 1, with a hidden mark that a script may move.

    Args:
        lines: The lines.
        title: What the chart shows.
        x_label: What is below it.
        y_label: What is in its corner: the meaning of the vertical axis.
        diagonal: Whether the line of those that know nothing is drawn.
        marks: Points that stand out: x, y, and what each is.
    """
    x, y = _scales((0, 1), (0, 1))
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    svg = _frame(title, x, y, shares, shares, x_label, as_percent=True)
    if diagonal:
        SubElement(svg, "line", _ends("diagonal", x(0), y(0), x(1), y(1)))
    for line in lines:
        for run in _runs(line.points):
            _polyline(svg, [(x(px), y(py)) for px, py in run], line.style)
    for across, up, text in marks:
        _dot(svg, x(across), y(up), 5, "dot s2", text)
    _label(svg, _LEFT, _TOP - 5, "start", y_label)
    ends = {"data-x0": f"{x(0):g}", "data-x1": f"{x(1):g}", "data-y0": f"{y(0):g}", "data-y1": f"{y(1):g}"}  # fmt: skip
    SubElement(svg, "circle", {"class": "now", "r": "6", "hidden": "", **ends})
    return tostring(svg, encoding="unicode")


def reliability_chart(before: Sequence[Bin], after: Sequence[Bin]) -> str:
    """Confidence against accuracy before and after calibration, with bars of uncertainty after it."""
    x, y = _scales((0, 1), (0, 1))
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    svg = _frame(
        "Reliability diagram: stated probability against the share that is right",
        x, y, shares, shares, "stated probability", as_percent=True,
    )  # fmt: skip
    SubElement(svg, "line", _ends("diagonal", x(0), y(0), x(1), y(1)))
    for _, confidence, _, (low, high) in after:
        SubElement(svg, "line", _ends("interval", x(confidence), y(low), x(confidence), y(high)))
    for style, bins in ((2, before), (1, after)):
        points = [(x(confidence), y(accuracy)) for _, confidence, accuracy, _ in bins]
        _polyline(svg, points, style)
        for count, confidence, accuracy, (low, high) in bins:
            text = (
                f"stated {confidence:.0%}, right {accuracy:.0%} "
                f"(95 % interval {low:.0%} to {high:.0%}), {count} items"
            )
            _dot(svg, x(confidence), y(accuracy), 4, f"dot s{style}", text)
    return tostring(svg, encoding="unicode")


def scatter_chart(targets: Sequence[float], predictions: Sequence[float], unit: str = "") -> str:
    """True against predicted numbers on one scale; on the diagonal both agree."""
    values = ticks(min(*targets, *predictions), max(*targets, *predictions))
    x, y = _scales(values, values)
    behind = f" ({unit})" if unit else ""
    svg = _frame(
        f"True values against predictions{behind}", x, y, values, values, f"true value{behind}"
    )
    low, high = values[0], values[-1]
    SubElement(svg, "line", _ends("diagonal", x(low), y(low), x(high), y(high)))
    for target, prediction in zip(targets, predictions, strict=True):
        text = f"true {number_text(target)}, predicted {number_text(prediction)}"
        _dot(svg, x(target), y(prediction), 3, "point", text)
    _label(svg, _LEFT + 6, _TOP + 12, "start", f"predicted{behind}")
    return tostring(svg, encoding="unicode")


def histogram_chart(edges: Sequence[float], counts: Sequence[int], unit: str = "") -> str:
    """How often a prediction was off by how much, with a line at no error.

    Args:
        edges: Limits of the bins, one more than there are counts.
        counts: Number of items in each bin.
        unit: Unit of the edges.
    """
    x_ticks, y_ticks = ticks(min(edges[0], 0), max(edges[-1], 0)), ticks(0, max(counts))
    x, y = _scales(x_ticks, y_ticks)
    behind = f" ({unit})" if unit else ""
    label = f"prediction minus true value{behind}"
    whole = [tick for tick in y_ticks if tick == int(tick)]
    svg = _frame("Errors of the predictions", x, y, x_ticks, whole, label)
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        at = {
            "class": "column",
            "x": f"{x(low) + 0.5:g}",
            "y": f"{y(count):g}",
            "width": f"{max(x(high) - x(low) - 1, 0.5):.2f}",
            "height": f"{y(0) - y(count):.2f}",
        }
        text = f"{number_text(low)} to {number_text(high)}: {count}"
        SubElement(SubElement(svg, "rect", at), "title").text = text
    SubElement(svg, "line", _ends("diagonal", x(0), y(y_ticks[0]), x(0), y(y_ticks[-1])))
    return tostring(svg, encoding="unicode")


def interval_bar(figure: Estimate, label: str) -> str:
    """A share as a dot on a track from 0 to 1, with its interval as a thick line."""
    width, height, margin = 140, 18, 6
    svg = _svg("bar", width, height, label)
    scale = _Scale(0, 1, margin, width - margin)
    middle = height / 2
    SubElement(svg, "line", _ends("track", scale(0), middle, scale(1), middle))
    if figure.ci95 is not None:
        ends = [scale(limit) for limit in figure.ci95]
        SubElement(svg, "line", _ends("interval", ends[0], middle, ends[1], middle))
    if figure.value is not None:
        _dot(svg, scale(figure.value), middle, 4, "dot s1", label)
    return tostring(svg, encoding="unicode")


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, about four steps of 1, 2 or 5 times a power of ten, around both values.

    >>> ticks(0.13, 0.68)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    >>> ticks(3, 3)
    [3.0, 4.0]
    """
    if high <= low:
        return [float(low), float(low) + 1]
    raw = (high - low) / 4
    power = 10.0 ** int(f"{raw:e}".split("e")[1])
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = int(low // step), -int(-high // step)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _scales(xs: Sequence[float], ys: Sequence[float]) -> tuple[_Scale, _Scale]:
    """The axes of a chart, from the first value of each to the last."""
    return (
        _Scale(xs[0], xs[-1], _LEFT, _WIDTH - _RIGHT),
        _Scale(ys[0], ys[-1], _HEIGHT - _BOTTOM, _TOP),
    )


def _frame(
    title: str, x: _Scale, y: _Scale, x_ticks: Sequence[float], y_ticks: Sequence[float],
    x_label: str, *, as_percent: bool = False,
) -> Element:  # fmt: skip
    """Grid, axes and labels; the chart is as good as its title for those who cannot see it."""
    svg = _svg("chart", _WIDTH, _HEIGHT, title)

    def text(value: float) -> str:
        return f"{value:.0%}" if as_percent else f"{value:g}"

    for value in y_ticks:
        SubElement(svg, "line", _ends("grid", _LEFT, y(value), _WIDTH - _RIGHT, y(value)))
        _label(svg, _LEFT - 6, y(value) + 4, "end", text(value))
    for value in x_ticks:
        if x.low <= value <= x.high:
            _label(svg, x(value), _HEIGHT - _BOTTOM + 16, "middle", text(value))
    _label(svg, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, "middle", x_label)
    return svg


def _svg(style: str, width: int, height: int, label: str) -> Element:
    at = {"class": style, "viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label}
    return Element("svg", at)


def _label(svg: Element, x: float, y: float, anchor: str, text: str) -> None:
    at = {"class": "label", "x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
    SubElement(svg, "text", at).text = text


def _polyline(svg: Element, points: Iterable[tuple[float, float]], style: int) -> None:
    path = " ".join(f"{across},{up}" for across, up in points)
    SubElement(svg, "polyline", {"class": f"line s{style}", "points": path})


def _dot(svg: Element, x: float, y: float, radius: float, style: str, text: str) -> None:
    at = {"class": style, "cx": f"{x:g}", "cy": f"{y:g}", "r": f"{radius:.1f}"}
    SubElement(SubElement(svg, "circle", at), "title").text = text


def _ends(style: str, x1: float, y1: float, x2: float, y2: float) -> dict[str, str]:
    return {"class": style, "x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Stretches of points without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]
