"""Tables of predictions that are written in parts and joined: CSV and Parquet."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from striate.data.packages import imported
from striate.errors import OptionError
from striate.files import csv_text, utf8_text
from striate.tasks.task import Classes, Task

ITEM: Final = "item"
REASON: Final = "reason"

_TRUTHS: Final = ("unknown", "undecided")
"""Columns of truth values."""

ROW_GROUP: Final = 65536
"""Rows of a row group of a Parquet file, about: few enough to be in memory, enough to be read fast."""


class Table(ABC):
    """How a table of predictions is written.

    The columns are `item`, those of the task, and `reason`, which says why an item was not read.

    Args:
        task: What is predicted.
        classes: Names of the classes.

    Attributes:
        suffix: The end of the file's name.
    """

    suffix: ClassVar[str]

    def __init__(self, task: Task, classes: Classes) -> None:
        self.columns = [ITEM, *task.columns(classes), REASON]
        self._text = {ITEM, REASON, *task.text_columns}

    @abstractmethod
    def part(self, rows: Sequence[Sequence[str | float]]) -> bytes:
        """Some rows, as a part's file holds them."""

    @abstractmethod
    def join(self, parts: Iterable[bytes], file: BinaryIO) -> None:
        """Write the table of all rows.

        Args:
            parts: What `part` gave, in order.
            file: Where to write.
        """

    @staticmethod
    @abstractmethod
    def wrote(path: Path) -> bool:
        """Whether a file begins as such a table does."""


class CsvTable(Table):
    """A CSV file; a text that a spreadsheet would run has a leading quote."""

    suffix = ".csv"

    def part(self, rows: Sequence[Sequence[str | float]]) -> bytes:
        """The lines, under a head."""
        return csv_text(self.columns, rows).encode()

    def join(self, parts: Iterable[bytes], file: BinaryIO) -> None:
        """The lines of all parts, under one head."""
        head = csv_text(self.columns, []).encode()
        file.write(head)
        for part in parts:
            file.write(part[len(head) :])

    @staticmethod
    def wrote(path: Path) -> bool:
        """Whether the first column is that of the items."""
        with path.open("rb") as file:
            return file.read(5) == b"item,"


class ParquetTable(Table):
    """A Parquet file: texts, numbers (float64) and truth values; what is not known is null."""

    suffix = ".parquet"

    def __init__(self, task: Task, classes: Classes) -> None:
        super().__init__(task, classes)
        self._arrow: Any = imported("pyarrow", "parquet")
        self._parquet: Any = imported("pyarrow.parquet", "parquet")
        self._schema = self._arrow.schema([(name, self._type(name)) for name in self.columns])

    def part(self, rows: Sequence[Sequence[str | float]]) -> bytes:
        """The rows as a Parquet file."""
        columns = zip(*rows, strict=True)
        arrays = [
            self._arrow.array([self._value(name, cell) for cell in column], self._type(name))
            for name, column in zip(self.columns, columns, strict=True)
        ]
        sink = io.BytesIO()
        table = self._arrow.Table.from_arrays(arrays, schema=self._schema)
        self._parquet.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    def join(self, parts: Iterable[bytes], file: BinaryIO) -> None:
        """The rows of all parts in large row groups."""
        waiting: list[Any] = []
        with self._parquet.ParquetWriter(file, self._schema, compression="zstd") as writer:
            for part in parts:
                waiting.append(self._parquet.read_table(io.BytesIO(part)))
                if sum(len(table) for table in waiting) >= ROW_GROUP:
                    writer.write_table(self._arrow.concat_tables(waiting), 2 * ROW_GROUP)
                    waiting = []
            if waiting:
                writer.write_table(self._arrow.concat_tables(waiting), 2 * ROW_GROUP)

    @staticmethod
    def wrote(path: Path) -> bool:
        """Whether the first column is that of the items."""
        parquet: Any = imported("pyarrow.parquet", "parquet")
        try:
            return bool(parquet.read_schema(path).names[:1] == [ITEM])
        except (OSError, ValueError):
            return False

    def _type(self, name: str) -> Any:
        if name in self._text:
            return self._arrow.string()
        return self._arrow.bool_() if name in _TRUTHS else self._arrow.float64()

    def _value(self, name: str, cell: str | float) -> str | float | None:
        if cell == "":
            return None
        if name in self._text:
            return utf8_text(str(cell))
        return cell == "true" if name in _TRUTHS else float(cell)


TABLES: Final = {table.suffix: table for table in (CsvTable, ParquetTable)}
"""The tables that can be written, by the end of the file's name."""


def table_for(suffix: str, path: Path, task: Task, classes: Classes) -> Table:
    """How a file is written.

    Args:
        suffix: The end of the name of such files.
        path: The file.
        task: What is predicted.
        classes: Names of the classes.

    Raises:
        OptionError: It is no such file.
        MissingExtraError: Parquet without pyarrow.
    """
    made = TABLES.get(suffix.lower())
    if made is None:
        known = " or ".join(TABLES)
        raise OptionError(
            "out", str(path), why="no such table is written", fix=f"end it in {known}"
        )
    return made(task, classes)
