"""A data set as training and evaluation see it: read, checked and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.source import Item, Note, Skip
from striate.data.stores.store import Store
from striate.data.target import Target
from striate.typing import Kind, SplitName


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Items that are read, checked and split, with what is to be predicted of them.

    Attributes:
        kind: Name of the kind of the items.
        name: Name of the source.
        nouns: What one item and several are called; None for the nouns of the kind.
        items: The items kept.
        target: What is to be predicted.
        splits: (items,) "train", "val" or "test".
        sha256: (items,) Hash of the stored bytes.
        duplicate_groups: (items,) Items that are copies or near copies share a number.
        store: What was read of the items.
        skipped: What was left out, and why.
        notes: What a user should know.
        user_split: Whether the user gave the split.
    """

    kind: Kind
    name: str
    nouns: tuple[str, str] | None = None
    items: tuple[Item, ...]
    target: Target
    splits: NDArray[np.str_]
    sha256: tuple[str, ...]
    duplicate_groups: NDArray[np.int64]
    store: Store
    skipped: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()
    user_split: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; empty where there are none."""
        return self.target.classes

    def indices(self, split: SplitName) -> NDArray[np.int64]:
        """Positions of the items of a split, ascending."""
        return np.flatnonzero(self.splits == split)

    def ids(self, indices: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The items' ids at these positions."""
        return [self.items[i].id for i in indices]
