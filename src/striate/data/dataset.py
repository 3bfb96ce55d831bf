"""A data set as training and evaluation see it: read, checked and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.source import Item, Note, Skip
from striate.data.stores.pixels import PixelStore
from striate.data.stores.readings import ReadingStore
from striate.typing import Kind, SplitName


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Items checked and split: what is said of them, without what they hold.

    Attributes:
        kind: what each item is.
        name: the source's name.
        classes: names of the classes, in the order of their numbers; none where numbers are to be
            predicted.
        items: the items kept.
        labels: (items,) int64, the class number of each; zeros where there are no classes.
        targets: (items,) numbers to predict; None where there are classes.
        splits: (items,) "train", "val" or "test".
        sha256: (items,) of the stored bytes.
        duplicate_groups: (items,) int64; items that are copies or near copies share a number.
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
    targets: NDArray[np.float64] | None = None
    skipped: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()
    user_split: bool = False

    def indices(self, split: SplitName) -> NDArray[np.int64]:
        """Positions of the items of one part, ascending."""
        return np.flatnonzero(self.splits == split)

    def ids(self, indices: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The items' ids at these positions."""
        return [self.items[i].id for i in indices]


@dataclass(frozen=True, kw_only=True)
class ImageDataset(Dataset):
    """Images.

    Attributes:
        pixels: decoded items (see striate.data.stores.pixels.PixelStore).
    """

    pixels: PixelStore


@dataclass(frozen=True, kw_only=True)
class ReadDataset(Dataset):
    """Signals, volumes or graphs.

    Attributes:
        readings: of the items, in their order; where the items are nodes, of the one graph.
    """

    readings: ReadingStore
