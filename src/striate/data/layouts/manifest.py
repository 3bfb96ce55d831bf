"""A table of files: CSV or Parquet with the columns path, label or target, split and group.

A label is a class, a target a number to predict; where neither column is there, the answers are in
further columns (`labels`, or one of 0 and 1 for each class), which are kept as they are for a task
to read. The columns split and group need not be there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from striate.data.folder_walk import class_notes, display_name, is_folder, unique_ids
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import is_missing, split_named
from striate.data.readers.reader import FileSource, kind_of_files
from striate.data.readers.tables import ANSWERS, Table, header_of, read_table
from striate.data.source import Item, Listing, Note, Source
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
    classified = any(item.label is not None for item in items)
    notes = [*table.notes, *(class_notes(items) if classified else [])]
    if classified and any(table.column("target") or []):
        message = "there is a column label, so the column target was left alone"
        notes.append(Note(code="target-and-label", message=message, severity="info"))
    if classified or any(item.target is not None for item in items):
        notes += table.unused()
    if len(items) < len(table.rows):
        message = f"{len(table.rows) - len(items)} rows repeat an earlier one"
        notes.append(Note(code="repeated-row", message=message, severity="info"))
    files = [_file(name, path.parent) for name in names]
    notes += _found_otherwise_note(names, files, path.parent)
    elsewhere = sum(not file.is_relative_to(path.parent) for file in files)
    if elsewhere and path.parent != Path():
        message = f"{elsewhere} paths lead to files outside the folder of {path.name}"
        notes.append(Note(code="path-outside", message=message, severity="info"))
    contents = {item.id: file for item, file in zip(items, files, strict=True)}
    return FileSource(
        kind or kind_of_files(contents.values()),
        name=str(path),
        listing=Listing(items=items, notes=tuple(notes)),
        contents=contents,
        named=kind is not None,
    )


def is_manifest(path: Path) -> bool:
    """Whether a file is a table with a column of paths."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    parquet = path.suffix.lower() == ".parquet"
    columns = set(read_table(path).columns if parquet else header_of(path))
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


def _items(table: Table) -> tuple[tuple[Item, ...], list[str]]:
    """The items of the rows and their files; a row that repeats an earlier one counts once.

    Raises:
        DataError: Columns are missing, or rows do not make sense.
    """
    table.check_answered("path")
    paths = table.column("path", strip=False) or []  # a file's name may begin with a space
    table.refuse_empty("path", paths)
    groups = table.column("group") or [""] * len(paths)
    columns = (paths, *table.answers(), table.splits(), groups)
    first: dict[object, Item] = {}
    for path, label, target, extra, split, group in zip(*columns, strict=True):
        answer = tuple(extra.items()) if label is None and target is None else (label, target)
        item = Item(
            id=path, label=label, target=target, split=split, group=group or None, extra=extra
        )
        first.setdefault((path, answer, split), item)
    files = [item.id for item in first.values()]
    named = zip(first.values(), unique_ids(files), strict=True)
    return tuple(replace(item, id=item_id) for item, item_id in named), files


def _file(name: str, folder: Path) -> Path:
    """The file that a row names: the first spelling and place where something lies."""
    plain = name.strip()
    for spelling in dict.fromkeys((name, plain, plain.replace("\\", "/"))):
        for place in (folder, Path()):
            if os.path.exists(place / spelling):  # noqa: PTH110 - Path.exists raises on over-long names
                return place / spelling
    return folder / plain


def _found_otherwise_note(names: list[str], files: list[Path], folder: Path) -> list[Note]:
    """A remark on paths that were read otherwise than they are written."""
    pairs = zip(names, files, strict=True)
    otherwise = [(name, file) for name, file in pairs if file != folder / name and file.exists()]
    if not otherwise:
        return []
    name, file = otherwise[0]
    message = (
        f"{len(otherwise)} paths lead nowhere from the table's folder (file not found) and were "
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
