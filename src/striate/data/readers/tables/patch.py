"""Corrections of a data set's labels, from a table; the user's files stay as they are."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path

from striate.data.folder_walk import few
from striate.data.names import is_missing
from striate.data.readers.tables import read_table
from striate.data.source import Note, Source
from striate.errors import DataError
from striate.files import unescaped
from striate.typing import PathLike


def patched(source: Source, path: PathLike) -> Source:
    """The source with other labels for some items, and without others.

    Args:
        source: The data, whose items have labels.
        path: A table with the columns `id`, an item's name as `predictions.csv` has it, and
            `label`, its right class; an empty label leaves the item out. Other columns are for
            people.

    Raises:
        DataError: The table cannot be read or names an item twice, or items that there are not.
    """
    table = read_table(Path(path))
    names, labels = (
        [unescaped(cell) for cell in table.required(column)] for column in ("id", "label")
    )
    twice = [name for name, count in Counter(names).items() if count > 1]
    unknown = sorted(set(names) - {item.id for item in source.listing.items})
    for wrong, why in ((twice, "named twice"), (unknown, "not in the data")):
        if wrong:
            raise DataError(
                f"cannot correct {source.name} by {path}",
                why=f"{len(wrong)} items are {why}: {few(wrong)}",
                fix="use the items' names as predictions.csv has them, each once",
            )
    right = {
        name: None if is_missing(label) else label
        for name, label in zip(names, labels, strict=True)
    }
    items = tuple(
        replace(item, label=right[item.id]) if item.id in right else item
        for item in source.listing.items
        if right.get(item.id, "") is not None
    )
    left_out = sum(label is None for label in right.values())
    note = Note(
        code="patched",
        message=f"{len(right) - left_out} labels corrected and {left_out} items left out by {path}",
        severity="info",
    )
    changed = copy.copy(source)
    changed.listing = replace(source.listing, items=items, notes=(*source.listing.notes, note))
    return changed
