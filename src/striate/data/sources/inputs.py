"""Things to predict: image files, folders of them at any depth, and arrays; none has a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.data.decode import decode_image
from striate.data.scan import existing_path, unique_ids, walk, walk_notes
from striate.data.source import Item, Listing, Note, Reading, Skip, Source
from striate.data.sources.array_files import read_npy
from striate.data.sources.arrays import ArraySource
from striate.errors import DataError

Input: TypeAlias = str | Path | NDArray[Any]
"""A file, a folder, or an array of one image or of many."""


class Inputs(Source):
    """Items without labels, each a file or one image of an array.

    Args:
        listing: the items.
        origins: by the item's id, its file, or its array and the item there.
    """

    kind = "image"
    name = "inputs"

    def __init__(
        self, listing: Listing, origins: Mapping[str, Path | tuple[ArraySource, Item]]
    ) -> None:
        self.listing = listing
        self._origins = origins

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Decode the item in this process; raises UnreadableItem."""
        origin = self._origins[item.id]
        if isinstance(origin, tuple):
            array_source, array_item = origin
            return array_source.read(array_item, size)
        reading = decode_image(origin, size=size)
        return replace(reading, notes=tuple(replace(n, ids=(item.id,)) for n in reading.notes))

    def path(self, item: Item) -> Path | None:
        """The item's file; None for an image of an array."""
        origin = self._origins[item.id]
        return origin if isinstance(origin, Path) else None


def open_inputs(inputs: Sequence[Input]) -> Inputs:
    """The source of what is to be predicted, in the order given.

    Args:
        inputs: files and folders, .npy files, arrays (see `ArraySource` for shapes and ranges; an
            array of 2 axes, or of 3 with 1 or 3 channels first or last, is one image).

    Raises:
        DataError: no such file or folder; nothing to predict; an array that is no image.
    """
    names: list[str] = []
    origins: list[Path | tuple[ArraySource, Item]] = []
    skipped: list[Skip] = []
    notes: list[Note] = []
    for number, entry in enumerate(inputs):
        if isinstance(entry, np.ndarray):
            _add_array(entry, f"array {number}", names, origins)
            continue
        path = existing_path(Path(entry))
        if path.is_dir():
            found = walk(path)
            names += [str(path / name) for name in found.files]
            origins += [path / name for name in found.files]
            skipped += [replace(skip, id=f"{path}/{skip.id}") for skip in found.skipped]
            notes += walk_notes(found)
        elif path.suffix.lower() == ".npy":
            _add_array(read_npy(path), str(path), names, origins)
        else:
            names.append(str(path))
            origins.append(path)
    if not origins and not skipped:
        raise DataError("nothing to predict", why=f"no images in {', '.join(map(str, inputs))}")
    ids = unique_ids(names)
    items = tuple(Item(id=item_id) for item_id in ids)
    listing = Listing(items=items, skipped=tuple(skipped), notes=tuple(notes))
    return Inputs(listing, dict(zip(ids, origins, strict=True)))


def _add_array(
    array: NDArray[Any],
    name: str,
    names: list[str],
    origins: list[Path | tuple[ArraySource, Item]],
) -> None:
    """Append the images of an array, one image or a batch."""
    one = array.ndim == 2 or (
        array.ndim == 3 and (array.shape[0] in (1, 3) or array.shape[2] in (1, 3))
    )
    source = ArraySource(array[None] if one else array, name=name)
    names += [name] if one else [f"{name}[{item.id}]" for item in source.listing.items]
    origins += [(source, item) for item in source.listing.items]
