"""Images that are files: the source behind folders, manifests and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from striate.data.readers.image import decode_image
from striate.data.source import Item, Listing, Reading, Source


class ImageFiles(Source):
    """Images, each in a file of its own.

    Args:
        name: for messages and the run folder.
        listing: the items.
        paths: the file of each item, by the item's id.
    """

    kind = "image"

    def __init__(self, name: str, listing: Listing, paths: Mapping[str, Path]) -> None:
        self.name = name
        self.listing = listing
        self._paths = paths

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Decode the item's file in this process; raises UnreadableItem."""
        reading = decode_image(self._paths[item.id], size=size)
        return replace(reading, notes=tuple(replace(n, ids=(item.id,)) for n in reading.notes))

    def path(self, item: Item) -> Path:
        """The item's file."""
        return self._paths[item.id]
