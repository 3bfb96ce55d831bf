"""Signals held in memory: arrays of equal lengths, and lists of unequal ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.folder_walk import check_classes
from striate.data.layouts.array_kinds import ARRAYS, ArrayKind, ArrayParts
from striate.data.layouts.arrays import class_names
from striate.data.readers.signal import signal_reading
from striate.data.source import Item, Listing, Note, Reading, Source
from striate.errors import DataError
from striate.typing import SplitName

LONGER_THAN_WIDE: Final = 2
"""An array (N, a, b) of numbers is signals of a channels where b is at least so many times a."""


class SignalArrays(Source):
    """Signals held in memory.

    Args:
        arrays: (N, L), (N, C, L), or N arrays (L,) or (C, L) of lengths that may differ.
        labels: (N,) names or numbers of classes; None where there are none.
        targets: (N,) numbers to predict; None where there are none.
        splits: (N,) the part of each signal, where the user gave it.
        groups: (N,) the group of each signal.
        rate: samples a second, where known.
        name: for messages and the run folder.
        notes: remarks on single signals, by number.

    Raises:
        DataError: shapes that are no signals; labels or targets of another number.
    """

    kind = "signal"

    def __init__(
        self,
        arrays: NDArray[Any] | Sequence[NDArray[Any]],
        labels: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        *,
        splits: Sequence[SplitName | None] | None = None,
        groups: Sequence[str] | None = None,
        rate: float | None = None,
        name: str = "arrays",
        notes: dict[int, tuple[Note, ...]] | None = None,
    ) -> None:
        self.name = name
        if isinstance(arrays, np.ndarray):
            _check_array(arrays, name)
        self._arrays, self._rate, self._notes = arrays, rate, notes or {}
        count = len(arrays)
        names = None if labels is None else class_names(labels, name)
        numbers = None if targets is None else _target_numbers(targets, name)
        columns = (("labels", names), ("targets", numbers), ("splits", splits), ("groups", groups))
        for what, column in columns:
            if column is not None and len(column) != count:
                raise DataError(f"{name} has {count} signals and {len(column)} {what}")
        items = tuple(
            Item(
                id=str(index),
                label=None if names is None else names[index],
                target=None if numbers is None else numbers[index],
                split=None if splits is None else splits[index],
                group=None if groups is None else groups[index],
            )
            for index in range(count)
        )
        remarks = () if names is None else tuple(check_classes(items, name))
        self.listing = Listing(items=items, notes=remarks)

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The signal as float32 (channels, time); raises UnreadableItem for NaN and Inf."""
        array = np.atleast_2d(np.ascontiguousarray(self._arrays[int(item.id)]))
        sha256 = hashlib.sha256(array.data if array.size else b"").hexdigest()
        return signal_reading(array, sha256, self._rate, self._notes.get(int(item.id), ()))


def _check_array(arrays: NDArray[Any], name: str) -> None:
    if arrays.ndim not in (2, 3) or arrays.dtype.kind not in "buif" or not arrays.size:
        raise DataError(
            f"{name} holds {arrays.dtype} of the shape {arrays.shape}",
            why="signals are numbers, (N, samples) or (N, channels, samples)",
        )


def _target_numbers(targets: ArrayLike, name: str) -> list[float]:
    numbers = np.asarray(targets, dtype=np.float64).reshape(-1)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise DataError(f"target {bad[0]} of {name} is {numbers[bad[0]]}", why="it must be finite")
    return [float(number) for number in numbers]


def _is_regression(labels: NDArray[Any]) -> bool:
    """Whether labels are numbers to predict: some are not whole."""
    return labels.dtype.kind == "f" and bool((labels != np.rint(labels)).any())


def _claims(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """(N, L), or (N, C, L) where L is a good deal larger than C and values are no pixels."""
    if dtype.kind not in "buif":
        return False
    if len(shape) == 2:
        return True
    pixels = dtype == np.uint8 or dtype == np.bool_
    return len(shape) == 3 and not pixels and shape[2] >= LONGER_THAN_WIDE * shape[1]


def _open(parts: ArrayParts) -> Source:
    labels = parts.labels
    regression = labels is not None and _is_regression(np.asarray(labels))
    rate, groups = parts.extras.get("sample_rate"), parts.extras.get("groups")
    if rate is not None and (rate.size != 1 or not float(rate.reshape(-1)[0]) > 0):
        raise DataError(f"{parts.name} has the sample_rate {rate}", why="it is one number above 0")
    return SignalArrays(
        parts.arrays,
        None if regression else labels,
        labels if regression else None,
        splits=parts.splits,
        groups=None if groups is None else [str(group) for group in groups.tolist()],
        rate=None if rate is None else float(rate.reshape(-1)[0]),
        name=parts.name,
    )


ARRAYS.add("signal", ArrayKind(claims=_claims, open=_open))
