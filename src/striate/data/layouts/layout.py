"""The kinds of data that can be opened, and the choice among them.

A new kind is one file in this folder that adds a `SourceFormat` to `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from striate.data.folder_walk import existing_path
from striate.data.formats import load_formats
from striate.data.source import Source
from striate.errors import DataError
from striate.registry import Registry


@dataclass(frozen=True, kw_only=True)
class SourceFormat:
    """One way in which data lies on the disk.

    Attributes:
        layout: what it looks like, in a few words, for messages and the documentation.
        matches: whether a DATA argument is of this format.
        open: the source, with its listing made.
        last: to be asked after the others, for it matches what they match as well.
    """

    layout: str
    matches: Callable[[str], bool]
    open: Callable[[str], Source]
    last: bool = False


SOURCES: Registry[SourceFormat] = Registry("kind of data")


def open_source(data: str | Path) -> Source:
    """The source that a DATA argument names.

    Args:
        data: a folder of class folders, a manifest, an array file, an IDX pair, `sample:NAME`.

    Raises:
        DataError: there is nothing of that name, or nothing that can be trained on.
        UnknownNameError: no such sample.
    """
    load_formats()
    name = str(data)
    formats = sorted((entry for _, entry in SOURCES.items()), key=lambda entry: entry.last)
    for source_format in formats:
        if source_format.matches(name):
            return source_format.open(name)
    existing_path(Path(name))
    layouts = ", ".join(source_format.layout for source_format in formats)
    raise DataError(f"{name} is a file of no known kind", why="data is one of", fix=layouts)
