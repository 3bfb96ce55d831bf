"""Signals in tables (CSV) and arrays (NPY), and what every reading of a signal must hold to.

A table has a row for each moment and a column for each channel, with or without a line of names;
a column named time, t or alike, or one of ISO times, gives the rate. An array is (samples,) or (channels, samples).
"""

from __future__ import annotations

import codecs
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.names import is_missing
from striate.data.readers.content import head_of, read_content, text_of
from striate.data.readers.npy import num_axes, read_npy
from striate.data.readers.reader import ARRAYS, READERS, ArrayKind, Arrays, FileReader, stored_item
from striate.data.readers.tables.delimited import Rows, are_numbers, rows_of
from striate.data.readers.tables.index_columns import (
    FEWEST,
    in_seconds,
    is_index,
    is_unnamed,
    moments_of,
    numbers_rows,
    time_unit,
)
from striate.data.source import FileContent, Note, Reading, UnreadableItem
from striate.errors import DataError
from striate.progress import counted

MAX_BYTES: Final = 2**30
"""The largest file that is read, and the largest signal that one expands to, in bytes."""

EVEN: Final = 0.01
"""The share of a step of time by which one may differ and still count as even."""

LONG_AGO: Final = 1e8
"""Moments from which on, in seconds, a step of time has few digits left."""

MAX_GAP: Final = 10
"""A step of time longer than so many usual ones is a gap, and is not interpolated."""

MAX_MISSING: Final = 0.5
"""The share of a channel's values that may be missing and are interpolated."""

MAX_CHANNELS: Final = 1024
"""More rows than this in an array are taken for samples, not for channels."""

LONGER_THAN_WIDE: Final = 2
"""An array (N, a, b) of numbers is signals of a channels where b is at least so many times a."""


def signal_reading(
    array: NDArray[Any], sha256: str, rate: float | None = None, notes: tuple[Note, ...] = ()
) -> Reading:
    """A reading of a signal, checked.

    Args:
        array: The signal's numbers, (channels, samples).
        sha256: The SHA-256 of what is stored.
        rate: The number of samples a second, where it is known.
        notes: Remarks on the item.

    Raises:
        UnreadableItem: The signal is empty, or holds NaN or Inf; the reason names the first place.
    """
    if array.size == 0:
        raise UnreadableItem("no samples")
    with np.errstate(over="ignore"):  # said below
        signal = np.ascontiguousarray(array, dtype=np.float32)
    bad = ~np.isfinite(signal)
    if bad.any():
        channel, index = np.argwhere(bad)[0]
        beyond = np.isfinite(array[channel, index])
        raise UnreadableItem(
            f"{counted(int(bad.sum()), 'value')} {'beyond float32' if beyond else 'not finite'}, "
            f"the first {array[channel, index]:g} at index {index} of channel {channel}"
        )
    spacing = () if rate is None else (1 / rate,)
    return Reading(array=signal, sha256=sha256, spacing=spacing, notes=notes)


def read_signal_table(data: FileContent) -> Reading:
    """A signal from a text table, a row for each moment and a column for each channel.

    The column of moments gives the rate; columns that only number the rows are left out; blank
    cells and moments that are not quite even are interpolated. Each of these is noted.

    Raises:
        UnreadableItem: There are no numbers, rows of different lengths (named by line), moments
            that do not rise, or a channel of which more is missing than is there.
    """
    content = read_content(data, MAX_BYTES)
    names, columns, moments = _columns(rows_of(text_of(content)))
    names, channels, notes = _channels(names, columns)
    channels, missing = _filled(channels)
    rate = None
    if moments is not None:
        channels, rate, uneven = _evenly(channels, moments)
        notes += uneven
    digest = hashlib.sha256(content).hexdigest()
    reading = signal_reading(channels, digest, rate, (*notes, *missing))
    return replace(reading, channel_names=tuple(names))


def _columns(
    rows: Rows,
) -> tuple[list[str], list[NDArray[np.float64]], NDArray[np.float64] | None]:
    """The names of the channels, empty where there are none, their values, and the moments."""
    if not rows.fields:
        raise UnreadableItem("no rows of numbers")
    headed = not _is_data(rows.fields[0]) or _are_numbers_of_columns(rows.fields)
    body = rows.fields[headed:]
    places = rows.places[headed:]
    if not body:
        raise UnreadableItem("no rows of numbers")
    first = rows.fields[0] if headed else rows.remark
    width = len(body[0])
    if headed and width == len(first) + 1 and is_index("#", [row[0] for row in body]):
        first = ("", *first)  # R does not name the numbers of the rows
    for place, row in zip(places, body, strict=True):
        if len(row) != width:
            raise UnreadableItem(f"{place} has {len(row)} fields and the first has {width}")
    named = [name.strip().lower() for name in first] if len(first) == width else [""] * width
    if headed and len(first) != width:
        raise UnreadableItem(f"{places[0]} has {width} fields and the first has {len(first)}")
    texts = list(zip(*body, strict=True))
    times = _time_columns(named, texts)
    kept = [
        n for n in range(width) if n not in times and (named[n] or any(map(str.strip, texts[n])))
    ]
    at = next((n for n in times if texts[n][0] != texts[n][-1]), times[0]) if times else None
    moments = None if at is None else _moments(named[at], texts[at], places, rows.delimiter)
    columns = [_numbers(texts[n], places, rows.delimiter) for n in kept]
    return ([named[n] for n in kept] if any(named) else []), columns, moments


def _is_data(row: Sequence[str]) -> bool:
    """Whether a row holds a number or a moment, and nothing else but blanks."""
    known = [field for field in row if not is_missing(field)]
    return bool(known) and all(are_numbers([field]) or moments_of([field]) is not None
                               or field.strip().lower().lstrip("+-") in ("inf", "infinity")
                               for field in known)  # fmt: skip


def _are_numbers_of_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row counts the columns from 0, as pandas names those without a name."""
    first, below = rows[0], rows[1:]
    indexed = not first[0].strip()
    names = [field.strip() for field in first[indexed:]]
    counted = bool(names) and names == [str(number) for number in range(len(names))]
    fractions = any("." in field or "," in field for row in below[:9] for field in row)
    return counted and (indexed or (len(names) > 2 and fractions))


def _time_columns(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[int]:
    """The columns of moments, by their names or as ISO 8601, where others are left."""
    found = [
        n
        for n, (name, texts) in enumerate(zip(names, columns, strict=True))
        if time_unit(name) is not None or moments_of(texts[:1]) is not None
    ]
    return found if len(found) < len(columns) else []


def _numbers(texts: Sequence[str], places: Sequence[str], delimiter: str) -> NDArray[np.float64]:
    """A column as numbers, NaN where a cell is blank; a decimal comma is a point."""
    values = []
    for place, text in zip(places, texts, strict=True):
        try:
            plain = text.replace(",", ".") if delimiter != "," else text
            values.append(math.nan if is_missing(text) else float(plain))
        except ValueError:
            raise UnreadableItem(f"{place} has {text.strip()[:40]!r}, not a number") from None
    return np.array(values, np.float64)


def _moments(
    name: str, texts: Sequence[str], places: Sequence[str], delimiter: str
) -> NDArray[np.float64]:
    """The moments of the rows in seconds."""
    moments = moments_of(texts)
    if moments is not None:
        return moments
    values = _numbers(texts, places, delimiter)
    blank = np.flatnonzero(np.isnan(values))
    if blank.size:
        raise UnreadableItem(f"{places[int(blank[0])]} has no time")
    return in_seconds(values, time_unit(name) or 0.0)


def _channels(
    names: Sequence[str], columns: Sequence[NDArray[np.float64]]
) -> tuple[list[str], NDArray[np.float64], tuple[Note, ...]]:
    """The columns that hold a signal by name, (channels, samples), and a remark on the others."""
    named = names or ["channel"] * len(columns)
    left = [
        n
        for n, (name, values) in enumerate(zip(named, columns, strict=True))
        if len(columns) > 1
        and (
            is_unnamed(name) or numbers_rows(name, values) or (not (n or names) and _ramps(values))
        )
    ]
    if len(left) == len(columns):
        left = []
    kept = [n for n in range(len(columns)) if n not in left]
    said = ", ".join(named[n] or "one without a name" for n in left)
    message = f"columns that number or time the rows were left out: {said}"
    notes = (Note(code="index-column", message=message, severity="info"),) if left else ()
    return [names[n] for n in kept if names], np.array([columns[n] for n in kept]), notes


def _ramps(values: NDArray[np.float64]) -> bool:
    """Whether values rise in equal steps, as moments do and no signal."""
    steps = np.diff(values)
    even = np.allclose(steps, steps.mean(), rtol=1e-3, atol=0) if len(steps) else False
    return len(values) >= FEWEST and bool(even) and steps[0] > 0


def _filled(channels: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[Note, ...]]:
    """The channels with missing values interpolated, and a remark where there were any."""
    gaps = np.isnan(channels)
    if not gaps.any():
        return channels, ()
    most = int(gaps.mean(axis=1).argmax())
    if gaps[most].mean() > MAX_MISSING:
        raise UnreadableItem(
            f"{int(gaps[most].sum())} of {gaps.shape[1]} values of channel {most} are missing"
        )
    places = np.arange(channels.shape[1])
    filled = [
        np.interp(places, places[~gap], row[~gap]) for row, gap in zip(channels, gaps, strict=True)
    ]
    message = f"{int(gaps.sum())} missing values were interpolated"
    return np.stack(filled), (Note(code="missing-values", message=message, severity="info"),)


def _evenly(
    channels: NDArray[np.float64], moments: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float | None, tuple[Note, ...]]:
    """The channels in equal steps of time, the samples a second, and a remark on what was done."""
    steps = np.diff(moments)
    step = float(np.median(steps)) if len(steps) else 0.0
    if step > 0 and np.abs(steps - step).max() <= EVEN * step:
        # Seconds since 1970 leave too few digits for the steps to be exactly even.
        long_ago = np.abs(moments).max() > LONG_AGO
        return channels, _round_rate(1 / step, 1e-4) if long_ago else 1 / step, ()
    if not len(steps) or steps.min() < 0 or moments[-1] == moments[0]:
        raise UnreadableItem("the column of times does not rise")
    if steps.min() == 0:  # times written more coarsely than they were taken
        rate = _round_rate((len(moments) - 1) / (moments[-1] - moments[0]))
        message = f"several rows have one time: they were taken to be even, {rate:g} a second"
        advice = "write the times with more digits, if the rate should be exact"
        return channels, rate, (Note(code="coarse-times", message=message, advice=advice),)
    if steps.max() > MAX_GAP * step:
        raise UnreadableItem(
            f"the column of times does not rise in equal steps: {steps.max():g} s after "
            f"{moments[int(steps.argmax())]:g} s, elsewhere {step:g} s"
        )
    # The median of coarse times is rounded, the mean is raised by samples that are lost.
    rate = _round_rate(1 / (step if steps.max() > 1.5 * step else float(steps.mean())))
    even = np.arange(moments[0], moments[-1] + EVEN / rate, 1 / rate)
    channels = np.stack([np.interp(even, moments, row) for row in channels])
    message = f"uneven times were interpolated to {rate:g} samples a second"
    return channels, rate, (Note(code="uneven-times", message=message, severity="info"),)


def _round_rate(rate: float, within: float = EVEN) -> float:
    """The roundest rate within a share of it, so that items of one logger have the same.

    >>> _round_rate(49.87), _round_rate(101.3), _round_rate(0.334)
    (50.0, 101.0, 0.334)
    """
    rounded = (float(f"{rate:.{digits}g}") for digits in range(1, 17))
    return next(value for value in rounded if abs(value - rate) < within * rate)


def read_signal_array(data: FileContent) -> Reading:
    """A signal from an .npy file; the header is checked against the file before it is believed.

    Raises:
        UnreadableItem: The file holds something else than a signal.
    """
    content = read_content(data, MAX_BYTES)
    array = read_npy(content)
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2):
        raise UnreadableItem(f"{array.dtype} of shape {array.shape} is no signal")
    if array.ndim == 2 and array.shape[0] > MAX_CHANNELS:
        raise UnreadableItem(
            f"{array.shape[0]} channels; a signal is (channels, samples), "
            f"with {MAX_CHANNELS} at most"
        )
    return signal_reading(np.atleast_2d(array), hashlib.sha256(content).hexdigest())


def _array_reader(
    arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str
) -> Callable[[int], Reading]:
    """Signals in one array (N, L) or (N, C, L), or in N arrays (L,) or (C, L)."""
    if isinstance(arrays, np.ndarray) and (
        arrays.ndim not in (2, 3) or arrays.dtype.kind not in "buif" or not arrays.size
    ):
        raise DataError(
            f"{name} holds {arrays.dtype} of the shape {arrays.shape}",
            why="signals are numbers, (N, samples) or (N, channels, samples)",
        )
    rate = extras.get("sample_rate")
    if rate is not None and (rate.size != 1 or not float(rate.reshape(-1)[0]) > 0):
        raise DataError(f"{name} has the sample_rate {rate}", why="it is one number above 0")

    def read(index: int) -> Reading:
        array, sha256 = stored_item(arrays, index)
        per_second = None if rate is None else float(rate.reshape(-1)[0])
        return signal_reading(np.atleast_2d(array), sha256, per_second)

    return read


def _claims(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is (N, L), or (N, C, L) with L well over C and values that are no pixels."""
    if dtype.kind not in "buif":
        return False
    pixels = dtype == np.uint8 or dtype == np.bool_
    return len(shape) == 2 or (
        len(shape) == 3 and not pixels and shape[2] >= LONGER_THAN_WIDE * shape[1]
    )


def _is_text(data: FileContent) -> bool:
    head = head_of(data, 4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its end may cut a character
    except UnicodeDecodeError:
        return False
    return bool(head) and b"\0" not in head


READERS.add("table", FileReader("signal", (".csv", ".tsv"), read_signal_table, _is_text))
READERS.add(
    "series",
    FileReader(
        "signal", (".npy",), read_signal_array, lambda data: num_axes(data) in (1, 2), last=True
    ),
)
ARRAYS.add(
    "signal",
    ArrayKind(
        _claims,
        lambda shape, channels: len(shape) == 1 or (len(shape) == 2 and channels > 1),
        _array_reader,
    ),
)
