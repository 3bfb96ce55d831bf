"""Items of any kind in arrays in memory, as NumPy's files and the Python API hand them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.folder_walk import class_notes
from striate.data.names import known_labels
from striate.data.readers.reader import ARRAYS, ArrayKind, Arrays
from striate.data.readers.tables.index_columns import counts_up
from striate.data.source import Item, Listing, Note, Reading, Source, load_formats
from striate.errors import DataError
from striate.typing import Kind, SplitName


class ArraySource(Source):
    """Items held in one array, or in an array each.

    Args:
        arrays: The items; which axes and values there may be follows from the kind (see
            `striate.data.readers.reader.ARRAYS`).
        labels: The class of each item, as text or a whole number; None where there are none.
        targets: The number to predict of each item; None where there are none.
        kind: The kind of the items.
        splits: The split of each item that the user gave, or None.
        groups: The group of each item.
        extras: What the kind may want to know of all items, by name ("sample_rate", "spacing").
        name: The data's name in messages and in the run folder.
        notes: Remarks on single items, by position.

    Raises:
        DataError: Arrays that are not of this kind, or labels, targets, splits or groups of
            another number or that are none.
        UnknownNameError: There is no such kind of arrays.
    """

    def __init__(
        self,
        arrays: Arrays,
        labels: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        *,
        kind: Kind = "image",
        splits: Sequence[SplitName | None] | None = None,
        groups: Sequence[str] | None = None,
        extras: Mapping[str, NDArray[Any]] | None = None,
        name: str = "arrays",
        notes: Mapping[int, tuple[Note, ...]] | None = None,
    ) -> None:
        load_formats()
        self.kind, self.name, self._notes = kind, name, notes or {}
        arrays_of_kind, extras = ARRAYS.get(kind), extras or {}
        self.conventions = arrays_of_kind.decide(arrays, extras, name)
        self._read = arrays_of_kind.reader(arrays, {**extras, **self.conventions}, name)
        columns: dict[str, Sequence[Any] | None] = {
            "label": None if labels is None else class_names(labels, name),
            "target": None if targets is None else _finite(targets, name),
            "split": splits,
            "group": groups,
        }
        count = len(arrays)
        given = {what: column for what, column in columns.items() if column is not None}
        for what, column in given.items():
            if len(column) != count:
                raise DataError(f"{name} has {count} {kind}s and {len(column)} {what}s")
        items = tuple(
            Item(id=str(number), **{what: column[number] for what, column in given.items()})
            for number in range(count)
        )
        remarks = [] if labels is None else class_notes(item.label for item in items)
        doubts = _axes_note(arrays, kind, arrays_of_kind)
        self.listing = Listing(items=items, notes=(*doubts, *_index_note(arrays), *remarks))

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read the item at full size; raises UnreadableItem for NaN and Inf."""
        index = int(item.id)
        reading = self._read(index)
        notes = self._notes.get(index)
        return reading if notes is None else replace(reading, notes=notes)


def _axes_note(arrays: Arrays, kind: Kind, kind_of_arrays: ArrayKind) -> list[Note]:
    """A warning where the axes of an array likely mean something else than they are taken for."""
    if not isinstance(arrays, np.ndarray):
        return []
    doubt = kind_of_arrays.doubt(arrays.shape, arrays.dtype)
    message = (
        f"an array {arrays.shape} is taken for {kind}s of {' x '.join(map(str, arrays.shape[1:]))}"
    )
    return [Note(code="axes", message=message, advice=f"it may be {doubt}")] if doubt else []


def _index_note(arrays: Arrays) -> list[Note]:
    """A warning where the first number of each item only numbers the items, as a table's index."""
    if not isinstance(arrays, np.ndarray) or arrays.ndim != 2 or arrays.dtype.kind not in "iuf":
        return []
    if arrays.shape[1] < 2 or not counts_up(np.asarray(arrays[:, 0], np.float64)):
        return []
    message = "the first number of each item only numbers the items"
    advice = "if it is a table's index, leave it out (`X[:, 1:]`)"
    return [Note(code="index-column", message=message, advice=advice)]


def arrays_source(
    arrays: NDArray[Any],
    answers: ArrayLike | None,
    *,
    name: str,
    splits: Sequence[SplitName | None] | None = None,
    extras: Mapping[str, NDArray[Any]] | None = None,
) -> ArraySource:
    """The source of items in an array, of the kind that is named or that the axes suggest.

    Args:
        arrays: The items, along the first axis.
        answers: A label or a number to predict of each item: numbers that are not whole are no
            classes. None for items to predict.
        name: The data's name in messages.
        splits: The split of each item that the user gave, or None.
        extras: What came with the items, by name: their "kind", their "groups", and what
            `ArraySource` takes.

    Raises:
        DataError: The array is of no kind, or the answers make no sense.
        UnknownNameError: The kind named does not come in arrays.
    """
    load_formats()
    extras = extras or {}
    given = None if answers is None else np.asarray(answers)
    regression = (
        given is not None
        and given.dtype.kind == "f"
        and bool((given[np.isfinite(given)] % 1 != 0).any())
    )
    groups = extras.get("groups")
    return ArraySource(
        arrays,
        labels=None if regression else given,
        targets=given if regression else None,
        kind=str(np.ravel(extras["kind"])[0]) if "kind" in extras else kind_of_array(arrays),
        splits=splits,
        groups=None if groups is None else [str(group) for group in groups.tolist()],
        extras=extras,
        name=name,
    )


def kind_of_array(arrays: NDArray[Any]) -> Kind:
    """The kind of items in an array, by its axes and its type."""
    kinds = sorted(ARRAYS.items(), key=lambda entry: entry[1].last)
    return next(name for name, kind in kinds if kind.claims(arrays.shape, arrays.dtype))


def axes_of_items(kind: Kind | None = None) -> set[int]:
    """How many axes an item may have in an array, of a kind or of any; a text has none.

    >>> axes_of_items("signal"), axes_of_items("graph")
    ({1, 2}, {0})
    """
    load_formats()
    shapes: tuple[tuple[int, ...], ...] = ((), (9,), (3, 9), (3, 9, 9), (3, 9, 9, 9))
    kinds = [entry for name, entry in ARRAYS.items() if kind in (None, name)]
    return {len(shape) for shape in shapes if any(entry.is_item(shape, 3) for entry in kinds)}


def class_names(labels: ArrayLike, name: str) -> list[str | None]:
    """The classes of (N,) or (N, 1) labels as text, None where one is missing.

    Whole numbers may be stored as floats.

    Raises:
        DataError: Labels of another shape, or values that are no classes.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"the labels of {name} have the shape {array.shape}",
            why="they are (N,)",
            fix="of a column for each class take y.argmax(axis=1)",
        )
    if array.dtype.kind not in "biufUSO":
        raise DataError(
            f"the labels of {name} hold {array.dtype}",
            why="labels are text or numbers",
            fix="save y.astype(str)",
        )
    values: list[Any] = array.tolist()
    if array.dtype.kind == "f":
        known = array[~np.isnan(array)]
        if np.isinf(known).any() or (known != np.rint(known)).any():
            raise DataError(
                f"the labels of {name} are not whole", why="classes are counted or named"
            )
        values = [None if np.isnan(value) else int(value) for value in values]
    return known_labels(values)


def _finite(targets: ArrayLike, name: str) -> list[float | None]:
    """Numbers to predict, None where one is missing."""
    numbers = np.asarray(targets, np.float64).reshape(-1)
    bad = np.flatnonzero(np.isinf(numbers))
    if bad.size:
        raise DataError(f"target {bad[0]} of {name} is {numbers[bad[0]]}", why="it must be finite")
    return [None if np.isnan(number) else float(number) for number in numbers]
