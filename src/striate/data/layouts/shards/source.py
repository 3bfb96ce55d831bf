"""A data set in shards as a source: any item is read by its place, from the disk or from a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from striate.data.folder_walk import is_folder
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.layouts.shards.contents import unpacked
from striate.data.layouts.shards.index import INDEX, READING, Index, Place, is_index, read_table
from striate.data.layouts.shards.places import BLOCK, Shelf, is_url, shelf_of
from striate.data.readers.reader import READERS
from striate.data.source import (
    Decoding,
    Item,
    Listing,
    Note,
    Reading,
    Source,
    Stored,
    UnreadableItem,
    load_formats,
)
from striate.errors import DataError
from striate.typing import Kind


class ShardSource(Source):
    """The items of shards, in the order in which they were packed.

    The bytes of an item are compared with its SHA-256 whenever they are read; an item of which a
    bit is another cannot be read, and its reason names the shard.

    Args:
        shelf: Where the shards lie.

    Raises:
        DataError: There is no index, or it or a table of items is damaged.
    """

    def __init__(self, shelf: Shelf) -> None:
        load_formats()
        self._shelf = shelf
        index = Index.read(shelf.whole(INDEX), shelf.where(INDEX))
        self.kind, self.name, self.index = index.kind, shelf.name, index
        self.nouns, self.conventions = index.nouns, index.conventions
        shelf.in_order(index.shards)
        self._places: dict[str, Place] = {}
        items = []
        for item, place in chain.from_iterable(map(self._table, range(len(index.shards)))):
            items.append(item)
            self._places[item.id] = place
        self.listing = Listing(items=tuple(items), skipped=index.skipped, notes=index.notes)

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read an item in this process; raises UnreadableItem."""
        place = self._places[item.id]
        content = self._content(place)
        if place.reader == READING:
            return unpacked(content)
        reader = READERS.get(place.reader)
        return reader.read(content, size=size) if reader.sized else reader.read(content)

    def stored(self, item: Item) -> Stored | None:
        """The bytes of the item's file; None where it had none; raises UnreadableItem."""
        place = self._places[item.id]
        if place.reader == READING:
            return None
        return Stored(self._content(place), place.reader, place.suffix)

    def isolated(self, item: Item, size: int | None = None) -> Decoding | None:
        """How the item is decoded in a process of its own; raises UnreadableItem."""
        place = self._places[item.id]
        if place.reader == READING or not (reader := READERS.get(place.reader)).isolated:
            return None
        return reader.decoding(self._content(place), size)

    def damage(self) -> Iterator[Note]:
        """A note for each shard whose SHA-256 is not that of the index; reads all of them."""
        for shard in self.index.shards:
            found = hashlib.sha256()
            for start in range(0, shard.size, BLOCK):
                found.update(self._shelf.part(shard, start, min(start + BLOCK, shard.size)))
            if found.hexdigest() != shard.sha256 or self._shelf.is_longer(shard):
                where = self._shelf.where(shard.name)
                message = f"the shard {where} is damaged: its SHA-256 is not that of {INDEX}"
                yield Note(code="damaged-shard", message=message, advice="copy it again")

    def _table(self, number: int) -> Iterator[tuple[Item, Place]]:
        shard = self.index.shards[number]
        content = self._shelf.whole(shard.table)
        return read_table(content, number, shard, self._shelf.where(shard.table))

    def _content(self, place: Place) -> bytes:
        """The bytes of an item, fetched once more where they are not what was packed.

        Raises:
            UnreadableItem: They are not what was packed.
        """
        shard = self.index.shards[place.shard]
        start, stop = place.offset, place.offset + place.size
        content = self._shelf.part(shard, start, stop)
        if not _is(content, place) and self._shelf.forget(shard, start, stop):
            content = self._shelf.part(shard, start, stop)
        if not _is(content, place):
            where = self._shelf.where(shard.name)
            raise UnreadableItem(f"{where} is damaged: the SHA-256 of this item is another")
        return content


def _is(content: bytes, place: Place) -> bool:
    """Whether some bytes are those that were packed."""
    return hashlib.sha256(content).digest() == place.sha256


def is_shards(data: str) -> bool:
    """Whether a DATA argument names shards: their folder, their index, or an address."""
    if is_url(data):
        return True
    path = Path(data, INDEX) if is_folder(data) else Path(data)
    if path.name != INDEX:
        return False
    try:
        with path.open("rb") as file:
            # Beside tar files an index that does not begin as one is a damaged index.
            return is_index(file.read(64)) or any(path.parent.glob("*.tar"))
    except (OSError, ValueError):
        return False


def open_shards(data: str) -> ShardSource:
    """The shards of a folder, of an index, or behind an address.

    Raises:
        DataError: There is no index, or it is damaged.
        MissingExtraError: An address, and fsspec is not installed.
        MachineError: A server does not answer.
    """
    source = ShardSource(shelf_of(data))
    if not source.listing.items:
        raise DataError(f"{data} holds no items")
    return source


def _open_as(data: str, kind: Kind) -> ShardSource:
    """The shards, which must hold items of a kind."""
    source = open_shards(data)
    if source.kind != kind:
        raise DataError(f"{data} holds {source.kind}s", why=f"{kind}s are wanted")
    return source


LAYOUTS.add(
    "shards",
    Layout(
        "shards that `striate pack` wrote, in a folder or behind an address",
        is_shards,
        open_shards,
        open_as=_open_as,
    ),
)
