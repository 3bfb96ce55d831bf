"""Which arrays hold items of which kind: one place for .npz files, .npy pairs and the Python API.

A new kind is one `ARRAYS.add(...)` in a file of this folder. What nothing claims is images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.formats import load_formats
from striate.data.layouts.arrays import ArraySource
from striate.data.source import Source
from striate.registry import Registry
from striate.typing import SplitName


@dataclass(frozen=True, kw_only=True)
class ArrayParts:
    """Items in one array, with what a file says of them.

    Attributes:
        arrays: (N, ...) the items.
        labels: (N,) names or numbers of classes, or numbers to predict; None for items to predict.
        splits: (N,) the part of each item, where the user gave it.
        name: for messages and the run folder.
        extras: further small arrays of the file, by name in lower case ("kind", "sample_rate",
            "spacing").
    """

    arrays: NDArray[Any]
    labels: NDArray[Any] | None
    splits: tuple[SplitName | None, ...] | None
    name: str
    extras: dict[str, NDArray[Any]]

    @property
    def said_kind(self) -> str | None:
        """The kind that the file itself names in an array `kind`; None where there is none."""
        said = self.extras.get("kind")
        return None if said is None else str(np.asarray(said).reshape(-1)[0])


@dataclass(frozen=True, kw_only=True)
class ArrayKind:
    """How arrays become a source of one kind.

    Attributes:
        claims: whether an array of this shape and type, its first axis the items, is of this kind.
        open: the source; raises DataError for what does not make one.
    """

    claims: Callable[[tuple[int, ...], np.dtype[Any]], bool]
    open: Callable[[ArrayParts], Source]


ARRAYS: Registry[ArrayKind] = Registry("kind of array")
"""By the kind's name ("signal", "volume")."""


def arrays_source(parts: ArrayParts) -> Source:
    """The source of items in an array, of the kind that the file names or the axes suggest.

    Raises:
        DataError: the array is of no kind.
        UnknownNameError: the file names a kind that does not come in arrays.
    """
    load_formats()
    said = parts.said_kind
    if said is not None and said != "image":
        return ARRAYS.get(said).open(parts)
    if said is None:
        for _, kind in ARRAYS.items():
            if kind.claims(parts.arrays.shape, parts.arrays.dtype):
                return kind.open(parts)
    return ArraySource(parts.arrays, parts.labels, splits=parts.splits, name=parts.name)
