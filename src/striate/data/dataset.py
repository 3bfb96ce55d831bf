"""A data set as training and evaluation see it: decoded, checked and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.cache import PixelStore
from striate.data.source import Item, Note, Skip
from striate.typing import Kind, SplitName


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Items decoded, checked and split: what training and evaluation work on.

    Attributes:
        kind: what each item is.
        name: the source's name.
        classes: names of the classes, in the order of their numbers.
        items: the items kept.
        labels: (items,) int64, the class number of each.
        splits: (items,) "train", "val" or "test".
        sha256: (items,) of the stored bytes.
        duplicate_groups: (items,) int64; items that are copies or near copies share a number.
        pixels: decoded items (see striate.data.cache.PixelStore).
        skipped: what was left out, and why.
        notes: what a user should know.
        user_split: the user gave the split.
    """

    kind: Kind
    name: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    sha256: tuple[str, ...]
    duplicate_groups: NDArray[np.int64]
    pixels: PixelStore
    skipped: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()
    user_split: bool = False

    def indices(self, split: SplitName) -> NDArray[np.int64]:
        """Positions of the items of one part, ascending."""
        return np.flatnonzero(self.splits == split)

    def ids(self, indices: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The items' ids at these positions."""
        return [self.items[i].id for i in indices]
