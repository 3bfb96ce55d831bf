"""Things to predict: files and folders of them, bytes, images, tensors and arrays, without labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, few, is_folder, unique_ids, walk, walk_notes
from striate.data.layouts.array_files import NPZ, holds_pair, items_of_npz
from striate.data.layouts.arrays import arrays_source
from striate.data.layouts.layout import layout_of, open_source
from striate.data.layouts.manifest import is_manifest, listed_files
from striate.data.layouts.shards import is_shards
from striate.data.readers.content import refusing
from striate.data.readers.npy import read_npy, shape_of
from striate.data.readers.reader import (
    ARRAYS,
    READERS,
    TEXTS,
    FileSource,
    is_item_folder,
    reader_named,
    suffixes_of,
)
from striate.data.samples.sample import PREFIX
from striate.data.source import (
    Decoding,
    Item,
    Listing,
    MemorySource,
    Note,
    Reading,
    Source,
    UnreadableItem,
    load_formats,
)
from striate.errors import DataError
from striate.typing import Kind

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """An array whose first axis is the items, whatever its shape: never taken for one item."""

    array: NDArray[Any] | Tensor


@dataclass(frozen=True)
class Alone:
    """An array that is all that was given, and not one of a list: one item, or several."""

    array: NDArray[Any] | Tensor


@dataclass(frozen=True)
class Text:
    """An item that is written, such as a molecule's SMILES: never taken for the name of a file."""

    text: str


Input: TypeAlias = (
    "str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image | NDArray[Any] | Tensor"
    " | Batch | Alone | Text"
)
"""A file or a folder, the bytes of a file or one that is open, an image, or an array of one item or of
many."""


def several(inputs: Iterable[Input] | Input) -> list[Input]:
    """Inputs as a list, also where there is one alone, or a column of names."""
    if (names := names_in(inputs)) is not None:
        return names
    alone = isinstance(inputs, str | PathLike | Batch | Alone | Text) or is_array(inputs)
    if isinstance(inputs, Iterable) and not alone and not _is_content(inputs):
        return list(cast("Iterable[Input]", inputs))
    return [cast("Input", inputs)]


def names_in(inputs: object) -> list[Input] | None:
    """The names or texts of a column, as of a table of pandas; None where it holds anything else."""
    if not is_array(inputs) or hasattr(inputs, "detach") or hasattr(inputs, "getbands"):
        return None
    array = np.asarray(inputs)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "UTO":
        return None
    names = array.tolist()
    return names if all(isinstance(name, str | PathLike) for name in names) else None


def _is_content(entry: object) -> bool:
    """Whether something is the content of one file, as bytes or as an open file."""
    return isinstance(entry, bytes | bytearray | memoryview) or hasattr(entry, "read")


class Inputs(Source):
    """Items without labels, gathered from other sources.

    Args:
        kind: The kind of the items.
        listing: The items.
        origins: Where each item comes from, by its id: another source and the item there.
    """

    name = "inputs"

    def __init__(
        self, kind: Kind, listing: Listing, origins: Mapping[str, tuple[Source, Item]]
    ) -> None:
        self.kind = kind
        self.listing = listing
        self._origins = origins

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read the item in this process; raises UnreadableItem."""
        source, inner = self._origins[item.id]
        return source.read(inner, size)

    def path(self, item: Item) -> Path | None:
        """The item's file; None for an item of an array or a table."""
        source, inner = self._origins[item.id]
        return source.path(inner)

    def isolated(self, item: Item, size: int | None = None) -> Decoding | None:
        """How the item is decoded in a process of its own; raises UnreadableItem."""
        source, inner = self._origins[item.id]
        return source.isolated(inner, size)


def open_inputs(
    inputs: Iterable[Input],
    kind: Kind = "image",
    channels: int = 3,
    extras: Mapping[str, NDArray[Any]] | None = None,
) -> Inputs:
    """The source of what is to be predicted, in the order given.

    Args:
        inputs: What is to be predicted:

            - paths of files, of folders with files at any depth, and of tables of paths; what else `striate fit` takes
              (tables of molecules, .ts files) gives all its items; a text that is no file is an
              item itself where the kind has such (a molecule's SMILES);
            - bytes, the content of one file (an image, a sound, a volume), or a file that is open;
            - images of Pillow's;
            - NumPy's arrays and PyTorch's tensors, of one item or of several. Of images (2 axes, or
              3 with 1, 3 or `channels` channels first or last, are one) see `ArraySource`; of
              signals and volumes an array is channels first, with or without the axis of items. A
              `Batch` is always several items.
        kind: The kind of the items.
        channels: The number of channels of an item, which tells one array from several.
        extras: What the kind is to know of arrays, by name; see `ArraySource`.

    Raises:
        DataError: There is nothing to predict, or nothing that is given can be: no such file or
            folder, or an array, a source or an object of another kind. Where some of it can, the
            rest are items that cannot be read.
    """
    load_formats()
    found = _Found(kind, channels, extras or {})
    errors: list[DataError] = []
    for number, entry in enumerate(inputs):
        try:
            found.add(entry, number)
        except DataError as error:
            # One of several inputs costs its own answer and no other.
            name = str(entry) if isinstance(entry, str | PathLike) else f"input {number}"
            reason = error.why if error.what.startswith("cannot read") else str(error)
            found.add_unreadable(name, reason)
            errors.append(error)
    if errors and len(errors) == len(found.origins):
        raise errors[0]
    if not found.origins:
        given = ", ".join(map(str, inputs))
        why = f"no {kind}s in {given}" if given else "no inputs were given"
        raise DataError("nothing to predict", why=why)
    ids = unique_ids(found.names)
    items = tuple(Item(id=item_id) for item_id in ids)
    listing = Listing(items=items, notes=tuple(found.notes))
    return Inputs(kind, listing, dict(zip(ids, found.origins, strict=True)))


class _Found:
    """What the inputs hold, as they are gone through."""

    def __init__(self, kind: Kind, channels: int, extras: Mapping[str, NDArray[Any]]) -> None:
        self.kind, self._channels, self._extras = kind, channels, extras
        self.names: list[str] = []
        self.origins: list[tuple[Source, Item]] = []
        self.notes: list[Note] = []
        self._contents: dict[str, object] = {}
        self._files: FileSource | None = None

    def add(self, entry: Input, number: int) -> None:
        """Append the items of an entry; `number` is its position among the inputs."""
        if isinstance(entry, str | PathLike):
            self._add_path(str(entry))
        elif isinstance(entry, Batch):
            self._add_array(as_array(entry.array), f"array {number}", batch=True)
        elif isinstance(entry, Alone):
            self._add_array(as_array(entry.array), f"array {number}", alone=True)
        elif isinstance(entry, Text):
            if self.kind not in TEXTS:
                raise DataError(
                    f"input {number} is a text", why=f"no {self.kind} is written as text"
                )
            self._add_source(TEXTS.get(self.kind)(entry.text, stored=False), one=True)
        elif _is_content(entry):
            self._add_file(f"bytes {number}", _content_of(entry, number))
        elif any(isinstance(entry, reader.objects) for _, reader in READERS.items()):
            self._add_file(f"{self.kind} {number}", entry)
        elif is_array(entry):
            self._add_array(as_array(entry), f"array {number}")
        else:
            raise DataError(
                f"input {number} is of type {type(entry).__name__}",
                fix="give paths, bytes, images, arrays or tensors",
            )

    def _add_path(self, name: str) -> None:
        """Append what a file, a folder, a sample or a text holds."""
        if "://" in name and name.lower().endswith(tuple(suffixes_of())):
            raise DataError(
                f"cannot read {name}",
                why="items are not fetched from addresses, but for those of shards",
                fix="download it first",
            )
        if name.startswith(PREFIX) or is_shards(name):
            self._add_source(open_source(name))
            return
        if self.kind in TEXTS and not is_folder(name):
            stored = os.path.isfile(name)  # noqa: PTH113 - Path.is_file raises on over-long names
            self._add_source(TEXTS.get(self.kind)(name, stored=stored), one=not stored)
            return
        path = existing_path(Path(name))
        if path.is_dir():
            self._add_folder(path)
            return
        if suffixes_of(self.kind) and is_manifest(path):
            for _, file in listed_files(path):
                self._add_file(str(file), file)
            return
        if path.suffix.lower() == NPZ and self.kind in ARRAYS and self._add_npz(path):
            return
        reader = reader_named(path, self.kind)
        arrays = path.suffix.lower() == ".npy" and self.kind in ARRAYS
        claimed = reader is not None and reader.kind == self.kind and reader.claims(path)
        if arrays and not (claimed and not self._is_batch(path)):
            with refusing(path):
                array = read_npy(path)
            self._add_array(array, str(path))
        elif reader is None and layout_of(name) is not None:
            self._add_source(open_source(path))
        else:
            self._add_file(str(path), path)

    def _add_npz(self, path: Path) -> bool:
        """Append the items of arrays as `fit` takes them; False where a reader takes the file for one."""
        reader = reader_named(path)
        if reader is not None and reader.kind == self.kind and not holds_pair(path):
            return False
        with refusing(path):
            for array in items_of_npz(path):
                self._add_source(self._of_array(array, str(path)))
        return True

    def _add_folder(self, path: Path) -> None:
        """Append a folder that is an item, the files and such folders below it, or a data set."""
        if is_item_folder(path, self.kind):
            self._add_file(str(path), path)
            return
        if not suffixes_of(self.kind):
            self._add_source(open_source(path))
            return
        found = walk(path, suffixes_of(self.kind))
        items = [name for name in found.folders if is_item_folder(path / name, self.kind)]
        reasons = {skip.id: skip.reason for skip in found.skipped}
        inside = tuple(f"{name}/" for name in items)
        files = [name for name in found.files if not name.startswith(inside)]
        for name in sorted({*files, *items, *reasons}):
            if name in reasons:
                self.add_unreadable(f"{path}/{name}", reasons[name])
            else:
                self._add_file(str(path / name), path / name)
        self.notes += walk_notes(found, self.kind)

    def _add_file(self, name: str, content: object) -> None:
        """Append a file, by its path or its bytes, or an object that a reader takes."""
        item = Item(id=str(len(self._contents)))
        self._contents[item.id] = content
        if self._files is None:
            self._files = FileSource(self.kind, name, Listing(items=()), self._contents)
        self.names.append(name)
        self.origins.append((self._files, item))

    def _is_batch(self, path: Path) -> bool:
        """Whether a file that a reader claims for one item holds several for this network."""
        return ARRAYS.get(self.kind).is_batch(shape_of(path) or (), self._channels)

    def _add_array(
        self, array: NDArray[Any], name: str, *, batch: bool = False, alone: bool = False
    ) -> None:
        """Append the items of an array, one or a batch; `alone` where it is all that is given."""
        kind, axes = ARRAYS.get(self.kind), str(self._extras.get("axes", ""))
        if axes and kind.is_item_as:
            one = not batch and kind.is_item_as(array.shape, self._channels, axes)
        else:
            one = not batch and kind.is_item(array.shape, self._channels)
        if not batch and not axes and kind.is_ambiguous(array.shape, self._channels, alone):
            count, rest = array.shape[0], ", ".join(map(str, array.shape[1:]))
            raise DataError(
                f"{name} of the shape {array.shape} may be one {self.kind} of {count} channels, or "
                f"{count} {self.kind}s",
                fix=f"give it as (1, {count}, {rest}) or as ({count}, 1, {rest})",
            )
        self._add_source(self._of_array(array[None] if one else array, name), one=one)

    def _of_array(self, array: NDArray[Any], name: str) -> Source:
        """The source of an array whose first axis is the items."""
        extras = {**self._extras, "kind": np.array(self.kind), "unlabelled": np.array(True)}
        return arrays_source(array, None, name=name, extras=extras)

    def _add_source(self, source: Source, *, one: bool = False) -> None:
        """Append the items of another source, of the right kind."""
        if source.kind != self.kind:
            raise DataError(
                f"{source.name} holds {source.kind}s", why=f"the model was trained on {self.kind}s"
            )
        items = source.listing.items
        self.names += [source.name if one else f"{source.name}[{item.id}]" for item in items]
        self.origins += [(source, item) for item in items]
        for skip in source.listing.skipped:
            self.add_unreadable(f"{source.name}[{skip.id}]", skip.reason)

    def add_unreadable(self, name: str, reason: str) -> None:
        """Append an item that is known to be unreadable, so that it has a place and a reason."""

        def read(item: Item) -> Reading:
            raise UnreadableItem(reason)

        item = Item(id="0")
        self.names.append(name)
        self.origins.append((MemorySource(self.kind, name, Listing(items=(item,)), read), item))


def _content_of(entry: Any, number: int) -> bytes:
    """The content of a file; an open one is read to its end."""
    content = entry.read() if hasattr(entry, "read") else entry
    if isinstance(content, str):
        raise DataError(
            f"input {number} is a file that was opened as text", fix='open it with "rb"'
        )
    return bytes(content)


def as_array(entry: Any) -> NDArray[Any]:
    """An array, or a tensor on any device and of any type, as NumPy's."""
    if hasattr(entry, "columns") and np.asarray(entry).dtype.kind not in "buif":
        raise DataError(
            f"a table with the columns {few([*map(str, entry.columns)])}",
            fix='give one of its columns, as table["path"]',
        )
    if hasattr(entry, "detach"):
        entry = entry.detach().cpu()
        # NumPy has no bfloat16.
        entry = entry.float() if entry.is_floating_point() and entry.element_size() < 4 else entry
    return np.asarray(entry)


def is_array(entry: object) -> bool:
    """Whether something is an array or a tensor, or gives itself as one."""
    return hasattr(entry, "__array__") or hasattr(entry, "__array_interface__")
