"""Parquet files as tables of text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from striate.data.packages import imported
from striate.data.readers.tables.columns import Column
from striate.errors import DataError

PARQUET: Final = ".parquet"

_ROWS_AT_ONCE: Final = 1 << 16


def parquet_header(path: Path) -> tuple[str, ...]:
    """The names of the columns that can be text, trimmed.

    Raises:
        DataError: The file cannot be read.
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as (_, names):
        return tuple(name.strip() for name in names)


def read_parquet(path: Path) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """The names of the columns that can be text, trimmed, and their fields, a part at a time.

    Raises:
        DataError: The file cannot be read.
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as (file, names):
        rows = (
            tuple(map(_as_text, row))
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names)
            for row in zip(*(column.to_pylist() for column in batch), strict=True)
        )
        return tuple(name.strip() for name in names), Column.of_rows(rows, len(names))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, list[str]]]:
    """The file and the columns that can be text: not bytes, structures or lists of fractions."""
    pa, pq = imported("pyarrow", "parquet"), imported("pyarrow.parquet", "parquet")

    def is_text(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return is_text(kind.value_type) and not pa.types.is_floating(kind.value_type)
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        return not (binary or pa.types.is_nested(kind))

    try:
        with pq.ParquetFile(path) as file:
            yield file, [field.name for field in file.schema_arrow if is_text(field.type)]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {path}", why=str(error)) from error


def _as_text(value: object) -> str:
    """A value of a Parquet file; the members of a list stand between semicolons."""
    if isinstance(value, list):
        return ";".join(map(_as_text, value))
    return "" if value is None else str(value)
