"""Columns that number the rows of a table or say when they were written, and hold nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST: Final = 5
"""The rows from which a column that counts up, or rises with time, is taken for no coincidence."""

_UNNAMED: Final = re.compile(r"(unnamed: \d+(_level_\d+)?)?")
_INDEX: Final = re.compile(
    r"#|index|idx|level_\d|rows?|row[ _.-]?(id|nr|no|num|number|index)|nr|no\.?"
)
_TIME_WORDS: Final = frozenset(
    [
        "t",
        "ts",
        "time",
        "times",
        "timestamp",
        "timestamps",
        "datetime",
        "date",
        "elapsed",
        "epoch",
        "unix",
        "utc",
        "stamp",
        "seconds",
        "secs",
        "sec",
        "milliseconds",
        "millis",
    ]
)
_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
    **dict.fromkeys(("h", "hours"), 3600.0),
}
"""Units of time in names of columns, in seconds."""

_SINCE_1970: Final = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""From which value on moments without a unit count since 1970 in a smaller one than seconds."""

_DAY: Final = 86_400_000_000
"""Microseconds."""

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_unnamed(name: str) -> bool:
    """Whether a column has no name of its own, as the index that pandas and R write.

    >>> is_unnamed(""), is_unnamed("Unnamed: 0"), is_unnamed("acc")
    (True, True, False)
    """
    return _UNNAMED.fullmatch(name.strip().lower()) is not None


def is_index(name: str, fields: Sequence[str]) -> bool:
    """Whether a column only numbers the rows: by its name and its values, or by its values alone.

    >>> is_index("index", ["4", "1", "3"]), is_index("x", ["0", "1", "2", "3", "4"])
    (True, True)
    >>> is_index("index", ["1.33", "1.5"]), is_index("x", ["0", "1", "2", "4", "5"])
    (False, False)
    """
    if len(fields) < 2 or not all(field.strip().isdecimal() for field in fields):
        return False
    return numbers_rows(name, np.fromiter(map(float, fields), np.float64, len(fields)))


def numbers_rows(name: str, values: NDArray[np.float64]) -> bool:
    """Whether the values of a column only number the rows."""
    if _INDEX.fullmatch(name.strip().lower()) and len(np.unique(values)) == len(values) > 2:
        return bool((values == np.rint(values)).all())
    return counts_up(values)


def counts_up(values: NDArray[np.float64]) -> bool:
    """Whether the values of a column are whole numbers, each one more than that before."""
    return len(values) >= FEWEST and values[0] == np.rint(values[0]) and _steps_of_one(values)


def _steps_of_one(values: NDArray[np.float64]) -> bool:
    return bool((np.diff(values) == 1).all())


def time_unit(name: str) -> float | None:
    """The unit, in seconds, of a column whose name says that it holds moments; 0 where it names none.

    >>> time_unit("Time (s)"), time_unit("time_ms"), time_unit("timestamp"), time_unit("t_max")
    (1.0, 0.001, 0.0, None)
    """
    words = re.findall(r"[a-z]+", name.lower())
    if not set(words) & _TIME_WORDS or not set(words) <= _TIME_WORDS | set(_UNITS):
        return None
    return next((_UNITS[word] for word in reversed(words) if word in _UNITS), 0.0)


def in_seconds(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Moments in seconds.

    Args:
        values: The moments as numbers.
        unit: Their unit in seconds; 0 where it is not known, and follows from the size of moments
            that count since 1970.
    """
    if not unit:
        largest = float(np.abs(values).max(initial=0))
        unit = next((unit for start, unit in _SINCE_1970 if largest >= start), 1.0)
    return values if unit == 1 else values * unit


def moments_of(fields: Sequence[str]) -> NDArray[np.float64] | None:
    """Dates and times by ISO 8601, in seconds from the first; None where one is a plain number.

    >>> np.diff(moments_of(["2024-05-01T12:00:00Z", "2024-05-01 12:00:00.5"])).tolist()
    [0.5]
    >>> moments_of(["23:59:59", "00:00:01"]).tolist(), moments_of(["20240501"])
    ([0.0, 2.0], None)
    """
    found = []
    for field in fields:
        moment = _moment(field.strip())
        if moment is None:
            return None
        found.append(moment)
    moments = np.array(found, np.int64)
    if len(found) and max(found) < _DAY:  # times without a date begin again at midnight
        moments[1:] += _DAY * np.cumsum(np.diff(moments) < -_DAY // 2)
    return (moments - moments[:1]) / 1e6


def _moment(text: str) -> int | None:
    """A date and time in microseconds since 1970, or a time of day since midnight."""
    if not re.search(r"\d[-:]\d", text):
        return None
    try:
        if text[2:3] == ":":
            text = f"1970-01-01T{text}"
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _START) // timedelta(microseconds=1)


def is_time(name: str, fields: Sequence[str]) -> bool:
    """Whether a column of a table whose rows are items says when each was written.

    >>> is_time("when", ["2024-05-01", "2024-04-01"]), is_time("time", ["3", "1", "2"])
    (True, False)
    """
    known = [field for field in fields if field.strip()]
    if not known:
        return False
    if _moment(known[0].strip()) is not None:
        return moments_of(known) is not None
    if time_unit(name) is None or len(known) < FEWEST:
        return False
    try:
        return bool((np.diff(np.array(known, np.float64)) > 0).all())
    except ValueError:
        return False
