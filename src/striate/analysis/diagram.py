"""A network drawn as boxes: space shrinks in height and depth, channels grow in width."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log2, prod, sqrt
from typing import Final

from striate.analysis.summary import Stage, Summary

HEIGHT: Final = 150.0
GAP: Final = 46.0
MARGIN: Final = 28.0
LABELS: Final = 64.0
FACES: Final = ("#4c78a8", "#6b93bf", "#3a5f87")
"""Front, top and side of a box."""
HEAD_FACES: Final = ("#e08b3c", "#eba566", "#b86d2a")


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A box, in pixels, and the lines written under it."""

    width: float
    height: float
    depth: float
    lines: tuple[str, ...]
    faces: tuple[str, str, str] = FACES


def diagram(summary: Summary) -> str:
    """The network as an SVG document: a box for the input, for each stage, and for the head."""
    boxes = [_input_box(summary), *(_stage_box(s, summary) for s in summary.stages())]
    last = summary.layers[-1]
    if last.space is None:
        boxes.append(_head_box(last.output_shape))
    drawn, x = [], MARGIN
    depth = max(box.depth for box in boxes)
    base = MARGIN + depth + HEIGHT
    for number, box in enumerate(boxes):
        room = max(box.width + box.depth, 6.2 * max(map(len, box.lines)))
        left = x + (room - box.width - box.depth) / 2
        if number:
            drawn.append(_arrow(x - GAP + 8, x - 8, base - 12))
        drawn.append(_draw(box, left, base, x + room / 2))
        x += room + GAP
    width, height = x - GAP + MARGIN, base + LABELS
    title = escape(
        f"{summary.name}: {summary.parameters:,} parameters, "
        f"{summary.multiply_adds:,} multiply-adds"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" font-size="11" '
        f'font-family="system-ui, sans-serif">\n<title>{title}</title>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{MARGIN}" y="18" font-size="13" fill="#222">{title}</text>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _input_box(summary: Summary) -> _Box:
    channels, *space = summary.input_shape
    lines = ("input", f"{channels} x {_times(space)}")
    return _spatial_box(channels, tuple(space), summary, lines)


def _stage_box(stage: Stage, summary: Summary) -> _Box:
    field = stage.receptive_field
    finite = [str(f) for f in field or () if f is not None]
    sees = f"sees {' x '.join(dict.fromkeys(finite))}" if finite else "sees everything"
    count = sum(1 for layer in stage.layers if layer.parameters and layer.multiply_adds)
    lines = (
        f"{stage.channels} x {_times(stage.space)}",
        f"{count} weight layer{'' if count == 1 else 's'}",
        sees,
    )
    return _spatial_box(stage.channels, stage.space, summary, lines)


def _spatial_box(
    channels: int, space: tuple[int, ...], summary: Summary, lines: tuple[str, ...]
) -> _Box:
    """Lengths grow with the square root of the positions, so that small maps can be seen."""
    largest = max(summary.input_shape[1:])
    height = HEIGHT * sqrt(min(space[-2:][0] / largest, 1))
    depth = 0.45 * HEIGHT * sqrt(min(space[-1] / largest, 1)) if len(space) > 1 else 8.0
    return _Box(width=_width(channels), height=max(height, 3), depth=max(depth, 2), lines=lines)


def _head_box(shape: tuple[int, ...]) -> _Box:
    size = prod(shape)
    return _Box(
        width=8, height=12 + 9 * log2(size), depth=4, lines=("output", str(size)), faces=HEAD_FACES
    )


def _width(channels: int) -> float:
    return 4 + 6 * log2(1 + channels)


def _draw(box: _Box, left: float, base: float, middle: float) -> str:
    """A box in oblique projection, its front's lower left corner at (left, base)."""
    right, top = left + box.width, base - box.height
    skew = box.depth * 0.7
    front, upper, side = box.faces
    polygons = (
        (front, ((left, base), (right, base), (right, top), (left, top))),
        (upper, ((left, top), (right, top), (right + skew, top - skew), (left + skew, top - skew))),
        (
            side,
            ((right, base), (right, top), (right + skew, top - skew), (right + skew, base - skew)),
        ),
    )
    faces = "".join(
        f'<polygon fill="{fill}" stroke="#fff" stroke-width="0.5" '
        f'points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
        for fill, points in polygons
    )
    labels = "".join(
        f'<text x="{middle:.1f}" y="{base + 16 + 14 * i:.1f}" text-anchor="middle" '
        f'fill="#333">{escape(line)}</text>'
        for i, line in enumerate(box.lines)
    )
    return f"<g>{faces}{labels}</g>"


def _arrow(start: float, end: float, y: float) -> str:
    return f'<path d="M{start:.1f} {y:.1f}H{end:.1f}m-5 -3l5 3l-5 3" fill="none" stroke="#888"/>'


def _times(space: tuple[int, ...] | list[int]) -> str:
    return " x ".join(map(str, space))
