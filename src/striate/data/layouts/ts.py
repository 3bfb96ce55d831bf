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
from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import is_missing
from striate.data.readers.content import read_content, refusing
from striate.data.source import Note, Source
from striate.errors import DataError
from striate.typing import SplitName

SPLIT_ENDS: Final[tuple[tuple[str, SplitName], ...]] = (
    ("_train", "train"),
    ("_val", "val"),
    ("_test", "test"),
)
"""Ends of the names of files that are splits of one data set."""

MAX_BYTES: Final = 4 * 2**30
UNKNOWN: Final = "?"
"""A missing value or class, beside the words for one that all sources know."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one .ts file holds.

    Attributes:
        arrays: The series, (channels, samples) each, NaN where a value is missing.
        answers: The last field of each line: a class or a target; empty where there is none, or
            where it is missing.
        regression: Whether the answers are numbers to predict.
    """

    arrays: tuple[NDArray[np.float64], ...]
    answers: tuple[str, ...]
    regression: bool


def open_ts(path: str | Path, *, name: str | None = None) -> Source:
    """The series of a .ts file, or of a folder's NAME_TRAIN.ts and NAME_TEST.ts.

    Args:
        path: The folder, the file of one split (the others beside it are read as well), or a file
            without splits.
        name: The data's name in messages and in the run folder; the path by default.

    Raises:
        DataError: There is no such file, a line makes no sense (it is named), or splits do not fit
            each other.
    """
    path = existing_path(Path(path))
    found = [(split, read_ts(file)) for split, file in _splits_of(path)]
    regression = found[0][1].regression
    if any(series.regression != regression for _, series in found):
        raise DataError(f"the splits of {path} are not of one task", why="classes and targets")
    arrays = [array for _, series in found for array in series.arrays]
    answers = [answer for _, series in found for answer in series.answers]
    _check_channels(path, arrays)
    filled, notes = _without_gaps(arrays)
    return ArraySource(
        filled,
        labels=None if regression or not any(answers) else answers,
        targets=[_target(answer) for answer in answers] if regression else None,
        kind="signal",
        splits=[s for s, series in found for _ in series.arrays] if len(found) > 1 else None,
        name=name or str(path),
        notes=notes,
    )


def read_ts(path: Path) -> Series:
    """The content of one .ts file.

    Raises:
        DataError: The file cannot be read; a line of the data is named by its number.
    """
    with refusing(path):
        text = read_content(path, MAX_BYTES).decode("utf-8-sig", "replace")
    header: dict[str, str] = {}
    items: list[tuple[NDArray[np.float64], str]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", "%")):
            continue
        try:
            if "data" in header:
                items.append(_item(line, header))
            else:
                key, value = _header_line(line)
                header[key] = value
        except ValueError as error:
            raise DataError(f"cannot read {path}", why=f"line {number}: {error}") from None
    if not items:
        raise DataError(f"{path} holds no series", why="there is nothing after @data")
    arrays, answers = zip(*items, strict=True)
    return Series(arrays=arrays, answers=answers, regression=_says(header, "targetlabel"))


def _header_line(line: str) -> tuple[str, str]:
    """The name and the value of a line before the data."""
    if not line.startswith("@"):
        raise ValueError("it stands before @data and does not begin with @")
    key, _, value = line[1:].partition(" ")
    return key.lower(), value.strip()


def _says(header: dict[str, str], key: str) -> bool:
    """Whether a header line says true; classes may follow on the same line."""
    return header.get(key, "false").split(" ")[0].lower() == "true"


def _item(line: str, header: dict[str, str]) -> tuple[NDArray[np.float64], str]:
    """The series of a line, (channels, samples), and its class or target."""
    if _says(header, "timestamps"):
        raise ValueError("times beside the values are not read; leave them out")
    fields = line.split(":")
    answer = ""
    if _says(header, "classlabel") or _says(header, "targetlabel"):
        answer = fields.pop().strip()
        if not answer or not fields:
            raise ValueError("no class or target behind the last colon")
        if _is_missing(answer):
            answer = ""
        elif _says(header, "targetlabel") and not np.isfinite(float(answer)):
            raise ValueError(f"the target {answer} is not finite")
    channels = [_values(field) for field in fields]
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        # Channels of one item that end at different times are missing values at their ends.
        longest = max(lengths)
        channels = [np.pad(c, (0, longest - len(c)), constant_values=np.nan) for c in channels]
    return np.stack(channels), answer


def _target(answer: str) -> float:
    return float(answer or "nan")


def _is_missing(text: str) -> bool:
    return text.strip() == UNKNOWN or is_missing(text)


def _values(field: str) -> NDArray[np.float64]:
    texts = field.split(",")
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        plain = [np.nan if _is_missing(text) else float(text) for text in texts]
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
        held = np.isfinite(array)
        if held.all() or not held.any(axis=1).all():
            filled.append(array)
            continue
        length = int(np.flatnonzero(held.any(axis=0))[-1]) + 1
        array, held = array[:, :length].copy(), held[:, :length]
        for channel, there in zip(array, held, strict=True):
            moments = np.arange(length)
            channel[~there] = np.interp(moments[~there], moments[there], channel[there])
        filled.append(array)
        if not held.all():
            message = f"{int((~held).sum())} missing values were interpolated"
            notes[index] = (Note(code="missing-values", message=message, severity="info"),)
    return filled, notes


def _splits_of(path: Path) -> list[tuple[SplitName | None, Path]]:
    """The splits of the one data set of a folder, or of the one that a file belongs to.

    Raises:
        DataError: The folder holds several data sets.
    """
    name, split = _split_name(path)
    if split is None and not path.is_dir():
        return [(None, path)]
    files = {_split_name(file): file for file in _ts_files(path if path.is_dir() else path.parent)}
    names = {name}
    if path.is_dir():
        names = {start for start, split in files if split is not None}
        names = {start for start in names if start.lower() == path.name.lower()} or names
    if len(names) > 1:
        raise DataError(
            f"{path} holds several data sets", why=few(sorted(names)), fix="name one of the files"
        )
    (name,) = names
    return [(split, files[name, split]) for _, split in SPLIT_ENDS if (name, split) in files]


def _split_name(path: Path) -> tuple[str, SplitName | None]:
    """The data set's name and the split: ("GunPoint", "train") of GunPoint_TRAIN.ts."""
    for end, split in SPLIT_ENDS:
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


LAYOUTS.add(
    "ts",
    Layout(
        "a .ts file of the UCR and UEA archives, or a folder with NAME_TRAIN.ts and NAME_TEST.ts",
        _matches,
        open_ts,
    ),
)
