"""A table of files: CSV or Parquet with the columns path, label or target, split and group.

A label is a class, a target a number to predict; where neither column is there, the answers are in
further columns (`labels`, or one of 0 and 1 for each class), which are kept as they are for a task
to read. The columns split and group need not be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress
from pathlib import Path
from typing import Final

import numpy as np

from striate.data.folder_walk import class_notes, display_name, is_folder, unique_ids
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import is_missing, split_named
from striate.data.readers.reader import FileSource, kind_of_files
from striate.data.readers.tables import ANSWERS, Table, header_of, read_table
from striate.data.readers.tables.columns import Column
from striate.data.readers.tables.items import TableItems
from striate.data.source import Listing, Note, Source
from striate.typing import Kind

SUFFIXES: Final = (".csv", ".tsv", ".parquet")

OTHER_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "path": frozenset(
        f"{prefix}{name}"
        for name in ("file", "filename", "file_name", "filepath", "file_path")
        for prefix in ("", "image_", "img_", "audio_", "video_")
    )
    | {"image", "img", "fname", "image_path", "img_path", "audio_path", "video_path"},
    "label": frozenset({"class", "classname", "class_name", "category", "class_label"}),
    "split": frozenset({"set", "subset", "partition", "phase"}),
    "group": frozenset(
        f"{name}{suffix}"
        for name in ("patient", "subject", "speaker")
        for suffix in ("", "id", "_id")
    )
    | {"group_id"},
}
"""What other tools' manifests call the columns."""


def open_manifest(path: str | Path, kind: Kind | None = None) -> Source:
    """The files that a manifest lists; their paths are relative to its folder.

    A path that leads nowhere from there is tried from the working folder, without blanks around it
    and with `/` in the place of a backslash, and that is noted. The files are of the kind that most
    of them are (see `kind_of_files`). Where there is a column `label`, a column `target` is left
    alone, and that is noted.

    Raises:
        DataError: There is no such file, columns are missing, rows do not make sense (they are
            named by line), or there are fewer than two classes.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    table = understood(read_table(path))
    items, names = _items(table)
    labels = items.labels
    classified = any(label is not None for label in labels)
    notes = [*table.notes, *(class_notes(labels) if classified else [])]
    if classified and any(table.column("target") or []):
        message = "there is a column label, so the column target was left alone"
        notes.append(Note(code="target-and-label", message=message, severity="info"))
    if classified or any(target is not None for target in items.targets):
        notes += table.unused()
    if len(items) < table.num_rows:
        message = f"{table.num_rows - len(items)} rows repeat an earlier one"
        notes.append(Note(code="repeated-row", message=message, severity="info"))
    otherwise = _otherwise(names, path.parent)
    absolute = ((row, name) for row, name in enumerate(names) if name[:1] == "/")
    outside = (Path(name) for row, name in absolute if row not in otherwise)
    elsewhere = sum(
        not file.is_relative_to(path.parent) for file in chain(otherwise.values(), outside)
    )
    notes += _found_otherwise_note(names, otherwise, path.parent)
    if elsewhere and path.parent != Path():
        message = f"{elsewhere} paths lead to files outside the folder of {path.name}"
        notes.append(Note(code="path-outside", message=message, severity="info"))
    contents = _Files(path.parent, items.ids, names, otherwise)
    return FileSource(
        kind or kind_of_files(contents.paths()),
        name=str(path),
        listing=Listing(items=items, notes=tuple(notes)),
        contents=contents,
        named=kind is not None,
    )


def is_manifest(path: Path) -> bool:
    """Whether a file is a table with a column of paths."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    columns = set(header_of(path))
    return "path" in columns or len(columns & OTHER_NAMES["path"]) == 1


def listed_files(path: Path) -> list[tuple[str, Path]]:
    """The files that a manifest lists, by their names there; its other columns are left alone.

    Raises:
        DataError: The table cannot be read, or a row has no path.
    """
    table = understood(read_table(path))
    names = table.column("path", strip=False) or []
    table.refuse_empty("path", names)
    return [(name, _file(name, path.parent)) for name in names]


def understood(table: Table) -> Table:
    """The table with the names that manifests have here for columns that others name otherwise.

    A column is renamed where no column has the name and one alone is called by another name for
    it; that is noted. A column is a split only where its fields are.

    Args:
        table: As read.
    """
    renamed: dict[str, str] = {}
    for name, others in OTHER_NAMES.items():
        found = [column for column in table.columns if column in others]
        known = ANSWERS if name == "label" else (name,)
        if len(found) != 1 or set(known) & set(table.columns):
            continue
        fields = table.column(found[0]) or []
        if name != "split" or all(is_missing(field) or split_named(field) for field in fields):
            renamed[found[0]] = name
    if not renamed:
        return table
    told = ", ".join(f"{other} as {name}" for other, name in renamed.items())
    note = Note(code="column-meaning", message=f"columns were read: {told}", severity="info")
    header = tuple(renamed.get(name.lower(), name) for name in table.header)
    return replace(table, header=header, notes=(*table.notes, note))


def _items(table: Table) -> tuple[TableItems, Sequence[str]]:
    """The items of the rows and their files; a row that repeats an earlier one counts once.

    Raises:
        DataError: Columns are missing, or rows do not make sense.
    """
    table.check_answered("path")
    paths = table.column("path", strip=False) or []  # a file's name may begin with a space
    table.refuse_empty("path", paths)
    labels, targets, extras = table.answers()
    splits, groups = table.splits(), table.column("group") or [""] * len(paths)
    alike = _with_the_path_of_another(paths)
    seen: set[object] = set()
    repeated = []
    for row in alike:
        answer = (labels[row], targets[row])
        known = tuple(extras[row].items()) if answer == (None, None) else answer
        facts = (paths[row], known, splits[row])
        if facts in seen:
            repeated.append(row)
        seen.add(facts)
    if repeated:
        kept = np.ones(len(paths), bool)
        kept[repeated] = False
        paths, groups = (Column(compress(column, kept)) for column in (paths, groups))
        labels, targets = list(compress(labels, kept)), list(compress(targets, kept))
        splits, extras = list(compress(splits, kept)), list(compress(extras, kept))
    plain = not alike and all(map(str.isascii, paths))
    items = TableItems(
        ids=paths if plain else Column(unique_ids(paths)),
        labels=labels,
        targets=targets,
        splits=splits,
        groups=groups,
        extras=extras,
    )
    return items, paths


def _with_the_path_of_another(paths: Sequence[str]) -> list[int]:
    """The rows whose path other rows may have too, in their order; those of all others are their own."""
    numbers = np.fromiter(map(hash, paths), np.int64, len(paths))
    ordered = np.sort(numbers)
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return np.flatnonzero(np.isin(numbers, several)).tolist() if len(several) else []


class _Files:
    """The files of a manifest by the items' ids, each path made when it is needed.

    Args:
        folder: The manifest's folder.
        ids: The items' ids.
        names: Their files as the manifest names them.
        otherwise: The files that lie elsewhere than in the folder under that name, by the row.
    """

    def __init__(
        self, folder: Path, ids: Sequence[str], names: Sequence[str], otherwise: dict[int, Path]
    ) -> None:
        self._folder, self._names, self._otherwise = folder, names, otherwise
        self._others: dict[str, Path] = {ids[row]: file for row, file in otherwise.items()}
        if ids is not names:
            for row, (item_id, name) in enumerate(zip(ids, names, strict=True)):
                if item_id != name and row not in otherwise:
                    self._others[item_id] = folder / name

    def __getitem__(self, item_id: str) -> Path:
        """The file of an item."""
        return self._others.get(item_id) or self._folder / item_id

    def paths(self) -> Iterator[str]:
        """The files, in the order of the rows."""
        for row, name in enumerate(self._names):
            file = self._otherwise.get(row)
            yield os.path.join(self._folder, name) if file is None else str(file)  # noqa: PTH118 - the same


def _otherwise(names: Sequence[str], folder: Path) -> dict[int, Path]:
    """The files that are read otherwise than the rows name them, by the row."""
    found = {}
    for row, name in enumerate(names):
        here = os.path.join(folder, name)  # noqa: PTH118 - there may be millions
        plain = name == name.strip() and "\\" not in name
        if os.path.exists(here) or (plain and not os.path.exists(name)):  # noqa: PTH110 - the same
            continue
        file = _file(name, folder)
        if file != folder / name:
            found[row] = file
    return found


def _file(name: str, folder: Path) -> Path:
    """The file that a row names: the first spelling and place where something lies."""
    plain = name.strip()
    for spelling in dict.fromkeys((name, plain, plain.replace("\\", "/"))):
        for place in (folder, Path()):
            if os.path.exists(place / spelling):  # noqa: PTH110 - Path.exists raises on over-long names
                return place / spelling
    return folder / plain


def _found_otherwise_note(
    names: Sequence[str], otherwise: Mapping[int, Path], folder: Path
) -> list[Note]:
    """A remark on paths that were read otherwise than they are written."""
    rows = [row for row, file in otherwise.items() if file != folder / names[row] and file.exists()]
    if not rows:
        return []
    name, file = names[rows[0]], otherwise[rows[0]]
    message = (
        f"{len(rows)} paths lead nowhere from the table's folder (file not found) and were "
        f"read otherwise: {display_name(name)} as {display_name(str(file))}"
    )
    return [Note(code="path-otherwise", message=message, severity="info")]


LAYOUTS.add(
    "manifest",
    Layout(
        "a CSV, TSV or Parquet file with the columns path and label or target",
        lambda data: Path(data).suffix.lower() in SUFFIXES and not is_folder(data),
        open_manifest,
        last=True,  # tables of molecules are CSV files too
        open_as=open_manifest,
    ),
)
