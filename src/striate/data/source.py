"""What a source of data is: labelled items of one kind, and a way to read each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError, one_line
from striate.registry import load_package
from striate.typing import Kind, SplitName

FileContent: TypeAlias = Path | bytes
"""A file, by its path or by what it holds."""

Cause: TypeAlias = Literal["damaged", "foreign", "large"]
"""Why an item is unreadable, in a word."""

_MAX_REASON: Final = 200
"""Characters of another library's message that are kept."""

_NOTHING: Final[Mapping[str, str]] = {}
"""The further columns of items that have none: one object, for there may be millions of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item of a data set, with what is known of it before it is read.

    Attributes:
        id: The item's name, unique in its source and stable between runs (a path relative to the
            root, with `/`).
        label: The name of its class; None where it has none.
        target: The number to predict; None where it has none.
        split: The split that the user gave it; None where Striate is to choose.
        group: The item's group (a patient, a site); a group is never torn apart by a split.
        extra: The further columns of a manifest by their names, for tasks whose answers are
            neither a label nor a target.
    """

    id: str
    label: str | None = None
    target: float | None = None
    split: SplitName | None = None
    group: str | None = None
    extra: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """An item that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something that a user should know of the data.

    Attributes:
        code: What it is, in kebab case ("label-conflict", "near-duplicate", "imbalance").
        message: The note as one line for a person.
        ids: The items concerned.
        severity: "info" or "warning".
        advice: What to do about it, as a sentence without an end; empty where there is nothing to do.
    """

    code: str
    message: str
    ids: tuple[str, ...] = ()
    severity: str = "warning"
    advice: str = ""

    def as_line(self) -> str:
        """The note with what to do about it, for a person."""
        return f"{self.message}; {self.advice}" if self.advice else self.message


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An item as read.

    Attributes:
        array: The item's numbers, channels first: of an image (channels, height, width), uint8
            (3, height, width) where it is 8-bit RGB and otherwise as stored; of a signal float32
            (channels, time); of a volume (channels, depth, height, width), float32 or as stored;
            of a graph or a node float32 (node features, nodes).
        sha256: The SHA-256 of the item's bytes as stored (the content of its file).
        spacing: The distance between samples along each axis of space: seconds for a signal,
            millimetres for a volume; empty where it is not known.
        edges: The source and the target node of each edge of a graph, (2, edges) int64.
        edge_features: The features of each edge, (features, edges) float32; None without any.
        notes: Remarks on this item ("png-named-jpg", "first-frame", ...).
        graph: The whole graph, where the item is one of its nodes; all its nodes share one object.
        node: The position of the item's node in `graph`.
        node_names: Names of the nodes, of a graph whose nodes are items.
        channel_names: Names of the channels, where they are stored by name and not by place.
        edge_names: Names of the features of edges, where they are stored by name.
        smiles: The SMILES that a molecule was read from; empty for every other item.
    """

    array: NDArray[Any]
    sha256: str
    spacing: tuple[float, ...] = ()
    edges: NDArray[np.int64] | None = None
    edge_features: NDArray[np.float32] | None = None
    notes: tuple[Note, ...] = ()
    graph: Reading | None = None
    node: int | None = None
    node_names: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()
    edge_names: tuple[str, ...] = ()
    smiles: str = ""


class UnreadableItem(DataError):  # noqa: N818 - a reason to skip, not a failure of the program
    """An item that cannot be read; the reason is listed beside its name.

    Attributes:
        cause: Whether the item is damaged or does not fit, is of a format or a kind that is not
            read, or is larger than what is read.
    """

    cause: ClassVar[Cause] = "damaged"

    def __init__(self, reason: str) -> None:
        self.reason = one_line(reason)  # names within a file may hold line breaks
        super().__init__(reason)

    @classmethod
    def because_of(cls, error: Exception, doing: str = "") -> UnreadableItem:
        """The item's fault where a reader raised something that no reader means to raise.

        Args:
            error: What was raised; its type is named, for the message alone may be a bare word.
            doing: What came before it, such as "no DICOM image".
        """
        said = one_line(str(error))[:_MAX_REASON]
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return cls(f"{doing}: {what}" if doing else what)


class ForeignItem(UnreadableItem):
    """An item of a format that is not read, or of another kind than the data."""

    cause = "foreign"


class TooLargeItem(UnreadableItem):
    """An item that is larger, as it is or once it is expanded, than what is read."""

    cause = "large"


UNREADABLE: Final[Mapping[Cause, type[UnreadableItem]]] = {
    kind.cause: kind for kind in (UnreadableItem, ForeignItem, TooLargeItem)
}
"""The error for each cause."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What was found in the data before any item was read.

    Attributes:
        items: The items; those of a table are made whenever they are needed.
        skipped: What was left out, and why.
        notes: What a user should know.
    """

    items: Sequence[Item]
    skipped: tuple[Skip, ...] = ()
    notes: tuple[Note, ...] = ()


class Decoding(NamedTuple):
    """How an item is read apart from this process: by a function of a module, from a file.

    Attributes:
        decode: The function, which takes the file and, where `size` is given, that by keyword.
        content: The file's path or its bytes.
        size: The shorter side wanted, in pixels.
        patience: Such files may take so many times as long as one picture.
    """

    decode: Callable[..., Reading]
    content: FileContent
    size: int | None = None
    patience: float = 1.0


class Stored(NamedTuple):
    """How an item lies in a file of its own.

    Attributes:
        content: The file, by its path or its bytes.
        reader: The name of its format's reader.
        suffix: The end of its name; empty where it has none.
    """

    content: FileContent
    reader: str
    suffix: str = ""


class Source(ABC):
    """Items of one kind. Reading never changes the user's files.

    Attributes:
        kind: The name of what each item is ("image", "signal", ...).
        name: The data's name in messages and in the run folder (the path, `sample:solar-cells`).
        listing: The items, what was left out, and what a user should know.
        nouns: What one item and several are called, where the nouns of the kind say too little.
        conventions: What was decided of all items before they are read (the order of the axes of
            an array, its value of white), by name; fit for JSON.
    """

    kind: Kind
    name: str
    listing: Listing
    nouns: tuple[str, str] | None = None
    conventions: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read one item in this process.

        Args:
            item: One of `listing.items`.
            size: The shorter side wanted, in pixels; a decoder may then decode at a reduced
                scale whose shorter side is at least this.

        Raises:
            UnreadableItem: The item cannot be read; it is to be skipped.
        """

    def path(self, item: Item) -> Path | None:
        """The file that holds the item; None where it has none of its own."""
        return None

    def stored(self, item: Item) -> Stored | None:
        """The item's file with the name of its format's reader; None where it is not one file.

        Raises:
            UnreadableItem: No reader reads it.
        """
        return None

    def damage(self) -> Iterator[Note]:
        """What is damaged of how the items are stored, which reading them need not show."""
        return iter(())

    def isolated(self, item: Item, size: int | None = None) -> Decoding | None:
        """How the item is decoded in a process of its own; None where `read` is safe.

        Raises:
            UnreadableItem: The item cannot be read; it is to be skipped.
        """
        return None


class MemorySource(Source):
    """Items that a function reads, from memory or from nothing at all.

    Args:
        kind: The kind of the items.
        name: The data's name in messages and in the run folder.
        listing: The items.
        read: Reads an item; raises UnreadableItem.
        nouns: What one item and several are called, where the nouns of the kind say too little.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        listing: Listing,
        read: Callable[[Item], Reading],
        nouns: tuple[str, str] | None = None,
    ) -> None:
        self.kind, self.name, self.listing, self.nouns = kind, name, listing, nouns
        self._read = read

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read one item, whatever the `size`."""
        return self._read(item)


def load_formats() -> None:
    """Import every reader, layout and sample, so that their registries are complete."""
    for room in ("readers", "layouts", "samples"):
        load_package(f"striate.data.{room}")
