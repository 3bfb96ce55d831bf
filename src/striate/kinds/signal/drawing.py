"""Signals with the spans that are evidence for an output highlighted."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.drawing import OPACITY, document, element, hex_colours, overlay
from striate.explain.fidelity import checked
from striate.explain.method import GridExplainable
from striate.kinds.inputs import in_order_of
from striate.kinds.signal.inputs import SignalInputs
from striate.kinds.signal.waveform import to_rate
from striate.nn.layout import channels_last
from striate.report import Picture

WIDTH: Final = 640
LANE: Final = 96
"""Height of a channel's lane, in pixels; it is less where there are many."""

TALLEST: Final = 640
MARGIN: Final = 8
AXIS: Final = 20
"""Height of the line with the times, in pixels."""

MAX_COLUMNS: Final = 160
"""Bars of heat across the drawing."""

SPECTROGRAM: Final = 96
"""Height of a spectrogram, in pixels."""

_LETTERS: Final = 110
_SILENT: Final = 0.05
_LINE: Final = "#1d1d1f"
_RULE: Final = "#d0d0d5"
_SMALL: Final[dict[str, object]] = {"font_size": 11, "fill": "#55555c"}
_HATCH: Final = (
    '<pattern id="padding" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" fill="#f2f2f4"/>'
    '<line x1="0" y1="0" x2="0" y2="6" stroke="#b8b8bf" stroke-width="2"/></pattern>'
)


def thumbnail(reading: Reading) -> str:
    """The curve of a series' first channels, as an SVG element."""
    width, height = 240, 120
    lines = []
    for values in np.asarray(reading.array[:3], np.float64):
        shown = values[:: max(1, len(values) // width)]
        low, span = shown.min(), float(np.ptp(shown)) or 1.0
        across = np.linspace(0, width, len(shown))
        down = height - 4 - (height - 8) * (shown - low) / span
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
        lines.append(f'<polyline fill="none" stroke="#4a90b0" points="{points}"/>')
    return f'<svg viewBox="0 0 {width} {height}">{"".join(lines)}</svg>'


def picture(
    network: GridExplainable,
    inputs: SignalInputs,
    reading: Reading,
    target: int,
    method: str,
    *,
    device: torch.device,
    item: str,
    steps: int = 0,
) -> Picture:
    """Draw the samples that the network sees, in their own unit, with the evidence for an output.

    Of a spectrogram the evidence at a moment is the highest of any band. What was added behind a
    shorter signal is hatched.

    Args:
        network: A network of signals or of their spectrograms.
        inputs: What makes the network's inputs.
        reading: The signal.
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`.
        device: Where the network is.
        item: Name of the signal.
        steps: Points of the curves by which the explanation is checked; 0 for no check.

    Raises:
        UnknownNameError: There is no such method.
    """
    reading = in_order_of(inputs.names, reading)
    x = channels_last(inputs.inputs([reading]).to(device))
    found = explain(network, x, torch.tensor([target]), method).heat[0].cpu().numpy()
    is_found, faithful = checked(network, x, target, found, steps)
    over_time = found.max(0) if found.ndim == 2 else found
    moments = np.linspace(0, inputs.length - 1, len(over_time))
    heat = np.interp(np.arange(inputs.length), moments, over_time)
    samples = replace(inputs, input="raw", normalize="none").inputs([reading])[0].numpy()
    known = bool(inputs.rate and reading.spacing)
    signal = to_rate(reading.array, 1 / reading.spacing[0], inputs.rate) if known else reading.array
    # Stretched to one length, a signal has no rate any more, and nothing is added to it.
    stretched = inputs.lengths == "resample"
    drawn = signal_svg(
        samples,
        heat,
        rate=0.0 if stretched else inputs.rate,
        num_padded=0 if stretched else max(0, inputs.length - signal.shape[1]),
        bands=(x[0].float().mean(0).cpu().numpy(), found) if found.ndim == 2 else None,
    )
    return Picture(image=drawn, found=is_found, faithful=faithful)


def signal_svg(
    signal: Float[np.ndarray, "c l"],
    heat: Float[np.ndarray, " l"],
    *,
    rate: float = 0.0,
    num_padded: int = 0,
    bands: tuple[Float[np.ndarray, "f t"], Float[np.ndarray, "f t"]] | None = None,
) -> str:
    """Draw a signal's channels one below the other, as an SVG element 640 pixels wide.

    Below them comes the spectrogram that the network sees, where it sees one. Silence is marked by
    a bar under the time axis, and where most of the evidence lies in it a line says so.

    Args:
        signal: The values; each channel is scaled to a lane of its own.
        heat: Evidence at each moment, from 0 (none) to 1 (the most).
        rate: Samples a second, with which the axis shows seconds; 0 to show numbers of samples.
        num_padded: Samples at the end that were added to the signal. They are hatched and show no
            evidence; where the most lay there, a line below says so.
        bands: A spectrogram, its lowest frequencies first, and the evidence in it.

    Raises:
        ArgumentError: Shapes do not fit, values are not finite, or heat is outside 0 to 1.
    """
    values, heat = np.asarray(signal, np.float64), np.asarray(heat, np.float64)
    _check(values, heat)
    count, length = values.shape
    num_real = length - num_padded
    lane = max(14.0, min(LANE, (TALLEST - AXIS - 2 * MARGIN) / count))
    bottom = MARGIN + count * lane
    real, hidden = heat[:num_real], heat[num_real:]
    notes = []
    if num_padded:
        end = f"{num_real / rate:.3g} s" if rate else f"sample {num_real}"
        notes.append(f"The signal ends at {end}; what is hatched was added behind it.")
        if hidden.max() > real.max():
            notes.append("The most evidence lies there, and is not shown: do not rely on the rest.")
        heat = np.concatenate([real / max(real.max(), 1e-12), np.zeros(num_padded)])
    quiet = silence(values[:, :num_real]) if bands is not None else np.zeros(num_real, bool)
    if quiet.any():
        notes.append("Grey bars below the time axis mark silence.")
        if heat[:num_real][quiet].sum() > heat.sum() / 2:
            notes.append("Most of the evidence lies in silence: the answer may rest on it.")
    lines = _wrapped(notes)
    shown = SPECTROGRAM + MARGIN if bands is not None else 0
    height = round(bottom + AXIS + shown + AXIS * len(lines))
    parts = [element("rect", width=WIDTH, height=height, fill="#ffffff")]
    parts += _bars(heat, MARGIN, bottom)
    if num_padded:
        left = float(_across(np.array([num_real - 1]), length)[0])
        box = {"x": left, "y": MARGIN, "width": WIDTH - MARGIN - left, "height": bottom - MARGIN}
        parts += [_HATCH, element("rect", **box, fill="url(#padding)")]
    for number, row in enumerate(values[:, :num_real]):
        low = MARGIN + (number + 1) * lane
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _line(row, low - lane, low, length))
        parts.append(element("line", x1=MARGIN, y1=low, x2=WIDTH - MARGIN, y2=low, stroke=_RULE))
        parts.append(element("polyline", points=path, fill="none", stroke=_LINE, stroke_width=1.2))
    places = np.unique(np.linspace(0, length - 1, 5).round().astype(int))
    for place, x in zip(places, _across(places, length), strict=True):
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        text = f"{place / rate:.3g} s" if rate else str(place)
        parts.append(element("text", text, x=x, y=bottom + 15, text_anchor=anchor, **_SMALL))
    for left, right in _stretches(quiet):
        x1, x2 = _across(np.array([left, right]), length)
        box = {"x": float(x1), "y": bottom + 1, "width": float(x2 - x1), "height": 3}
        parts.append(element("rect", **box, fill="#8e8e96"))
    if bands is not None:
        parts += _spectrogram(*bands, bottom + AXIS, num_real / length)
    for number, line in enumerate(lines):
        y = bottom + AXIS + shown + AXIS * (number + 1) - 6
        parts.append(element("text", line, x=MARGIN, y=y, **_SMALL))
    return document(WIDTH, height, *parts)


def silence(signal: Float[np.ndarray, "c l"]) -> Bool[np.ndarray, " l"]:
    """Where a sound is 26 dB or more below its loudest moment, in windows of 1 % of its length."""
    loudness = np.abs(signal - np.median(signal, axis=1, keepdims=True)).max(0)
    window = max(1, signal.shape[1] // 100)
    loudness = maximum_filter1d(loudness, window)
    return np.asarray(loudness < _SILENT * loudness.max())


def _stretches(mask: Bool[np.ndarray, " l"]) -> list[tuple[int, int]]:
    """First and last position of each stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _spectrogram(
    bands: Float[np.ndarray, "f t"], heat: Float[np.ndarray, "f t"], top: float, share: float
) -> list[str]:
    """Draw the real part of a spectrogram in grey under its evidence, high frequencies above."""
    count = max(1, round(share * bands.shape[1]))
    bands, heat = bands[::-1, :count], heat[::-1, :count]
    low, high = np.percentile(bands, (1, 99))
    grey = ((bands - low) / max(float(high - low), 1e-12)).clip(0, 1)
    pixels = np.repeat((255 * grey).round().astype(np.uint8)[None], 3, axis=0)
    out = BytesIO()
    warm = heat / max(float(heat.max()), 1e-12)
    overlay(pixels, warm).save(out, "PNG")
    address = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    width = share * (WIDTH - 2 * MARGIN)
    box = {"x": MARGIN, "y": top, "width": width, "height": float(SPECTROGRAM)}
    right = {"x": WIDTH - MARGIN - 2, "text_anchor": "end", **_SMALL}
    labels = [
        element("text", text, y=y, paint_order="stroke", stroke="#ffffff", stroke_width=3, **right)
        for text, y in (("high", top + 12), ("spectrogram, low", top + SPECTROGRAM - 4))
    ]
    return [element("image", **box, href=address, preserveAspectRatio="none"), *labels]


def _wrapped(notes: Sequence[str]) -> list[str]:
    """Sentences in lines of the drawing's width."""
    return textwrap.wrap(" ".join(notes), _LETTERS)


def _check(values: NDArray[np.float64], heat: NDArray[np.float64]) -> None:
    if values.ndim != 2 or heat.ndim != 1 or values.shape[1] != len(heat) or not values.size:
        raise ArgumentError(f"a heat of {heat.shape} for a signal of {values.shape}")
    if not (np.isfinite(values).all() and np.isfinite(heat).all()):
        raise ArgumentError("values that are not finite", why="they cannot be drawn")
    if heat.min() < -1e-6 or heat.max() > 1 + 1e-6:
        raise ArgumentError(f"heat from {heat.min():g} to {heat.max():g}", why="it is 0 to 1")


def _line(
    row: NDArray[np.float64], top: float, bottom: float, length: int
) -> Float[np.ndarray, "points 2"]:
    """Return a point a sample, or the lowest and the highest of each pixel's samples."""
    span = float(np.ptp(row))
    share = (row - row.min()) / span if span else np.full(len(row), 0.5)
    x, y = _across(np.arange(len(row)), length), bottom - 2 - (bottom - top - 4) * share
    columns = WIDTH - 2 * MARGIN
    if len(row) <= 2 * columns:
        return np.stack([x, y], axis=1)
    starts = np.linspace(0, len(row), columns, endpoint=False).astype(int)
    lows, highs = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    return np.stack([np.repeat(x[starts], 2), np.stack([lows, highs], 1).ravel()], axis=1)


def _across(places: NDArray[np.integer], length: int) -> NDArray[np.float64]:
    """Turn positions of samples into pixels."""
    share = np.asarray(places, np.float64) / max(length - 1, 1)
    return np.asarray(MARGIN + share * (WIDTH - 2 * MARGIN))


def _bars(heat: NDArray[np.float64], top: float, bottom: float) -> list[str]:
    """Draw stretches of equal width with the highest heat in each, but for cold ones."""
    count = min(len(heat), MAX_COLUMNS)
    starts = np.linspace(0, len(heat), count, endpoint=False).astype(int)
    highest = np.clip(np.maximum.reduceat(heat, starts), 0, 1)
    edges = np.linspace(MARGIN, WIDTH - MARGIN, count + 1)
    colours = hex_colours(highest)
    bars = []
    for i in np.flatnonzero(highest > 0.02):
        box = {"x": edges[i], "y": top, "width": edges[i + 1] - edges[i], "height": bottom - top}
        opacity = f"{OPACITY * highest[i]:.2f}"
        bars.append(element("rect", **box, fill=colours[i], fill_opacity=opacity))
    return bars
