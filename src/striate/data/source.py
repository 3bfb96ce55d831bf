"""What a source of data is: labelled items of one kind, and a way to read each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError
from striate.typing import Kind, SplitName


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One labelled thing.

    Attributes:
        id: unique in its source and stable between runs (a path relative to the root, with `/`).
        label: name of its class; None where it is not known.
        target: number to predict, where the task is regression; an item has a label or a target.
        split: the part the user put it in; None where Striate is to choose.
        group: items of one group (a patient, a site) never lie on two sides of a split.
    """

    id: str
    label: str | None = None
    target: float | None = None
    split: SplitName | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """An item that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something a user should know of the data.

    Attributes:
        code: what it is, in kebab case ("label-conflict", "near-duplicate", "imbalance").
        message: one line for a person.
        ids: the items concerned.
        severity: "info" or "warning".
    """

    code: str
    message: str
    ids: tuple[str, ...] = ()
    severity: str = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An item as read.

    Attributes:
        array: channels first; for an image uint8 (3, height, width), RGB; for a signal float32
            (channels, time); for a volume (channels, depth, height, width), float32 or as stored;
            for a graph float32 (node features, nodes).
        sha256: of the item's bytes as stored (the file's content).
        spacing: distance between samples along each axis of space: seconds for a signal,
            millimetres for a volume; empty where it is not known.
        edges: (2, edges) int64, source and target node of each; graphs only.
        edge_features: (features, edges) float32; None where there are none.
        notes: remarks on this item ("png-named-jpg", "first-frame", ...), as codes with a line.
    """

    array: NDArray[Any]
    sha256: str
    spacing: tuple[float, ...] = ()
    edges: NDArray[np.int64] | None = None
    edge_features: NDArray[np.float32] | None = None
    notes: tuple[Note, ...] = ()


class UnreadableItem(DataError):  # noqa: N818 - a reason to skip, not a failure of the program
    """This item cannot be read; the reason is what is listed beside it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a look at the data found, before any item is read."""

    items: tuple[Item, ...]
    skipped: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()


class Source(ABC):
    """Items of one kind. Reading never changes the user's files.

    Attributes:
        kind: what each item is.
        name: for messages and the run folder (the folder's path, `sample:solar-cells`).
        listing: the items, what was left out, and what a user should know.
        nouns: what one item and several are called, where the nouns of the kind say too little.
    """

    kind: Kind
    name: str
    listing: Listing
    nouns: tuple[str, str] | None = None

    @abstractmethod
    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read one item.

        Args:
            item: one of `listing.items`.
            size: the shorter side wanted, in pixels; a decoder may then decode at a reduced
                scale whose shorter side is at least this.

        Raises:
            UnreadableItem: it cannot be read; the item is to be skipped.
        """

    def path(self, item: Item) -> Path | None:
        """The file the item comes from; None where it has none of its own."""
        return None
