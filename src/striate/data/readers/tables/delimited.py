"""The rows of a text with a delimiter, as spreadsheets, loggers, NumPy, pandas and R write them.

Commas, semicolons and tabs part fields; so do blanks where a table of numbers has nothing else. A
line `sep=;` and lines of comment (`#`) are left alone, as are empty lines, a byte-order mark and
empty columns at the end. Lines may end as on Unix, Windows or old Macs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from striate.data.source import UnreadableItem

DELIMITERS: Final = ("\t", ";", ",")
"""What parts fields, the surest sign first: a comma may be a decimal point."""

COMMENT: Final = "#"

NUM_SAMPLED: Final = 50
"""The lines that are looked at to tell the delimiter."""

SEP_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a text.

    Attributes:
        fields: The fields of each row as written; empty fields at the end of all rows are gone.
        places: Where each row stands ("line 3").
        delimiter: What parts the fields; a blank for any number of blanks.
        remark: The fields of the last comment before the first row, which may name the columns.
    """

    fields: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]
    delimiter: str
    remark: tuple[str, ...]


def rows_of(text: str) -> Rows:
    """Take a text apart.

    Raises:
        UnreadableItem: A quoted field does not end, or a line is longer than can be read.
    """
    lines = io.StringIO(text, newline=None).read().split("\n")  # one end of lines for all
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    skipped, delimiter = 0, ""
    if found := SEP_LINE.fullmatch(lines[0]):
        skipped, delimiter = 1, found[1]
    while skipped < len(lines) and _is_comment(lines[skipped]):
        skipped += 1
    delimiter = delimiter or delimiter_of(lines[skipped : skipped + NUM_SAMPLED])
    remark = lines[skipped - 1].strip().lstrip(COMMENT + " ") if skipped else ""
    fields: list[list[str]] = []
    places: list[str] = []
    for place, row in _parsed(lines[skipped:], delimiter, skipped):
        if any(map(str.strip, row)) and not is_remark(row, fields):
            fields.append(row)
            places.append(place)
    width = max((last_filled(row) for row in fields), default=0)
    return Rows(
        fields=tuple(tuple(row[: max(width, last_filled(row))]) for row in fields),
        places=tuple(places),
        delimiter=delimiter,
        remark=tuple(remark.split(None if delimiter == " " else delimiter)) if remark else (),
    )


def delimiter_of(lines: Sequence[str]) -> str:
    """What parts the fields of the first lines of a text.

    It is what gives all lines as many fields, more than one; else what the first line has most of.

    >>> delimiter_of(["0,0;1,5", "0,5;2,5"]), delimiter_of(["path,label", "a;b.png,cat"])
    (';', ',')
    >>> delimiter_of(["1.0 2.0", "3.0 4.0"])
    ' '
    """
    lines = [line for line in lines if line.strip() and not line.startswith(COMMENT)]
    if not lines:
        return ","
    for delimiter in DELIMITERS:
        if delimiter in lines[0] and len({_width(line, delimiter) for line in lines}) == 1:
            return delimiter
    best = max(DELIMITERS[::-1], key=lines[0].count)
    spaced = best not in lines[0] and len(lines[-1].split()) > 1
    return " " if spaced and are_numbers(lines[-1].split()) else best


def are_numbers(fields: Sequence[str]) -> bool:
    """Whether all fields are numbers, with a decimal point or comma."""
    return bool(fields) and all(map(_NUMBER.fullmatch, fields))


def _width(line: str, delimiter: str) -> int:
    """The number of fields of a line, without empty ones at its end."""
    try:
        return last_filled(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0


def last_filled(row: Sequence[str]) -> int:
    """The number of fields of a row up to the last that is not empty."""
    return next((n for n in range(len(row), 0, -1) if row[n - 1].strip()), 0)


def _parsed(lines: Sequence[str], delimiter: str, skipped: int) -> list[tuple[str, list[str]]]:
    if delimiter == " ":
        return [(f"line {n}", line.split()) for n, line in enumerate(lines, skipped + 1)]
    spaced = any(is_spaced(line, delimiter) for line in lines)
    reader = csv.reader(
        (f"{line}\n" for line in lines), delimiter=delimiter, strict=True, skipinitialspace=spaced
    )
    try:
        return [(f"line {skipped + reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise UnreadableItem(f"line {skipped + reader.line_num}: {error}") from None


def is_spaced(text: str, delimiter: str) -> bool:
    """Whether there are blanks between a delimiter and a quoted field."""
    return re.search(rf'{re.escape(delimiter)}[ \t]+"', text) is not None


def _is_comment(line: str) -> bool:
    return line.startswith(COMMENT) or not line.strip()


def is_remark(row: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a row below the first is a comment: a file's name may begin like one."""
    if not rows or not row[0].lstrip().startswith(COMMENT):
        return False
    return len(row) != len(rows[0]) or are_numbers(rows[-1])
