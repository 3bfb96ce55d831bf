"""Signals in tables (CSV) and arrays (NPY), and what every reading of a signal must hold to.

A table has a row for each moment and a column for each channel, with or without a line of names;
a column named time or t gives the rate. An array is (samples,) or (channels, samples).
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.readers.content import head_of, read_content, text_of
from striate.data.readers.npy import num_axes, read_npy
from striate.data.readers.reader import ARRAYS, READERS, ArrayKind, Arrays, FileReader, stored_item
from striate.data.source import FileContent, Reading, UnreadableItem
from striate.errors import DataError

MAX_BYTES: Final = 2**30
"""The largest file that is read, and the largest signal that one expands to, in bytes."""

TIME_NAMES: Final = ("time", "t", "seconds", "time_s")
"""Names of a table's column of moments, in lower case."""

MAX_CHANNELS: Final = 1024
"""More rows than this in an array are taken for samples, not for channels."""

LONGER_THAN_WIDE: Final = 2
"""An array (N, a, b) of numbers is signals of a channels where b is at least so many times a."""


def signal_reading(array: NDArray[Any], sha256: str, rate: float | None = None) -> Reading:
    """A reading of a signal, checked.

    Args:
        array: The signal's numbers, (channels, samples).
        sha256: The SHA-256 of what is stored.
        rate: The number of samples a second, where it is known.

    Raises:
        UnreadableItem: The signal is empty, or holds NaN or Inf; the reason names the first place.
    """
    if array.size == 0:
        raise UnreadableItem("no samples")
    signal = np.ascontiguousarray(array, dtype=np.float32)
    bad = ~np.isfinite(signal)
    if bad.any():
        channel, index = np.argwhere(bad)[0]
        raise UnreadableItem(
            f"{int(bad.sum())} values that are not finite, the first {signal[channel, index]} "
            f"at index {index} of channel {channel}"
        )
    return Reading(array=signal, sha256=sha256, spacing=() if rate is None else (1 / rate,))


def read_signal_table(data: FileContent) -> Reading:
    """A signal from a CSV file; `;` and tabs part columns too, and a byte-order mark is no harm.

    Raises:
        UnreadableItem: There are no numbers, or rows of different lengths, named by line.
    """
    content = read_content(data, MAX_BYTES)
    names, rows = _rows(text_of(content))
    columns = np.array(rows, dtype=np.float64).T
    rate = None
    at = next((i for i, name in enumerate(names) if name in TIME_NAMES), None)
    if at is not None and len(columns) > 1:
        rate = _rate(columns[at])
        columns = np.delete(columns, at, axis=0)
    return signal_reading(columns, hashlib.sha256(content).hexdigest(), rate)


def _rows(text: str) -> tuple[list[str], list[list[float]]]:
    """The names of the columns, empty where there are none, and the rows of numbers."""
    first = text.partition("\n")[0]
    delimiter = max(";\t,", key=first.count)
    names: list[str] = []
    rows: list[list[float]] = []
    width = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            width = width or len(fields)
            if len(fields) != width:
                raise UnreadableItem(
                    f"line {reader.line_num} has {len(fields)} fields and the first has {width}"
                )
            try:
                rows.append([_number(field, delimiter) for field in fields])
            except ValueError as error:
                if rows or names:
                    raise UnreadableItem(f"line {reader.line_num} has {error}") from None
                names = [field.strip().lower() for field in fields]
    except csv.Error as error:
        raise UnreadableItem(f"line {reader.line_num}: {error}") from None
    if not rows:
        raise UnreadableItem("no rows of numbers")
    return names, rows


def _number(text: str, delimiter: str) -> float:
    """A field as a number; the comma of a table parted by semicolons is a decimal point."""
    try:
        return float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        raise ValueError(f"{text.strip()[:40]!r}, not a number") from None


def _rate(moments: NDArray[np.float64]) -> float:
    """The number of samples a second of evenly spaced moments."""
    steps = np.diff(moments)
    step = float(np.median(steps)) if len(steps) else 0.0
    if step <= 0 or np.abs(steps - step).max() > 0.01 * step:
        raise UnreadableItem("the column of times does not rise in equal steps")
    return 1 / step


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
    FileReader("signal", (".npy",), read_signal_array, lambda data: num_axes(data) in (1, 2)),
)
ARRAYS.add(
    "signal",
    ArrayKind(
        _claims,
        lambda shape, channels: len(shape) == 1 or (len(shape) == 2 and channels > 1),
        _array_reader,
    ),
)
