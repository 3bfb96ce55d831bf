"""A table of items: CSV or Parquet with the columns path, label or target, and, if wanted, split and group.

A label is a class, a target a number to predict; a table has one of the two.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from striate.data.folder_walk import check_classes, existing_path, few, is_folder, unique_ids
from striate.data.layouts.class_folders import SPLIT_NAMES
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.readers.reader import files_source, kind_of_files
from striate.data.source import Item, Listing, Note, Source
from striate.errors import DataError, MissingExtraError, nearest

REQUIRED_COLUMNS: Final = ("path", "label")
TARGET: Final = "target"
"""The column that takes the place of `label` where a number is to be predicted."""
OPTIONAL_COLUMNS: Final = ("split", "group")
SUFFIXES: Final = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a manifest: where it stands, and what it says."""

    line: str
    path: str
    label: str = ""
    target: str = ""
    split: str = ""
    group: str = ""


def open_manifest(path: str | Path) -> Source:
    """The files that a manifest lists; their paths are relative to its folder.

    They are of the kind that most of them are (see `kind_of_files`). Where there is a column
    `label`, a column `target` is left alone, and that is noted.

    Raises:
        DataError: no such file, columns missing, rows that do not make sense (named by line),
            fewer than two classes.
        MissingExtraError: Parquet without pyarrow.
    """
    path = existing_path(Path(path))
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    _check_rows(path, rows)
    regression = not rows[0].label
    first: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        first.setdefault((row.path, row.target if regression else row.label, row.split), row)
    kept = list(first.values())
    ids = unique_ids(row.path for row in kept)
    items = tuple(
        Item(
            id=item_id,
            label=None if regression else row.label,
            target=float(row.target) if regression else None,
            split=SPLIT_NAMES[row.split] if row.split else None,
            group=row.group or None,
        )
        for item_id, row in zip(ids, kept, strict=True)
    )
    notes = [] if regression else check_classes(items, str(path))
    if not regression and any(row.target for row in rows):
        message = "there is a column label, so the column target was left alone"
        notes.append(Note(code="target-and-label", message=message, severity="info"))
    if len(kept) < len(rows):
        message = f"{len(rows) - len(kept)} rows repeat an earlier one"
        notes.append(Note(code="repeated-row", message=message, severity="info"))
    paths = {item_id: path.parent / row.path for item_id, row in zip(ids, kept, strict=True)}
    return files_source(
        kind_of_files(paths.values()),
        name=str(path),
        listing=Listing(items=items, notes=tuple(notes)),
        paths=paths,
    )


def _csv_rows(path: Path) -> list[Row]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"cannot read {path}", why=f"line {number} is not UTF-8", fix="save it as UTF-8"
        ) from None
    header = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=";" if header.count(";") > header.count(",") else ",",
        strict=True,
    )
    try:
        columns = _columns(path, next(reader, []))
        rows, ragged = [], []
        for fields in reader:
            if not any(fields):
                continue
            line = f"line {reader.line_num}"
            if len(fields) == len(columns):
                rows.append(_row(line, dict(zip(columns, fields, strict=True))))
            else:
                ragged.append(f"{line} has {len(fields)}")
    except csv.Error as error:
        raise DataError(f"cannot read {path}", why=f"line {reader.line_num}: {error}") from None
    if ragged:
        raise DataError(
            f"rows of {path} do not have the header's {len(columns)} fields",
            why=few(ragged),
            fix="put fields that hold the delimiter in double quotes",
        )
    return rows


def _parquet_rows(path: Path) -> list[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None
    try:
        names = pq.read_schema(path).names
        columns = dict(zip(_columns(path, names), names, strict=True))
        known = (*REQUIRED_COLUMNS, TARGET, *OPTIONAL_COLUMNS)
        wanted = [name for name in known if name in columns]
        table = pq.read_table(path, columns=[columns[name] for name in wanted])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}", why=str(error)) from error
    values = [table.column(columns[name]).to_pylist() for name in wanted]
    return [
        _row(f"row {number}", dict(zip(wanted, map(_text, row), strict=True)))
        for number, row in enumerate(zip(*values, strict=True), start=1)
    ]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    """The column names as they are meant: trimmed, in lower case."""
    columns = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if "label" in missing and TARGET in columns:
        missing.remove("label")
    if missing:
        near = [found for name in missing for found in nearest(name, columns, count=1)]
        raise DataError(
            f"{path} has no column {' and none '.join(missing)}",
            why=f"its columns are {', '.join(header) or 'none'}"
            + (f" (is it {' and '.join(near)}?)" if near else ""),
            fix="the first line must name path and label (or target), and may name split and group",
        )
    known = (*REQUIRED_COLUMNS, TARGET, *OPTIONAL_COLUMNS)
    repeated = [name for name in known if columns.count(name) > 1]
    if repeated:
        raise DataError(f"{path} has two columns {repeated[0]}", fix="rename one of them")
    return columns


def _row(line: str, fields: dict[str, str]) -> Row:
    return Row(
        line=line,
        path=fields["path"],  # a file's name may begin or end with a space
        label=fields.get("label", "").strip(),
        target=fields.get(TARGET, "").strip(),
        split=fields.get("split", "").strip().lower(),
        group=fields.get("group", "").strip(),
    )


def _check_rows(path: Path, rows: Sequence[Row]) -> None:
    """Refuse a table with rows that say nothing or nonsense, naming them."""
    if not rows:
        raise DataError(f"{path} lists no items", fix="add a line path,label for each")
    regression = not any(row.label for row in rows) and any(row.target for row in rows)
    bad = list(_complaints(rows, regression))
    if bad:
        raise DataError(
            f"{len(bad)} of {len(rows)} rows of {path} cannot be used",
            why=few(bad),
            fix=f"a split is one of {', '.join(SPLIT_NAMES)}, or empty",
        )


def _complaints(rows: Iterable[Row], regression: bool) -> Iterable[str]:
    for row in rows:
        if not row.path.strip():
            yield f"{row.line} has no path"
        elif regression and not _is_number(row.target):
            yield f"{row.line} has the target {row.target!r}, not a finite number"
        elif not (regression or row.label):
            yield f"{row.line} has no label"
        elif row.split and row.split not in SPLIT_NAMES:
            yield f"{row.line} has the split {row.split!r}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


SOURCES.add(
    "manifest",
    SourceFormat(
        layout="a CSV or Parquet file with the columns path and label or target",
        matches=lambda data: Path(data).suffix.lower() in SUFFIXES and not is_folder(data),
        open=open_manifest,
        last=True,  # tables of molecules are CSV files too
    ),
)
