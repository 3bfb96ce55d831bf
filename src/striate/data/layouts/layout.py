"""The layouts in which data lies on the disk, and the choice among them.

A new layout is one file in this folder that adds a `Layout` to `LAYOUTS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from striate.data.folder_walk import existing_path
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
    existing_path(Path(name))
    raise DataError(
        f"{name} is a file of no known kind",
        why="data is one of",
        fix=", ".join(layout.description for layout in _in_order()),
    )


def _in_order() -> list[Layout]:
    load_formats()
    return sorted((layout for _, layout in LAYOUTS.items()), key=lambda layout: layout.last)
