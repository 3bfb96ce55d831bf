"""A signal with the spans that speak for a class highlighted, as an SVG or as pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from striate.errors import ArgumentError
from striate.explain.picture import colourize

WIDTH: Final = 640
LANE: Final = 96
"""Height of a channel's lane, in pixels; less where there are many."""

TALLEST: Final = 640
MARGIN: Final = 8
AXIS: Final = 20
"""Height of the line with the times, in pixels."""

MAX_COLUMNS: Final = 160
"""Bars of heat across the picture."""

_LINE: Final = "#1d1d1f"
_RULE: Final = "#d0d0d5"
_TEXT: Final = "#55555c"


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Everything that is drawn, in pixels.

    Attributes:
        height: of the picture.
        lanes: top and bottom of each channel.
        lines: (points, 2) of each channel.
        bars: left, right, opacity and colour of each stretch of heat.
        ticks: place and text of each mark of time.
    """

    height: int
    lanes: tuple[tuple[float, float], ...]
    lines: tuple[NDArray[np.float64], ...]
    bars: tuple[tuple[float, float, float, tuple[int, int, int]], ...]
    ticks: tuple[tuple[float, str], ...]


def signal_svg(
    signal: Float[np.ndarray, "c l"],
    heat: Float[np.ndarray, " l"],
    *,
    rate: float | None = None,
    channels: tuple[str, ...] = (),
) -> str:
    """The signal's channels one below the other, as an SVG element 640 pixels wide.

    Args:
        signal: values, one lane a channel, each scaled to its lane.
        heat: what each moment says for the class, 0 (nothing) to 1 (most).
        rate: samples a second; the axis then shows seconds instead of numbers.
        channels: names, written into the lanes.

    Raises:
        ArgumentError: shapes that do not fit, values that are not finite, heat outside 0 to 1.
    """
    layout = _lay_out(signal, heat, rate, channels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {layout.height}" '
        f'width="{WIDTH}" height="{layout.height}" role="img" '
        f'aria-label="a signal of {len(signal)} channels with highlighted spans">',
        f'<rect width="{WIDTH}" height="{layout.height}" fill="#ffffff"/>',
    ]
    top, bottom = layout.lanes[0][0], layout.lanes[-1][1]
    for left, right, opacity, colour in layout.bars:
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" fill="rgb{colour}" fill-opacity="{opacity:.2f}"/>'
        )
    for index, ((_, low), points) in enumerate(zip(layout.lanes, layout.lines, strict=True)):
        parts.append(
            f'<line x1="{MARGIN}" y1="{low:.1f}" x2="{WIDTH - MARGIN}" y2="{low:.1f}" '
            f'stroke="{_RULE}"/>'
        )
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="1.2"/>')
        if channels:
            parts.append(_text(MARGIN + 3, layout.lanes[index][0] + 11, channels[index], "start"))
    for x, text in layout.ticks:
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        parts.append(_text(x, layout.height - 5, text, anchor))
    return "".join([*parts, "</svg>"])


def signal_image(
    signal: Float[np.ndarray, "c l"],
    heat: Float[np.ndarray, " l"],
    *,
    rate: float | None = None,
    channels: tuple[str, ...] = (),
) -> Image.Image:
    """The same picture as pixels, twice as fine; see `signal_svg`."""
    layout, scale = _lay_out(signal, heat, rate, channels), 2
    image = Image.new("RGB", (WIDTH * scale, layout.height * scale), "white")
    draw = ImageDraw.Draw(image)
    top, bottom = layout.lanes[0][0] * scale, layout.lanes[-1][1] * scale
    for left, right, opacity, colour in layout.bars:
        mixed = tuple(round(255 + opacity * (part - 255)) for part in colour)
        draw.rectangle((left * scale, top, right * scale - 1, bottom), fill=mixed)
    for index, ((high, low), points) in enumerate(zip(layout.lanes, layout.lines, strict=True)):
        draw.line((MARGIN * scale, low * scale, (WIDTH - MARGIN) * scale, low * scale), _RULE)
        draw.line([(x * scale, y * scale) for x, y in points], _LINE, width=scale)
        if channels:
            draw.text(((MARGIN + 3) * scale, (high + 2) * scale), channels[index], _TEXT)
    for x, text in layout.ticks:
        anchor = "ls" if x < 20 else "rs" if x > WIDTH - 20 else "ms"
        draw.text((x * scale, (layout.height - 5) * scale), text, _TEXT, anchor=anchor)
    return image


def _lay_out(
    signal: NDArray[np.floating],
    heat: NDArray[np.floating],
    rate: float | None,
    channels: tuple[str, ...],
) -> _Layout:
    values, warmth = np.asarray(signal, np.float64), np.asarray(heat, np.float64)
    _check(values, warmth, channels)
    count, length = values.shape
    lane = max(14.0, min(LANE, (TALLEST - AXIS - 2 * MARGIN) / count))
    lanes = tuple((MARGIN + i * lane, MARGIN + (i + 1) * lane) for i in range(count))
    lines = tuple(_line(row, top, bottom) for row, (top, bottom) in zip(values, lanes, strict=True))
    height = round(lanes[-1][1] + AXIS)
    ticks = _ticks(length, rate)
    return _Layout(height=height, lanes=lanes, lines=lines, bars=_bars(warmth), ticks=ticks)


def _check(
    values: NDArray[np.float64], heat: NDArray[np.float64], channels: tuple[str, ...]
) -> None:
    if values.ndim != 2 or heat.ndim != 1 or values.shape[1] != len(heat) or not values.size:
        raise ArgumentError(f"a heat of {heat.shape} for a signal of {values.shape}")
    if not (np.isfinite(values).all() and np.isfinite(heat).all()):
        raise ArgumentError("values that are not finite", why="they cannot be drawn")
    if heat.min() < -1e-6 or heat.max() > 1 + 1e-6:
        raise ArgumentError(f"heat from {heat.min():g} to {heat.max():g}", why="it is 0 to 1")
    if channels and len(channels) != len(values):
        raise ArgumentError(f"{len(channels)} names for {len(values)} channels")


def _line(row: NDArray[np.float64], top: float, bottom: float) -> NDArray[np.float64]:
    """(points, 2): a point a sample, or the least and the greatest of each pixel's samples."""
    span = float(np.ptp(row)) or 1.0
    room = bottom - top - 4
    y = bottom - 2 - room * (row - row.min()) / span
    if not np.ptp(row):
        y[:] = (top + bottom) / 2
    x = _across(np.arange(len(row)), len(row))
    columns = WIDTH - 2 * MARGIN
    if len(row) <= 2 * columns:
        return np.stack([x, y], axis=1)
    starts = np.linspace(0, len(row), columns, endpoint=False).astype(int)
    lows, highs = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    pairs = np.stack([np.repeat(x[starts], 2), np.stack([lows, highs], 1).ravel()], axis=1)
    return np.asarray(pairs)


def _across(places: NDArray[np.number], length: int) -> NDArray[np.float64]:
    """From samples to pixels."""
    share = np.asarray(places, np.float64) / max(length - 1, 1)
    return np.asarray(MARGIN + share * (WIDTH - 2 * MARGIN))


def _bars(
    heat: NDArray[np.float64],
) -> tuple[tuple[float, float, float, tuple[int, int, int]], ...]:
    """Stretches of equal width with the greatest heat in each; cold ones are left out."""
    count = min(len(heat), MAX_COLUMNS)
    starts = np.linspace(0, len(heat), count, endpoint=False).astype(int)
    strongest = np.clip(np.maximum.reduceat(heat, starts), 0, 1)
    edges = np.linspace(MARGIN, WIDTH - MARGIN, count + 1)
    colours = colourize(strongest[None])[0]
    return tuple(
        (float(edges[i]), float(edges[i + 1]), 0.65 * float(strongest[i]), _rgb(colours[i]))
        for i in range(count)
        if strongest[i] > 0.02
    )


def _rgb(colour: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in colour)
    return red, green, blue


def _ticks(length: int, rate: float | None) -> tuple[tuple[float, str], ...]:
    """Five marks: numbers of samples, or seconds."""
    places = np.unique(np.linspace(0, length - 1, 5).round().astype(int))
    pixels = _across(places, length)
    texts = [f"{p / rate:.3g} s" if rate else str(p) for p in places]
    return tuple((float(x), text) for x, text in zip(pixels, texts, strict=True))


def _text(x: float, y: float, text: str, anchor: str) -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="11" '
        f'fill="{_TEXT}" text-anchor="{anchor}">{safe}</text>'
    )
