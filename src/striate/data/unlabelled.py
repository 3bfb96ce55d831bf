"""Things to predict: files, folders of them at any depth, and arrays; labels are not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, is_folder, unique_ids, walk, walk_notes
from striate.data.layouts.array_files import read_npy
from striate.data.layouts.array_kinds import ArrayParts, arrays_source
from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import open_source
from striate.data.readers.image import decode_image
from striate.data.readers.reader import (
    is_item_folder,
    read_file_of_kind,
    readers_of,
    suffixes_of,
    text_source,
)
from striate.data.samples.sample import PREFIX
from striate.data.source import Item, Listing, Note, Reading, Skip, Source
from striate.errors import DataError
from striate.typing import Kind

Input: TypeAlias = str | Path | NDArray[Any]
"""A file, a folder, or an array of one image or of many."""


Origin: TypeAlias = Path | tuple[Source, Item]
"""Where an item comes from: its file, or another source and the item there."""


class Inputs(Source):
    """Items without labels.

    Args:
        kind: of the items.
        listing: the items.
        origins: by the item's id.
    """

    name = "inputs"

    def __init__(self, kind: Kind, listing: Listing, origins: Mapping[str, Origin]) -> None:
        self.kind = kind
        self.listing = listing
        self._origins = origins

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read the item in this process; raises UnreadableItem."""
        origin = self._origins[item.id]
        if isinstance(origin, tuple):
            source, inner = origin
            return source.read(inner, size)
        if self.kind != "image":
            return read_file_of_kind(origin, self.kind)
        reading = decode_image(origin, size=size)
        return replace(reading, notes=tuple(replace(n, ids=(item.id,)) for n in reading.notes))

    def path(self, item: Item) -> Path | None:
        """The item's file; None for an item of an array or a table."""
        origin = self._origins[item.id]
        return origin if isinstance(origin, Path) else None


def open_inputs(inputs: Sequence[Input], kind: Kind = "image", channels: int = 3) -> Inputs:
    """The source of what is to be predicted, in the order given.

    Args:
        inputs: files and folders, .npy files, arrays. Of images see `ArraySource` for shapes and
            ranges; an array of 2 axes, or of 3 with 1 or 3 channels first or last, is one image.
            Of signals and volumes an array is channels first, with or without the axis of items.
            What else `striate fit` takes (tables of molecules, .ts files) gives all its items; a
            text that is no file is a molecule's SMILES.
        kind: of the items.
        channels: of an item, which tells one array from several.

    Raises:
        DataError: no such file or folder; nothing to predict; an array of another kind.
    """
    found = _Found(kind, channels)
    for number, entry in enumerate(inputs):
        if isinstance(entry, np.ndarray):
            found.add_array(entry, f"array {number}")
        else:
            found.add_path(entry)
    if not found.origins and not found.skipped:
        raise DataError("nothing to predict", why=f"no {kind}s in {', '.join(map(str, inputs))}")
    ids = unique_ids(found.names)
    items = tuple(Item(id=item_id) for item_id in ids)
    listing = Listing(items=items, skipped=tuple(found.skipped), notes=tuple(found.notes))
    return Inputs(kind, listing, dict(zip(ids, found.origins, strict=True)))


class _Found:
    """What the inputs hold, as they are gone through."""

    def __init__(self, kind: Kind, channels: int) -> None:
        self.kind, self._channels = kind, channels
        self.names: list[str] = []
        self.origins: list[Origin] = []
        self.skipped: list[Skip] = []
        self.notes: list[Note] = []

    def add_path(self, entry: str | Path) -> None:
        """Append what a file or folder holds."""
        if str(entry).startswith(PREFIX):
            self._add_source(open_source(entry))
            return
        if self.kind == "graph" and not is_folder(entry):
            self._add_source(text_source(self.kind, str(entry)), one=not Path(entry).exists())
            return
        path = existing_path(Path(entry))
        if self.kind == "graph":
            self._add_source(open_source(path))
            return
        if path.is_dir() and not is_item_folder(path, self.kind):
            found = walk(path, suffixes=suffixes_of(self.kind))
            items = [name for name in found.folders if is_item_folder(path / name, self.kind)]
            items = sorted([*found.files, *items])
            self.names += [str(path / name) for name in items]
            self.origins += [path / name for name in items]
            self.skipped += [replace(skip, id=f"{path}/{skip.id}") for skip in found.skipped]
            self.notes += walk_notes(found, self.kind)
        elif path.suffix.lower() == ".npy" and self.kind == "image":
            self.add_array(read_npy(path), str(path))
        elif self.kind != "image" and not readers_of(path) and not path.is_dir():
            self._add_source(open_source(path))
        else:
            self.names.append(str(path))
            self.origins.append(path)

    def add_array(self, array: NDArray[Any], name: str) -> None:
        """Append the items of an array, one or a batch."""
        one = self._is_one(array)
        batch = array[None] if one else array
        source: Source
        if self.kind == "image":
            source = ArraySource(batch, name=name)
        else:
            said = {"kind": np.array(self.kind)}
            source = arrays_source(
                ArrayParts(arrays=batch, labels=None, splits=None, name=name, extras=said)
            )
        self._add_source(source, one=one)

    def _add_source(self, source: Source, *, one: bool = False) -> None:
        """Append the items of another source, of the right kind."""
        if source.kind != self.kind:
            raise DataError(
                f"{source.name} holds {source.kind}s", why=f"the model was trained on {self.kind}s"
            )
        items = source.listing.items
        self.names += [source.name if one else f"{source.name}[{item.id}]" for item in items]
        self.origins += [(source, item) for item in items]
        self.skipped += source.listing.skipped

    def _is_one(self, array: NDArray[Any]) -> bool:
        """Whether an array is one item, not a batch."""
        if self.kind == "image":
            return array.ndim == 2 or (
                array.ndim == 3 and (array.shape[0] in (1, 3) or array.shape[2] in (1, 3))
            )
        rank = 1 if self.kind == "signal" else 3
        several = self._channels > 1
        return array.ndim == rank or (array.ndim == rank + 1 and several)
