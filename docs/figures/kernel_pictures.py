"""The picture of the depthwise kernels, drawn from the table of performance-details.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Final

HEADING: Final = "Measured on a CPU without bfloat16"
PAGE: Final = Path(__file__).parent.parent / "performance-details.md"
OPERATORS: Final = ("forward", "gradient of the input", "gradient of the weight")
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73")

LEFT: Final = 250
LEGEND: Final = (LEFT, LEFT + 90, LEFT + 250)
WIDTH: Final = 420
ROW: Final = 22
TOP: Final = 56
MIN_RATIO, MAX_RATIO = 0.5, 128.0

_RATIO: Final = re.compile(r"\(([\d.]+)[;)]")


@dataclass(frozen=True)
class Line:
    """One shape, and how many times faster than torch each operator is."""

    title: str
    ratios: tuple[float, ...]


def depthwise(dtype: str) -> str:
    """The ratios of one type in the table under `HEADING`, on a logarithmic scale, as SVG."""
    lines = read_table(PAGE.read_text(), dtype)
    height = TOP + ROW * len(lines) + 34
    bottom = TOP + ROW * len(lines)
    parts = []
    for i, (name, colour, x) in enumerate(zip(OPERATORS, COLOURS, LEGEND, strict=True)):
        parts.append(_mark(x + 6, 16, i, colour))
        parts.append(_text(x + 18, 20, name, "start"))
    for ratio in (0.5, 1, 2, 4, 8, 16, 32, 64, 128):
        x = _x(ratio)
        stroke = "#555" if ratio == 1 else "#ddd"
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 12}" y2="{bottom}" stroke="{stroke}"/>'
        )
        parts.append(_text(x, bottom + 16, f"{ratio:g}x", "middle"))
    for i, line in enumerate(lines):
        y = TOP + ROW * i + 4
        parts.append(_text(LEFT - 14, y + 4, line.title, "end"))
        parts += [
            _mark(_x(ratio), y, kind, COLOURS[kind]) for kind, ratio in enumerate(line.ratios)
        ]
    whole = LEFT + WIDTH + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" '
        f'width="{whole}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def read_table(page: str, dtype: str) -> list[Line]:
    """The rows of one type in the table under the heading."""
    section = page.split(f"### {HEADING}\n")[1].split("\n### ")[0]
    lines = []
    for row in section.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) == 2 + len(OPERATORS) and cells[1] == dtype:
            found = [_RATIO.search(cell) for cell in cells[2:]]
            ratios = tuple(float(match[1]) for match in found if match)
            lines.append(Line(cells[0].rsplit(",", 1)[0], ratios))
    return lines


def _x(ratio: float) -> float:
    within = min(max(ratio, MIN_RATIO), MAX_RATIO)
    return LEFT + WIDTH * log10(within / MIN_RATIO) / log10(MAX_RATIO / MIN_RATIO)


def _mark(x: float, y: float, kind: int, colour: str) -> str:
    """A disc, a square or a triangle, which differ without colour, too."""
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
    if kind == 1:
        return f'<rect x="{x - 4:.1f}" y="{y - 4}" width="8" height="8" fill="{colour}"/>'
    corners = f"{x - 5:.1f},{y + 4} {x + 5:.1f},{y + 4} {x:.1f},{y - 5}"
    return f'<polygon points="{corners}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="#222">{text}</text>'
