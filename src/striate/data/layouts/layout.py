"""The layouts in which data lies on the disk, and the choice among them.

A new layout is one file in this folder that adds a `Layout` to `LAYOUTS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from striate.data.folder_walk import existing_path
from striate.data.readers.reader import suffixes_of
from striate.data.source import Source, load_formats
from striate.errors import ArgumentError, DataError
from striate.registry import Registry
from striate.typing import Kind, PathLike


@dataclass(frozen=True)
class Layout:
    """One way in which data lies on the disk.

    Attributes:
        description: What it looks like, in a few words, for messages and the documentation.
        matches: Whether a DATA argument names data of this layout.
        open: Opens such data as a source with its listing made.
        open_as: The same where the user names the kind of the items; None where data of this
            layout are of one kind.
        last: Whether it is only asked after the others, for it matches what they match as well.
    """

    description: str
    matches: Callable[[str], bool]
    open: Callable[[str], Source]
    last: bool = False
    open_as: Callable[[str, Kind], Source] | None = None


LAYOUTS: Registry[Layout] = Registry("layout")

_TO_ARRAYS: Final = "save its items and answers as the arrays X and y in an .npz file"

_INSTEAD: Final[Mapping[str, str]] = {
    ".zip .tar .gz .tgz .bz2 .xz .7z .rar": "unpack it, and give the folder",
    ".mat .h5 .hdf5 .nc .arff .pkl .pickle .joblib .pt .feather .tfrecord": _TO_ARRAYS,
    ".xlsx .xls .ods .json .jsonl": "save its table as CSV or Parquet, with the columns path and label",
    ".txt .dat": "if it is a table with the columns path and label, name it .csv",
}
"""What to do with files that are no data but hold some, by the ends of their names."""


def layout_of(data: str) -> Layout | None:
    """The layout of what a DATA argument names; None where it is of none."""
    return next((layout for layout in _in_order() if layout.matches(data)), None)


def open_source(data: PathLike, kind: Kind | None = None) -> Source:
    """The source that a DATA argument names.

    Args:
        data: A folder of class folders, a manifest, an array file, an IDX pair, `sample:NAME`.
        kind: What an item is to be taken for, where data of the layout may hold items of several
            kinds; None leaves it to the layout.

    Raises:
        DataError: There is nothing of that name, nothing that can be trained on, or items of
            another kind.
        UnknownNameError: There is no such sample.
        ArgumentError: `data` is no path.
    """
    if not isinstance(data, str | os.PathLike):
        raise ArgumentError(
            f"the data are of type {type(data).__name__}",
            why="they must be a path",
            fix="give arrays to striate.Classifier().fit(X, y) or striate.Regressor(), whose run_ "
            "is the run, or save them as X and y in an .npz file",
        )
    name = str(data)
    if not name.strip():
        raise ArgumentError(
            "the data have an empty name", fix="give the path of a folder or a file"
        )
    held: set[Kind] = set()
    for layout in _in_order():
        if not layout.matches(name):
            continue
        if kind is not None and layout.open_as is not None:
            return layout.open_as(name, kind)
        source = layout.open(name)
        if kind in (None, source.kind):
            return source
        held.add(source.kind)
    if held:
        raise DataError(f"{name} holds {' or '.join(sorted(held))}s", why=f"{kind}s are wanted")
    raise _of_no_layout(existing_path(Path(name)))


def _of_no_layout(path: Path) -> DataError:
    """The error of a file that is no data of any layout."""
    suffix = path.suffix.lower()
    known = next((what for ends, what in _INSTEAD.items() if suffix in ends.split()), None)
    if known is None and any(path.name.lower().endswith(end) for end in suffixes_of()):
        fix = f"give {LAYOUTS.get('folder').description}"
        return DataError(f"{path} is one item", why="a fit learns from many", fix=fix)
    what = f"{path} is a file of no known kind"
    if known is not None:
        return DataError(what, fix=known)
    return DataError(what, why=f"data is {'; or '.join(one.description for one in _in_order())}")


def _in_order() -> list[Layout]:
    load_formats()
    return sorted((layout for _, layout in LAYOUTS.items()), key=lambda layout: layout.last)
