"""Series in the .ts format of the UCR and UEA archives.

Löning et al., sktime, 2019, arXiv:1909.07872, and the archives' own description: header lines
begin with `@`, remarks with `#` or `%`; after `@data` each line is an item, its channels parted by
`:`, the class or the target last. `?` (or NaN) is a missing value: inside a series it is
interpolated, behind the last value of every channel it only says that the series is shorter.
A folder with NAME_TRAIN.ts and NAME_TEST.ts is a data set with its own split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, few, is_folder
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.layouts.signal_arrays import SignalArrays
from striate.data.readers.image import read_file
from striate.data.source import Note, Source, UnreadableItem
from striate.errors import DataError
from striate.typing import SplitName

PARTS: Final[tuple[tuple[str, SplitName], ...]] = (
    ("_train", "train"),
    ("_val", "val"),
    ("_test", "test"),
)
"""Ends of the names of files that are parts of one data set."""

MAX_BYTES: Final = 4 * 2**30
MISSING: Final = ("?", "nan")


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one .ts file holds.

    Attributes:
        arrays: (channels, samples) each, NaN where a value is missing.
        answers: the last field of each line: a class or a target; empty text where there is none.
        regression: whether the answers are numbers to predict.
    """

    arrays: tuple[NDArray[np.float64], ...]
    answers: tuple[str, ...]
    regression: bool


def open_ts(path: str | Path) -> Source:
    """The series of a .ts file, or of a folder's NAME_TRAIN.ts and NAME_TEST.ts.

    Args:
        path: the folder, the file of one part (the others beside it are read as well), or a file
            without parts.

    Raises:
        DataError: no such file, a line that makes no sense (named), parts that do not fit.
    """
    path = existing_path(Path(path))
    files = _parts_in(path) if path.is_dir() else _parts_beside(path)
    found = {split: read_ts(file) for split, file in files}
    regressions = {series.regression for series in found.values()}
    if len(regressions) > 1:
        raise DataError(f"the parts of {path} are not of one task", why="classes and targets")
    arrays: list[NDArray[np.float64]] = []
    answers: list[str] = []
    splits: list[SplitName | None] = []
    for split, series in found.items():
        arrays += series.arrays
        answers += series.answers
        splits += [split] * len(series.arrays)
    _check_channels(path, arrays)
    filled, notes = _without_gaps(arrays)
    regression = regressions.pop()
    return SignalArrays(
        filled,
        labels=None if regression or not all(answers) else answers,
        targets=[float(answer) for answer in answers] if regression else None,
        splits=splits if len(found) > 1 else None,
        name=str(path),
        notes=notes,
    )


def read_ts(path: Path) -> Series:
    """The content of one .ts file.

    Raises:
        DataError: it cannot be read; a line of the data is named by its number.
    """
    try:
        text = read_file(path, MAX_BYTES).decode("utf-8-sig", "replace")
    except UnreadableItem as error:
        raise DataError(f"cannot read {path}", why=error.reason) from None
    header: dict[str, str] = {}
    arrays: list[NDArray[np.float64]] = []
    answers: list[str] = []
    in_data = False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", "%")):
            continue
        if not in_data:
            in_data = _header_line(path, number, line, header)
            continue
        try:
            array, answer = _item(line, header)
        except ValueError as error:
            raise DataError(f"cannot read {path}", why=f"line {number}: {error}") from None
        arrays.append(array)
        answers.append(answer)
    if not arrays:
        raise DataError(f"{path} holds no series", why="there is nothing after @data")
    regression = _says(header, "targetlabel")
    return Series(arrays=tuple(arrays), answers=tuple(answers), regression=regression)


def _header_line(path: Path, number: int, line: str, header: dict[str, str]) -> bool:
    """Take in a line before the data; True where the data begins."""
    if not line.startswith("@"):
        raise DataError(
            f"cannot read {path}",
            why=f"line {number} stands before @data and does not begin with @",
        )
    key, _, value = line[1:].partition(" ")
    header[key.lower()] = value.strip()
    return key.lower() == "data"


def _says(header: dict[str, str], key: str) -> bool:
    """Whether a header line says true; classes may follow on the same line."""
    return header.get(key, "false").split(" ")[0].lower() == "true"


def _item(line: str, header: dict[str, str]) -> tuple[NDArray[np.float64], str]:
    """A line as (channels, samples) and its class or target."""
    if _says(header, "timestamps"):
        raise ValueError("times beside the values are not read; leave them out")
    fields = line.split(":")
    answer = ""
    if _says(header, "classlabel") or _says(header, "targetlabel"):
        answer = fields.pop().strip()
        if not answer or not fields:
            raise ValueError("no class or target behind the last colon")
        if _says(header, "targetlabel") and not np.isfinite(float(answer)):
            raise ValueError(f"the target {answer} is not finite")
    channels = [_values(field) for field in fields]
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        # Channels of one item that end at different times are missing values at their ends.
        longest = max(lengths)
        channels = [np.pad(c, (0, longest - len(c)), constant_values=np.nan) for c in channels]
    return np.stack(channels), answer


def _values(field: str) -> NDArray[np.float64]:
    texts = field.split(",")
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        plain = [np.nan if text.strip().lower() in MISSING else float(text) for text in texts]
        return np.array(plain, dtype=np.float64)


def _check_channels(path: Path, arrays: Iterable[NDArray[np.float64]]) -> None:
    """Refuse items of different numbers of channels, with a table."""
    counts: dict[int, list[str]] = {}
    for index, array in enumerate(arrays):
        counts.setdefault(len(array), []).append(str(index))
    if len(counts) > 1:
        table = "; ".join(
            f"{channels} channel{'s' if channels > 1 else ''}: {len(ids)} (as {few(ids, 2)})"
            for channels, ids in sorted(counts.items())
        )
        raise DataError(f"the items of {path} have different numbers of channels", why=table)


def _without_gaps(
    arrays: list[NDArray[np.float64]],
) -> tuple[list[NDArray[np.float64]], dict[int, tuple[Note, ...]]]:
    """Missing values interpolated and missing ends cut off, with a remark on each such item.

    What has no value at all is left, to be skipped when it is read.
    """
    filled: list[NDArray[np.float64]] = []
    notes: dict[int, tuple[Note, ...]] = {}
    for index, array in enumerate(arrays):
        missing = ~np.isfinite(array)
        if not missing.any():
            filled.append(array)
            continue
        held = np.flatnonzero(~missing.all(axis=0))
        if not held.size or missing.all(axis=1).any():
            filled.append(array)
            continue
        array, missing = array[:, : held[-1] + 1].copy(), missing[:, : held[-1] + 1]
        for channel, gaps in zip(array, missing, strict=True):
            channel[gaps] = np.interp(np.flatnonzero(gaps), np.flatnonzero(~gaps), channel[~gaps])
        filled.append(array)
        if missing.any():
            message = f"{int(missing.sum())} missing values were interpolated"
            note = Note(code="missing-values", message=message, ids=(str(index),), severity="info")
            notes[index] = (note,)
    return filled, notes


def _parts_in(folder: Path) -> list[tuple[SplitName | None, Path]]:
    """The parts of the one data set of a folder.

    Raises:
        DataError: several data sets.
    """
    files = _ts_files(folder)
    starts = {_split_name(file)[0] for file in files if _split_name(file)[1] is not None}
    if len(starts) > 1 and folder.name.lower() in {start.lower() for start in starts}:
        starts = {start for start in starts if start.lower() == folder.name.lower()}
    if len(starts) > 1:
        raise DataError(
            f"{folder} holds several data sets",
            why=few(sorted(starts)),
            fix="name one of the files",
        )
    return _parts(files, starts.pop())


def _parts_beside(path: Path) -> list[tuple[SplitName | None, Path]]:
    start, split = _split_name(path)
    if split is None:
        return [(None, path)]
    return _parts(_ts_files(path.parent), start)


def _parts(files: list[Path], start: str) -> list[tuple[SplitName | None, Path]]:
    by_split = {_split_name(file)[1]: file for file in files if _split_name(file)[0] == start}
    return [(split, by_split[split]) for _, split in PARTS if split in by_split]


def _split_name(path: Path) -> tuple[str, SplitName | None]:
    """The data set's name and the part: ("GunPoint", "train") of GunPoint_TRAIN.ts."""
    for end, split in PARTS:
        if path.stem.lower().endswith(end):
            return path.stem[: -len(end)], split
    return path.stem, None


def _ts_files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ".ts")


def _matches(data: str) -> bool:
    if not is_folder(data):
        return Path(data).suffix.lower() == ".ts"
    try:
        return any(_split_name(file)[1] == "train" for file in _ts_files(Path(data)))
    except OSError:
        return False


SOURCES.add(
    "ts",
    SourceFormat(
        layout="a .ts file of the UCR and UEA archives, or a folder with NAME_TRAIN.ts and "
        "NAME_TEST.ts",
        matches=_matches,
        open=open_ts,
    ),
)
