"""One signal in one file: sound (WAV, FLAC and others), a table (CSV), an array (NPY).

A table has a row for each moment and a column for each channel, with or without a line of names;
a column named time or t gives the rate. An array is (samples,) or (channels, samples).
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from striate.data.layouts.array_files import read_npy
from striate.data.readers.image import read_file
from striate.data.readers.reader import READERS, FileReader
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import DataError

MAX_BYTES: Final = 2**30
"""Largest file that is read, and largest signal that one expands to, in bytes."""

TIME_NAMES: Final = ("time", "t", "seconds", "time_s")
"""Names of a table's column of moments, in lower case."""

MAX_CHANNELS: Final = 1024
"""More rows than this in an array are taken for samples, not for channels."""


def signal_reading(
    array: NDArray[Any], sha256: str, rate: float | None = None, notes: tuple[Note, ...] = ()
) -> Reading:
    """A reading of a signal, checked.

    Args:
        array: (channels, samples), numbers.
        sha256: of the content.
        rate: samples a second, where known.
        notes: remarks.

    Raises:
        UnreadableItem: it is empty, or holds NaN or Inf; the reason names the first place.
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
    spacing = () if rate is None else (1 / rate,)
    return Reading(array=signal, sha256=sha256, spacing=spacing, notes=notes)


def read_table(path: Path) -> Reading:
    """A signal from a CSV file; `;` and tabs part columns too, and a byte-order mark is no harm.

    Raises:
        UnreadableItem: no numbers, or rows of different lengths, named by line.
    """
    content = read_file(path, MAX_BYTES)
    if not content.strip():
        raise UnreadableItem("empty file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableItem(f"line {line} is not UTF-8") from None
    names, rows = _rows(text)
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
            if not rows and not names and not all(map(_is_number, fields)):
                names = [field.strip().lower() for field in fields]
                continue
            rows.append([_number(field, delimiter, reader.line_num) for field in fields])
    except csv.Error as error:
        raise UnreadableItem(f"line {reader.line_num}: {error}") from None
    if not rows:
        raise UnreadableItem("no rows of numbers")
    return names, rows


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _number(text: str, delimiter: str, line: int) -> float:
    """A field as a number; the comma of a table parted by semicolons is a decimal point."""
    try:
        return float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        raise UnreadableItem(f"line {line} has {text.strip()[:40]!r}, not a number") from None


def _rate(moments: NDArray[np.float64]) -> float:
    """Samples a second of evenly spaced moments."""
    steps = np.diff(moments)
    step = float(np.median(steps)) if len(steps) else 0.0
    if step <= 0 or np.abs(steps - step).max() > 0.01 * step:
        raise UnreadableItem("the column of times does not rise in equal steps")
    return 1 / step


def read_array(path: Path) -> Reading:
    """A signal from an .npy file; the header is checked against the file before it is believed.

    Raises:
        UnreadableItem: it holds something else than a signal.
    """
    content = read_file(path, MAX_BYTES)
    if not content:
        raise UnreadableItem("empty file")
    try:
        array = np.array(read_npy(path))
    except DataError as error:
        raise UnreadableItem(error.why or error.what) from None
    if array.dtype.kind not in "buif" or array.ndim not in (1, 2):
        raise UnreadableItem(f"{array.dtype} of shape {array.shape} is no signal")
    if array.ndim == 2 and array.shape[0] > MAX_CHANNELS:
        raise UnreadableItem(
            f"{array.shape[0]} channels; a signal is (channels, samples), with {MAX_CHANNELS} at most"
        )
    return signal_reading(np.atleast_2d(array), hashlib.sha256(content).hexdigest())


def _holds_signal(path: Path) -> bool:
    """Whether the head of an .npy file promises one or two axes."""
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = {
                (1, 0): npy_format.read_array_header_1_0,
                (2, 0): npy_format.read_array_header_2_0,
            }[version]
            shape, _, _ = read(file)
    except (OSError, ValueError, KeyError):
        return False
    return len(shape) in (1, 2)


READERS.add("table", FileReader(kind="signal", suffixes=(".csv", ".tsv"), read=read_table))
READERS.add(
    "series",
    FileReader(kind="signal", suffixes=(".npy",), read=read_array, claims=_holds_signal),
)
