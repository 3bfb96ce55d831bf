"""Tables in which every row has the fields that the first line names, read a row at a time.

Nearly all tables of items are like that, however long they are; what is not is left to
`delimited.rows_of`, which looks at all rows together.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from striate.data.readers.tables.columns import Column, Places
from striate.data.readers.tables.delimited import (
    COMMENT,
    NUM_SAMPLED,
    SEP_LINE,
    delimiter_of,
    is_remark,
    is_spaced,
)


class RegularTable(NamedTuple):
    """A table as read.

    Attributes:
        header: The names of the columns, trimmed.
        columns: Their fields as written.
        places: Where each row stands.
        delimiter: What parts the fields.
    """

    header: tuple[str, ...]
    columns: tuple[Column, ...]
    places: Places
    delimiter: str


class _IrregularError(Exception):
    """A row has other fields than the first line names."""


def regular_table(text: str) -> RegularTable | None:
    """The table in a text; None for one that is not regular, or begins with a comment.

    Args:
        text: Its lines, which may end as on Unix, Windows or old Macs.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = _lines(text)
    first = list(islice(lines, NUM_SAMPLED + 1))
    stated = SEP_LINE.fullmatch(first[0].rstrip("\n")) if first else None
    sampled = [line.rstrip("\n") for line in first[stated is not None :]][:NUM_SAMPLED]
    if not sampled or sampled[0].startswith(COMMENT) or not sampled[0].strip():
        return None
    delimiter = stated[1] if stated else delimiter_of(sampled)
    if delimiter == " ":
        return None
    reader = csv.reader(
        chain(first[stated is not None :], lines),
        delimiter=delimiter,
        strict=True,
        skipinitialspace=is_spaced(text, delimiter),
    )
    try:
        names = next(reader)
        width = max((n for n, name in enumerate(names, 1) if name.strip()), default=0)
        if not width:
            return None
        numbers = array("Q")
        rows = _rows(names, width, reader, numbers, int(stated is not None))
        columns = Column.of_rows(rows, width)
    except (csv.Error, _IrregularError):
        return None
    header = tuple(name.strip() for name in names[:width])
    return RegularTable(header, columns, Places("line", numbers), delimiter)


def _rows(
    names: Sequence[str],
    width: int,
    reader: Iterator[list[str]],
    numbers: array[int],
    skipped: int,
) -> Iterator[Sequence[str]]:
    """The rows below the first line, without empty ones and comments; their lines go to `numbers`.

    Raises:
        _IrregularError: A row has fewer fields than the first line, or something behind them.
    """
    before: Sequence[str] = names
    for row in reader:
        plain = len(row) == width and row[0][:1].isalnum()
        if not plain:
            if not any(map(str.strip, row)) or is_remark(row, (names, before)):
                continue
            if len(row) < width or any(map(str.strip, row[width:])):
                raise _IrregularError
        numbers.append(skipped + reader.line_num)  # type: ignore[attr-defined]  # of csv
        before = row
        yield row if plain else row[:width]


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one after the other."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start : end + 1]
        start = end + 1
    if start < len(text):
        yield f"{text[start:]}\n"
