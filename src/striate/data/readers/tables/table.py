"""Tables of text: CSV, with commas, semicolons or tabs between the fields, and Parquet."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from striate.data.folder_walk import existing_path, few
from striate.data.names import MISSING, SPLIT_WORDS, is_missing, known_labels, split_named
from striate.data.readers.content import head_of, refusing, text_of
from striate.data.readers.tables.columns import Column, Places
from striate.data.readers.tables.delimited import Rows, are_numbers, last_filled, rows_of
from striate.data.readers.tables.index_columns import is_index, is_time, is_unnamed
from striate.data.readers.tables.parquet import PARQUET, parquet_header, read_parquet
from striate.data.readers.tables.regular import regular_table
from striate.data.source import Note, UnreadableItem
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

_KEPT: Final = frozenset({*KNOWN_COLUMNS, LABELS, "id", "source"})
"""Columns that a layout reads by name: they are kept whatever they hold."""

_LEFT_OUT: Final = "index-column"
"""The code of the note on columns that were left out."""

_LISTED: Final = 12
"""Columns that a message lists, at most."""

_NUMBERS: Final = 0.5
"""The share of columns of numbers from which on a table holds series, and not the names of files."""

_HEAD: Final = 1 << 16
"""The bytes in which the names of the columns are looked for."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as read. Columns go by their names in lower case.

    Attributes:
        path: The table's file.
        header: The names of the columns as written, trimmed.
        fields: The fields of each column as written, as many as rows.
        places: Where each row stands ("line 3").
        decimal_comma: Whether a comma in a number is a decimal point.
        notes: What a user should know of the columns.
    """

    path: Path
    header: tuple[str, ...]
    fields: tuple[Sequence[str], ...]
    places: Sequence[str]
    decimal_comma: bool = False
    notes: tuple[Note, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns in lower case."""
        return tuple(name.lower() for name in self.header)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.places)

    def column(self, name: str, *, strip: bool = True) -> Sequence[str] | None:
        """The fields of a column, trimmed; None where there is no such column."""
        if name not in self.columns:
            return None
        fields = self.fields[self.columns.index(name)]
        return Column(map(str.strip, fields)) if strip else fields

    def required(self, name: str) -> Sequence[str]:
        """The fields of a column that must be there.

        Raises:
            DataError: It is not.
        """
        self.check_columns([name])
        return self.column(name) or []

    def numbers(self, name: str, *, optional: bool = False) -> Sequence[float]:
        """The fields of a column as finite numbers; NaN for a missing one where that may be.

        Raises:
            DataError: There is no such column, or a field is no finite number.
        """
        values, bad = array("d"), []
        for row, text in enumerate(self.required(name)):
            try:
                value = float(text.replace(",", ".") if self.decimal_comma else text)
            except ValueError:
                value = math.nan
            values.append(value)
            if not math.isfinite(value) and not (optional and text in MISSING):
                bad.append(f"{self.places[row]}: {text!r} in column {name} is not a finite number")
        self.refuse(bad, "write a number, or leave out the row")
        return values

    def splits(self) -> list[SplitName | None]:
        """The split of each row; None where it is empty, or where there is no such column.

        Raises:
            DataError: A name is that of no split.
        """
        names = self.column("split")
        if names is None:
            return [None] * self.num_rows
        meant = {name: None if is_missing(name) else split_named(name) for name in set(names)}
        wrong = {name for name, split in meant.items() if split is None and not is_missing(name)}
        splits = [meant[name] for name in names]
        bad = [
            f"{self.places[row]} has the split {name!r}"
            for row, name in enumerate(names if wrong else ())
            if name in wrong
        ]
        self.refuse(bad, f"a split is one of {SPLIT_WORDS}, or empty")
        return splits

    def answers(
        self,
    ) -> tuple[Sequence[str | None], Sequence[float | None], Sequence[dict[str, str]]]:
        """What each row says that a task may be to predict.

        A column `label` in which a field names several labels is read as the column `labels`, and
        where there is that column, a column `label` is left alone.

        Returns:
            The label and the target of each row, one of which is None and, where neither is given,
            both; and the trimmed fields of the further columns, those that `KNOWN_COLUMNS` does
            not name, by the column's name as written (`labels` in lower case). A row whose answer
            is missing has none of the three.

        Raises:
            DataError: No row has an answer, a target is no number, or among rows with several
                labels one is empty.
        """
        further = {
            name if name == LABELS else self.header[place]: place
            for place, name in enumerate(self.columns)
            if name not in KNOWN_COLUMNS
        }
        extra = self._further(further)
        labels, targets = self.column("label"), self.column("target")
        nothing = [None] * self.num_rows
        if LABELS in further:
            labels = None
        if labels is not None and (not all(map(is_missing, labels)) or targets is None):
            if any(SEPARATOR in field for field in labels):
                self.refuse_empty(
                    "label", labels, f"where a row has none of the labels, name the column {LABELS}"
                )
                pairs = zip(extra, labels, strict=True)
                return nothing, nothing, _known([{**row, LABELS: text} for row, text in pairs])
            known = known_labels(labels)
            self._refuse_unanswered("label", known)
            return known, nothing, _only_of(known, extra)
        if targets is None:
            return nothing, nothing, _known(extra)
        values = self.numbers("target", optional=True)
        numbers = [None if math.isnan(value) else value for value in values]
        self._refuse_unanswered("target", numbers)
        return nothing, numbers, _only_of(numbers, extra)

    def _further(self, places: Mapping[str, int]) -> list[dict[str, str]]:
        """The trimmed fields of some columns of each row, by the names that are given."""
        if not places:
            return [{}] * self.num_rows  # one for all
        columns = zip(*(self.fields[place] for place in places.values()), strict=True)
        return [dict(zip(places, map(str.strip, row), strict=True)) for row in columns]

    def unused(self) -> list[Note]:
        """A note of the columns that are not used where there are labels or targets, if any."""
        names = [name for name in self.header if name.lower() not in KNOWN_COLUMNS and name]
        if not names:
            return []
        message = f"columns of {self.path.name} that are not used: {few(names)}"
        if "group" not in self.columns:
            message += " (name one group to keep its items on one side of the split)"
        return [Note(code="unused-column", message=message, severity="info")]

    def _refuse_unanswered(self, name: str, answers: Sequence[object]) -> None:
        """Refuse the table where no row has an answer."""
        if all(answer is None for answer in answers):
            self.refuse([f"{place} has no {name}" for place in self.places], f"fill in the {name}s")

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
        if item not in self.columns and self._holds_series():
            fix = "if each row is a series, save them as X and y in an .npz file"
        self.check_columns([item] if answered else [item, "label"], fix)

    def _holds_series(self) -> bool:
        """Whether the table has many columns, most of them of numbers."""
        numbers = [bool(fields) and are_numbers([fields[0]]) for fields in self.fields]
        return len(numbers) > _LISTED and sum(numbers) > _NUMBERS * len(numbers)

    def refuse_empty(self, name: str, fields: Sequence[str], fix: str = "") -> None:
        """Refuse the table where a field of a column is empty.

        Args:
            name: The column.
            fields: Its fields.
            fix: What else the user may do than fill it in or take the rows out.

        Raises:
            DataError: There is an empty field.
        """
        empty = [row for row, field in enumerate(fields) if not field.strip()]
        bad = [f"{self.places[row]} has no {name}" for row in empty]
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
            why=f"its columns are {few(self.header, _LISTED) or 'none'}"
            + "".join(f", and {note.message}" for note in self.notes if note.code == _LEFT_OUT)
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
                f"{len(bad)} of {self.num_rows} rows of {self.path} cannot be used",
                why=few(bad),
                fix=fix,
            )


def _only_of(answers: Sequence[object], extra: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The further fields of the rows that have an answer: without one they are not to be one."""
    return [{} if answer is None else row for answer, row in zip(answers, extra, strict=True)]


def _known(extra: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Further fields that are the answers, none where they are missing.

    An empty column `labels` says that there are no labels; a word for a missing one does not.
    """
    return [{} if row and _is_unknown(row) else row for row in extra]


def _is_unknown(row: dict[str, str]) -> bool:
    if LABELS in row:
        return bool(row[LABELS]) and is_missing(row[LABELS])
    return all(map(is_missing, row.values()))


def header_of(path: Path) -> tuple[str, ...]:
    """The column names of a table in lower case; none where it cannot be read as one of text.

    Raises:
        DataError: A Parquet file cannot be read.
        MissingExtraError: Parquet without pyarrow.
    """
    if path.suffix.lower() == PARQUET:
        return tuple(name.lower() for name in parquet_header(path))
    head = head_of(path, _HEAD)
    ends = max(head.rfind(b"\n"), head.rfind(b"\r"))
    try:
        header, _ = _headed(rows_of(text_of(head[:ends] if len(head) == _HEAD else head)))
    except UnreadableItem:
        return ()
    return tuple(name.lower() for name in header)


def read_table(path: Path, *, whole: bool = False) -> Table:
    """Read a CSV or a Parquet file.

    Columns without a name, and those that only number the rows or say when they were written, are
    left out, with a note.

    Args:
        path: The file.
        whole: Whether such columns are kept.

    Raises:
        DataError: There is no such file, it cannot be read or is not UTF-8, it has no rows, two
            columns of one name, or rows with more or fewer fields than the first line.
        MissingExtraError: Parquet without pyarrow.
    """
    existing_path(path)
    if path.suffix.lower() == PARQUET:
        header, fields = read_parquet(path)
        places = Places("row", range(1, len(fields[0]) + 1 if fields else 1))
        table = Table(path=path, header=header, fields=fields, places=places)
    else:
        table = _read_csv(path)
    repeated = sorted({name for name in table.columns if name and table.columns.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has two columns {repeated[0]}", fix="rename one of them")
    if table.header and not table.num_rows:
        raise DataError(f"{path} lists no items", fix="add a line for each")
    return table if whole else _without_indices(table)


def _without_indices(table: Table) -> Table:
    """The table without the columns that say nothing of an item but where its row stands."""
    reasons = {
        place: reason
        for place, (name, fields) in enumerate(zip(table.header, table.fields, strict=True))
        if (reason := _no_content(name, fields)) is not None
    }
    kept = [place for place in range(len(table.header)) if place not in reasons]
    said = [f"{table.header[place] or 'one without a name'} ({reason})"
            for place, reason in reasons.items() if any(map(str.strip, table.fields[place]))]  # fmt: skip
    message = f"columns of {table.path.name} were left out: {few(said)}"
    notes = (Note(code=_LEFT_OUT, message=message, severity="info"),) if said else ()
    return replace(
        table,
        header=tuple(table.header[place] for place in kept),
        fields=tuple(table.fields[place] for place in kept),
        notes=notes,
    )


def _no_content(name: str, fields: Sequence[str]) -> str | None:
    """Why a column says nothing of an item; None where it may."""
    if name.lower() in _KEPT:
        return None
    if is_unnamed(name):
        return "it has no name, as an index"
    if is_index(name, fields):
        return "it numbers the rows"
    return "it holds times" if is_time(name, fields) else None


def _read_csv(path: Path) -> Table:
    with refusing(path, fix="save it as UTF-8"):
        text = text_of(path.read_bytes())
    if (regular := regular_table(text)) is not None:
        return Table(
            path=path,
            header=regular.header,
            fields=regular.columns,
            places=regular.places,
            decimal_comma=regular.delimiter != ",",
        )
    with refusing(path):
        rows = rows_of(text)
    header, fields = _headed(rows)
    places = rows.places[len(rows.places) - len(fields) :]
    ragged = [
        f"{place} has {len(row)}"
        for place, row in zip(places, fields, strict=True)
        if len(row) != len(header)
    ]
    if ragged:
        raise DataError(
            f"rows of {path} do not have the header's {len(header)} fields",
            why=few(ragged),
            fix="put fields that hold the delimiter in double quotes",
        )
    return Table(
        path=path,
        header=header,
        fields=Column.of_rows(fields, len(header)),
        places=places,
        decimal_comma=rows.delimiter != ",",
    )


def _headed(rows: Rows) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The names of the columns, and the rows below them.

    The names may stand in a comment, as NumPy writes them, and be one short, where R wrote the
    numbers of the rows without one.
    """
    if not rows.fields:
        return (), ()
    first, *below = rows.fields
    if _names(rows.remark, first):
        first, below = rows.remark, list(rows.fields)
    width = last_filled(first)
    header = tuple(name.strip() for name in first[:width])
    one_more = bool(below) and all(len(row) == width + 1 for row in below)
    if one_more and is_index("#", [row[0] for row in below]):
        header = ("", *header)
    return header, tuple(row if len(row) < width else _cut(row, len(header)) for row in below)


def _names(remark: Sequence[str], first: Sequence[str]) -> bool:
    """Whether a comment above the first row, rather than that row, names the columns."""
    if len(remark) != len(first):
        return False
    known = [_KEPT & {name.strip().lower() for name in fields} for fields in (remark, first)]
    return bool(known[0] and not known[1]) or (are_numbers(first) and not are_numbers(remark))


def _cut(row: tuple[str, ...], width: int) -> tuple[str, ...]:
    """A row without empty fields behind the last named column."""
    return row if any(map(str.strip, row[width:])) else row[:width]
