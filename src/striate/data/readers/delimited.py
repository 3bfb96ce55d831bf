"""A table of text: fields between commas or semicolons, UTF-8 with or without a mark before it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from striate.data.folder_walk import existing_path, few
from striate.errors import DataError, nearest


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as read.

    Attributes:
        path: of its file.
        columns: names, trimmed and in lower case.
        rows: fields of each row, trimmed, as many as columns.
        lines: number of the line that each row ends on.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> list[str] | None:
        """The fields of a column; None where there is none of that name."""
        if name not in self.columns:
            return None
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def required(self, name: str) -> list[str]:
        """The fields of a column that must be there.

        Raises:
            DataError: it is not.
        """
        found = self.column(name)
        if found is None:
            near = nearest(name, self.columns, count=1)
            raise DataError(
                f"{self.path} has no column {name}",
                why=f"its columns are {', '.join(self.columns)}"
                + (f" (is it {near[0]}?)" if near else ""),
                fix=f"the first line must name {name}",
            )
        return found

    def numbers(self, name: str) -> list[float]:
        """The fields of a column as finite numbers.

        Raises:
            DataError: a field is none, named by line.
        """
        values = []
        for line, field in zip(self.lines, self.required(name), strict=True):
            try:
                value = float(field)
            except ValueError:
                value = float("nan")
            if not abs(value) < float("inf"):
                raise DataError(
                    f"{self.path}, line {line}: {field!r} in column {name} is not a finite number",
                    fix="write a number, or leave out the row",
                )
            values.append(value)
        return values


def header_of(path: Path) -> tuple[str, ...]:
    """The column names of a table; empty where the file cannot be read as one."""
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 16).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ()
    return _names(next(csv.reader([first], delimiter=_delimiter(first)), []))


def read_table(path: Path) -> Table:
    """Read a table, whatever separates its fields.

    Raises:
        DataError: no such file, not UTF-8, no rows, two columns of one name, or rows with more or
            fewer fields than the first line, named by line.
    """
    content = existing_path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"cannot read {path}", why=f"line {number} is not UTF-8", fix="save it as UTF-8"
        ) from None
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_delimiter(text.partition("\n")[0]), strict=True
    )
    rows, lines, ragged = [], [], []
    try:
        columns = _names(next(reader, []))
        for fields in reader:
            if not any(fields):
                continue
            if len(fields) != len(columns):
                ragged.append(f"line {reader.line_num} has {len(fields)}")
            rows.append(tuple(field.strip() for field in fields))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"cannot read {path}", why=f"line {reader.line_num}: {error}") from None
    _check(path, columns, rows, ragged)
    return Table(path=path, columns=columns, rows=tuple(rows), lines=tuple(lines))


def _check(
    path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]], ragged: list[str]
) -> None:
    if ragged:
        raise DataError(
            f"rows of {path} do not have the header's {len(columns)} fields",
            why=few(ragged),
            fix="put fields that hold the delimiter in double quotes",
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has two columns {repeated[0]!r}", fix="rename one of them")
    if not rows:
        raise DataError(f"{path} has no rows", fix="add a line for each item")


def _names(fields: list[str]) -> tuple[str, ...]:
    return tuple(field.strip().lower() for field in fields)


def _delimiter(header: str) -> str:
    return max((",", ";", "\t"), key=header.count)
