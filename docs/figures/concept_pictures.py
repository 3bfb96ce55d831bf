"""Pictures of pooling, 1x1 convolutions and transfer learning, drawn as SVG from real numbers."""

from __future__ import annotations

from typing import Final

import figures
import torch

from striate.ops import avg_pool, convolve, max_pool

CELL: Final = 34
WINDOWS: Final = ("#f3d9b8", "#cfe3f5", "#d9ead3", "#ead7e8")
"""Colours of the four windows of the pooling picture."""
STAYS, FEATURES, TRAINED, HEAD = "#dfe5ec", "#a9cdee", "#e0a060", "#3a5f87"
TEXT: Final = "#222"


def document(title: str, width: float, height: float, parts: list[str]) -> bytes:
    """An SVG document with a white ground."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" font-family="system-ui, sans-serif">\n'
        f'<title>{title}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    ).encode()


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "middle") -> str:
    """Words at a place."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{TEXT}">{words}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str, stroke: str = "#fff") -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
        f'stroke="{stroke}"/>'
    )


def pooling() -> bytes:
    """A map, and what max and average pooling in windows of two by two make of it."""
    x = torch.tensor([[1.0, 2, 7, 3], [5, 4, 1, 1], [0, 2, 6, 6], [8, 2, 4, 0]])[None, None]
    maps = [("map", x), ("maximum", max_pool(x, 2)), ("mean", avg_pool(x, 2))]
    parts, left = [], 14.0
    for title, values in maps:
        rows = values[0, 0].tolist()
        side = len(rows)
        size = CELL if side == 4 else CELL * 1.25
        top = 32 + (4 * CELL - side * size) / 2
        parts.append(text(left + side * size / 2, 20, title))
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                window = WINDOWS[2 * (2 * i // side) + 2 * j // side]
                px, py = left + j * size, top + i * size
                parts.append(box(px, py, size, size, window))
                parts.append(text(px + size / 2, py + size / 2 + 5, f"{value:g}", 14))
        left += side * size + 50
    return document("Four windows, their maxima and their means", left - 36, 182, parts)


def pointwise() -> bytes:
    """A map of three channels through a 1x1 convolution: its middle position in numbers."""
    x = torch.tensor(
        [
            [[1.0, 2, 0], [0, 2, 1], [1, 1, 0]],
            [[0.0, 1, 1], [2, 3, 0], [1, 0, 2]],
            [[2.0, 0, 1], [1, 3, 1], [0, 2, 2]],
        ]
    )
    weight = torch.tensor([[1.0, 0, -1], [1, 2, 0]])
    y = convolve(x[None], weight[:, :, None, None])[0]
    grid, gap, top = 3 * CELL, 12, 32
    parts, left = [], 14.0
    groups = (
        ("3 channels", x, "*"),
        ("weights", weight[None], "="),
        ("2 channels", y, ""),
    )
    for title, maps, sign in groups:
        width = len(maps) * (grid + gap) - gap
        parts.append(text(left + width / 2, 20, title))
        for number, rows in enumerate(maps.tolist()):
            at = left + number * (grid + gap)
            down = top + (grid - len(rows) * CELL) / 2
            parts += _grid(rows, at, down, WINDOWS[2] if title == "weights" else "")
        left += width + 40
        parts.append(text(left - 20, top + grid / 2 + 6, sign, 18))
    at = x[:, 1, 1].tolist()
    sums = ",   ".join(
        " + ".join(f"{w:g}*{a:g}" for w, a in zip(row, at, strict=True)).replace("+ -", "- ")
        + f" = {value:g}"
        for row, value in zip(weight.tolist(), y[:, 1, 1].tolist(), strict=True)
    )
    parts.append(text((left - 26) / 2, top + grid + 30, f"in the middle: {sums}", 14))
    title = "A 1x1 convolution mixes the channels of each position"
    return document(title, left - 26, top + grid + 44, parts)


def _grid(rows: list[list[float]], left: float, top: float, fill: str) -> list[str]:
    """A matrix of numbers; without a fill, its middle is marked."""
    parts = []
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            colour = fill or (WINDOWS[0] if (i, j) == (1, 1) else "#eef2f7")
            x, y = left + j * CELL, top + i * CELL
            parts.append(box(x, y, CELL, CELL, colour))
            parts.append(text(x + CELL / 2, y + 22, f"{value:g}", 14))
    return parts


def transfer(name: str = "efficientnet_lite0") -> bytes:
    """What three ways of transfer learning train, block by block."""
    blocks = [block for block, _ in figures.network(name).blocks()]
    late = {*figures.late_blocks(name), blocks[-1]}
    frozen = set(figures.frozen_blocks(name))
    rows = {
        "linear probe": {b: FEATURES if b == blocks[-1] else STAYS for b in blocks},
        "kernel machine": {b: FEATURES if b in late else STAYS for b in blocks},
        "fine-tuning": {b: STAYS if b in frozen else TRAINED for b in blocks},
    }
    width, left, parts = 26, 128, []
    for number, (title, fills) in enumerate(rows.items()):
        y = 18 + 58 * number
        parts.append(text(left - 12, y + 22, title, 14, "end"))
        for place, block in enumerate(blocks):
            parts.append(box(left + place * width, y, width, 34, fills[block]))
        end = left + len(blocks) * width
        if title == "kernel machine":
            parts.append(box(end + 6, y, 74, 34, WINDOWS[2]))
            parts.append(text(end + 43, y + 22, "similarities", 12))
            end += 80
        parts.append(box(end + 6, y, 44, 34, HEAD))
        parts.append(text(end + 28, y + 22, "head", 12).replace(TEXT, "#fff"))
    y = 18 + 58 * len(rows) + 6
    legend = (
        (STAYS, "stays as it is"),
        (FEATURES, "gives features"),
        (TRAINED, "trained further"),
        (HEAD, "fitted anew"),
    )
    for place, (fill, words) in enumerate(legend):
        x = left + place * 140
        parts += [box(x, y, 16, 16, fill), text(x + 22, y + 13, words, 12, "start")]
    return document(f"What is trained of {name}, block by block", 740, y + 32, parts)
