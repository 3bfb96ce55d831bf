"""Columns of text in a few bytes a field, for tables of millions of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_PART: Final = 1 << 16
"""Fields that are kept together."""

_MOST_TEXTS: Final = _PART // 8
"""Different fields of a part, at most, where each is kept once."""


class Column(Sequence[str]):
    """The fields of a column.

    They are kept in parts: what is the same in many rows once, with a number for each row, and
    other fields as one text with their ends. An object for each field would take 50 bytes more.

    Args:
        fields: The fields, in their order.
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        self._parts: list[Sequence[str]] = []
        self._known: dict[str, str] = {}
        self._length = 0
        for part in _parts(fields):
            self._add(part)

    @classmethod
    def of_rows(cls, rows: Iterable[Sequence[str]], count: int) -> tuple[Column, ...]:
        """The columns of some rows.

        Args:
            rows: The fields of each row.
            count: The number of columns.
        """
        columns = tuple(cls() for _ in range(count))
        for part in _parts(rows):
            for column, fields in zip(columns, zip(*part, strict=True), strict=True):
                column._add(fields)
        return columns

    def _add(self, part: tuple[str, ...]) -> None:
        """Append fields: as many as make a part, but for the last ones."""
        self._parts.append(_compact(part, self._known) if len(part) == _PART else part)
        self._length += len(part)

    def __len__(self) -> int:
        """The number of rows."""
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """The field of a row, or those of some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(self._length)[index]
        return self._parts[place // _PART][place % _PART]

    def __iter__(self) -> Iterator[str]:
        """The fields, which is quicker than one by one."""
        return chain.from_iterable(self._parts)


T = TypeVar("T")


def _parts(values: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(values)
    while part := tuple(islice(rest, _PART)):
        yield part


def _compact(part: tuple[str, ...], known: dict[str, str]) -> Sequence[str]:
    """A part as it is kept; `known` are texts of parts before it, which are shared."""
    texts = {text: number for number, text in enumerate(dict.fromkeys(part))}
    if len(texts) > _MOST_TEXTS:
        return _Joined(part)
    shared = tuple(known.setdefault(text, text) for text in texts)
    return _Repeated(shared, np.fromiter(map(texts.__getitem__, part), np.uint16, len(part)))


class _Repeated(Sequence[str]):
    """Fields of which many are the same."""

    def __init__(self, texts: tuple[str, ...], numbers: NDArray[np.uint16]) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # of one row
        return self._texts[int(self._numbers[index])]

    def __iter__(self) -> Iterator[str]:
        return map(self._texts.__getitem__, self._numbers.tolist())


class _Joined(Sequence[str]):
    """Fields of which most are different."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._text = "".join(fields)
        bounds = np.cumsum([0, *map(len, fields)])
        self._bounds = bounds.astype(np.min_scalar_type(len(self._text)))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # of one row
        return self._text[self._bounds[index] : self._bounds[index + 1]]

    def __iter__(self) -> Iterator[str]:
        bounds = self._bounds.tolist()
        return map(self._text.__getitem__, map(slice, bounds, bounds[1:]))


class Places(Sequence[str]):
    """Where each row of a table stands, as a person counts.

    Args:
        noun: What is counted ("line").
        numbers: The number of each row.
    """

    def __init__(self, noun: str, numbers: Sequence[int]) -> None:
        self._noun, self._numbers = noun, numbers

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Places: ...

    def __getitem__(self, index: int | slice) -> str | Places:
        """Where a row stands ("line 3"), or where some do."""
        if isinstance(index, slice):
            return Places(self._noun, self._numbers[index])
        return f"{self._noun} {self._numbers[index]}"
