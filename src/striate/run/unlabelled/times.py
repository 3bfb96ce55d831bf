"""When new items were made: a column of their manifest, or the order in which they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.layouts.manifest import is_manifest, understood
from striate.data.readers.tables import Table, read_table
from striate.errors import DataError, UnknownNameError

AUTO: Final = "auto"
ORDER: Final = "order"
NONE: Final = "none"

TIME_NAMES: Final = ("date", "time", "datetime", "timestamp", "taken", "recorded", "created")
"""Names of a column that is taken for the time unless another is named, the first that is there."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """When items were made.

    Attributes:
        order: The time of each item as a number; larger is later.
        names: The same as the user wrote it.
        column: Where it comes from, for a person.
    """

    order: NDArray[np.float64]
    names: Sequence[str]
    column: str


def times_of(given: object, num_items: int, time: str) -> Times | None:
    """When the items of some data were made; None where that is not known or not wanted.

    Args:
        given: The data as the user gave them.
        num_items: Number of items that they hold.
        time: Name of the column; "auto", "order" or "none".

    Raises:
        DataError: The column has something that is neither a date nor a number, or the data have
            no columns.
        UnknownNameError: There is no such column.
    """
    if time == NONE:
        return None
    if time == ORDER:
        numbers = np.arange(num_items, dtype=np.float64)
        names = [f"item {number + 1}" for number in range(num_items)]
        return Times(order=numbers, names=names, column="the order of the items")
    table = _table(given)
    if table is None or table.num_rows != num_items:
        if time == AUTO:
            return None
        raise DataError(
            f"there is no column {time!r}",
            why="the data are no manifest, a table with a column of paths",
            fix="write one, or take the order of the items with `time='order'`",
        )
    wanted = TIME_NAMES if time == AUTO else (time.lower(),)
    name = next((name for name in wanted if name in table.columns), None)
    if name is None:
        if time == AUTO:
            return None
        raise UnknownNameError(f"column of {table.path}", time, table.columns)
    cells = table.column(name) or []
    order = [
        _number(cell, table, place, name) for cell, place in zip(cells, table.places, strict=True)
    ]
    return Times(order=np.array(order), names=cells, column=name)


def _table(given: object) -> Table | None:
    """The manifest that was given, alone; None where something else was."""
    one = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if not isinstance(one, str | PathLike) or not Path(one).is_file() or not is_manifest(Path(one)):
        return None
    return understood(read_table(Path(one), whole=True))


def _number(cell: str, table: Table, place: str, name: str) -> float:
    """A date, or a number, as a number; a date without a zone is taken as the machine's own."""
    text = cell.strip()
    try:
        value = float(text)
    except ValueError:
        try:
            value = datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{table.path}, {place}: {name} {cell!r} is neither a date nor a number",
            fix="write dates as 2026-03-31 or 2026-03-31T12:30, or name another column",
        )
    return value
