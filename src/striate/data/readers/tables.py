"""Tables of text: CSV, with commas, semicolons or tabs between the fields, and Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from striate.data.folder_walk import existing_path, few
from striate.data.packages import imported
from striate.data.readers.content import head_of, refusing, text_of
from striate.data.source import SPLIT_NAMES, UnreadableItem
from striate.errors import DataError, nearest
from striate.typing import SplitName

KNOWN_COLUMNS: Final = ("path", "smiles", "label", "target", "split", "group")
"""Columns that mean the same in every table of items."""

LABELS: Final = "labels"
"""The column whose cells hold several labels of one item."""

SEPARATOR: Final = "|"
"""What stands between the labels of one item."""

ANSWERS: Final = ("label", LABELS, "target")
"""Columns that no further column may be a misspelling of."""

_MISSPELT: Final = 0.8
"""The similarity from which a column is taken for a misspelt one."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as read. Columns go by their names in lower case.

    Attributes:
        path: The table's file.
        header: The names of the columns as written, trimmed.
        rows: The fields of each row as written, as many as columns.
        places: Where each row stands ("line 3").
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns in lower case."""
        return tuple(name.lower() for name in self.header)

    def column(self, name: str, *, strip: bool = True) -> list[str] | None:
        """The fields of a column, trimmed; None where there is no such column."""
        if name not in self.columns:
            return None
        place = self.columns.index(name)
        return [row[place].strip() if strip else row[place] for row in self.rows]

    def required(self, name: str) -> list[str]:
        """The fields of a column that must be there.

        Raises:
            DataError: It is not.
        """
        self.check_columns([name])
        return self.column(name) or []

    def numbers(self, name: str, *, optional: bool = False) -> list[float]:
        """The fields of a column as finite numbers; NaN for an empty field where that may be.

        Raises:
            DataError: There is no such column, or a field is no finite number.
        """
        values, bad = [], []
        for place, text in zip(self.places, self.required(name), strict=True):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            values.append(value)
            if not math.isfinite(value) and (text or not optional):
                bad.append(f"{place}: {text!r} in column {name} is not a finite number")
        self.refuse(bad, "write a number, or leave out the row")
        return values

    def splits(self) -> list[SplitName | None]:
        """The split of each row; None where it is empty, or where there is no such column.

        Raises:
            DataError: A name is that of no split.
        """
        names = [name.lower() for name in self.column("split") or [""] * len(self.rows)]
        bad = [
            f"{place} has the split {name!r}"
            for place, name in zip(self.places, names, strict=True)
            if name and name not in SPLIT_NAMES
        ]
        self.refuse(bad, f"a split is one of {', '.join(SPLIT_NAMES)}, or empty")
        return [SPLIT_NAMES[name] if name else None for name in names]

    def answers(self) -> tuple[list[str | None], list[float | None], list[dict[str, str]]]:
        """What each row says that a task may be to predict.

        A column `label` in which a field names several labels is read as the column `labels`, and
        where there is that column, a column `label` is left alone.

        Returns:
            The label and the target of each row, one of which is None and, where neither is given,
            both; and the trimmed fields of the further columns, those that `KNOWN_COLUMNS` does
            not name, by the column's name as written (`labels` in lower case).

        Raises:
            DataError: A row has no label where others have, or a target that is no number.
        """
        further = {
            name if name == LABELS else self.header[place]: place
            for place, name in enumerate(self.columns)
            if name and name not in KNOWN_COLUMNS
        }
        extra = [{name: row[place].strip() for name, place in further.items()} for row in self.rows]
        labels, targets = self.column("label"), self.column("target")
        nothing = [None] * len(self.rows)
        if LABELS in further:
            labels = None
        if labels is not None and (any(labels) or not any(targets or [])):
            fix = f"where a row has none of the labels, name the column {LABELS}"
            several = any(SEPARATOR in field for field in labels)
            self.refuse_empty("label", labels, fix if several else "")
            if several:
                pairs = zip(extra, labels, strict=True)
                return [*nothing], [*nothing], [{**row, LABELS: text} for row, text in pairs]
            return [*labels], [*nothing], extra
        numbers = nothing if targets is None else self.numbers("target")
        return [*nothing], [*numbers], extra

    def check_answered(self, item: str) -> None:
        """Refuse a table without a column of items, or without any that may hold answers.

        Args:
            item: The name of the column that says what each item is.

        Raises:
            DataError: A column is missing, or is misspelt.
        """
        fix = f"the first line must name {item} and label (or target), and may name split and group"
        further = [name for name in self.columns if name and name not in KNOWN_COLUMNS]
        misspelt = any(get_close_matches(name, further, 1, _MISSPELT) for name in ANSWERS)
        answered = bool(set(ANSWERS) & set(self.columns)) or (further and not misspelt)
        self.check_columns([item] if answered else [item, "label"], fix)

    def refuse_empty(self, name: str, fields: Sequence[str], fix: str = "") -> None:
        """Refuse the table where a field of a column is empty.

        Args:
            name: The column.
            fields: Its fields.
            fix: What else the user may do than fill it in or take the rows out.

        Raises:
            DataError: There is an empty field.
        """
        rows = zip(self.places, fields, strict=True)
        bad = [f"{place} has no {name}" for place, field in rows if not field.strip()]
        self.refuse(bad, fix or "fill it in, or take the rows out")

    def check_columns(self, names: Sequence[str], fix: str = "") -> None:
        """Refuse a table without some columns, naming the nearest that it has.

        Raises:
            DataError: A column is missing.
        """
        missing = [name for name in names if name not in self.columns]
        if not missing:
            return
        near = [found for name in missing for found in nearest(name, self.columns, count=1)]
        raise DataError(
            f"{self.path} has no column {' and none '.join(missing)}",
            why=f"its columns are {', '.join(self.header) or 'none'}"
            + (f" (is it {' and '.join(near)}?)" if near else ""),
            fix=fix or f"the first line must name {' and '.join(missing)}",
        )

    def refuse(self, bad: Sequence[str], fix: str) -> None:
        """Refuse the table because of some rows, where there are any.

        Raises:
            DataError: There are; the first few are named.
        """
        if bad:
            raise DataError(
                f"{len(bad)} of {len(self.rows)} rows of {self.path} cannot be used",
                why=few(bad),
                fix=fix,
            )


def header_of(path: Path) -> tuple[str, ...]:
    """The column names of a CSV file in lower case; none where it cannot be read as one."""
    try:
        first = text_of(head_of(path, 1 << 16).partition(b"\n")[0])
    except UnreadableItem:
        return ()
    fields = next(csv.reader([first], delimiter=_delimiter(first)), [])
    return tuple(field.strip().lower() for field in fields)


def read_table(path: Path) -> Table:
    """Read a CSV or a Parquet file.

    Raises:
        DataError: There is no such file, it cannot be read or is not UTF-8, it has no rows, two
            columns of one name, or rows with more or fewer fields than the first line.
        MissingExtraError: Parquet without pyarrow.
    """
    existing_path(path)
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    repeated = sorted({name for name in table.columns if name and table.columns.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has two columns {repeated[0]}", fix="rename one of them")
    if table.header and not table.rows:
        raise DataError(f"{path} lists no items", fix="add a line for each")
    return table


def _read_csv(path: Path) -> Table:
    with refusing(path, fix="save it as UTF-8"):
        text = text_of(path.read_bytes())
    delimiter = _delimiter(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, places, ragged = [], [], []
    try:
        header = tuple(name.strip() for name in next(reader, []))
        for fields in reader:
            if not any(fields):
                continue
            place = f"line {reader.line_num}"
            rows.append(tuple(fields))
            places.append(place)
            if len(fields) != len(header):
                ragged.append(f"{place} has {len(fields)}")
    except csv.Error as error:
        raise DataError(f"cannot read {path}", why=f"line {reader.line_num}: {error}") from None
    if ragged:
        raise DataError(
            f"rows of {path} do not have the header's {len(header)} fields",
            why=few(ragged),
            fix="put fields that hold the delimiter in double quotes",
        )
    return Table(path=path, header=header, rows=tuple(rows), places=tuple(places))


def _read_parquet(path: Path) -> Table:
    """The columns that can be text: not those of bytes, of structures or of lists of fractions."""
    pa, pq = imported("pyarrow", "parquet"), imported("pyarrow.parquet", "parquet")

    def is_text(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return is_text(kind.value_type) and not pa.types.is_floating(kind.value_type)
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        return not (binary or pa.types.is_nested(kind))

    try:
        names = [field.name for field in pq.read_schema(path) if is_text(field.type)]
        table = pq.read_table(path, columns=names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}", why=str(error)) from error
    columns = [table.column(name).to_pylist() for name in names]
    return Table(
        path=path,
        header=tuple(name.strip() for name in names),
        rows=tuple(tuple(map(_as_text, row)) for row in zip(*columns, strict=True)),
        places=tuple(f"row {number}" for number in range(1, table.num_rows + 1)),
    )


def _as_text(value: object) -> str:
    """A value of a Parquet file; the members of a list stand between semicolons."""
    if isinstance(value, list):
        return ";".join(map(_as_text, value))
    return "" if value is None else str(value)


def _delimiter(header: str) -> str:
    return max((",", ";", "\t"), key=header.count)
