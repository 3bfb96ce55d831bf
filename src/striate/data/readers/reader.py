"""What files, arrays and texts hold items of which kind, and how each is read.

A new file format is one `READERS.add(...)` in a file of this folder: folders of class folders,
manifests and predictions then take it. A new kind of arrays is one `ARRAYS.add(...)`, and what is
written rather than stored (a molecule's SMILES) is one `TEXTS.add(...)`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import is_folder
from striate.data.source import (
    Decoding,
    FileContent,
    ForeignItem,
    Item,
    Listing,
    Reading,
    Source,
    Stored,
    load_formats,
)
from striate.errors import DataError
from striate.registry import Registry
from striate.typing import Kind

FOLDER: Final = "/"
"""The suffix of a folder that is one item (the slices of a volume)."""


@dataclass(frozen=True)
class FileReader:
    """How files of some formats become readings.

    Attributes:
        kind: The kind of items in such files.
        suffixes: The ends of their names, in lower case (".wav", ".nii.gz").
        read: Reads a file, given by its path or its bytes; raises UnreadableItem with a reason to
            skip it.
        claims: Whether the head of a file (or what lies in a folder) is of these formats. Asked
            where several readers share a suffix (".npy" may hold a signal or a volume), of
            folders, and of bytes, which have no name. False for what cannot be read.
        sized: Whether `read` takes the keyword `size`, the shorter side wanted in pixels.
        isolated: Whether files are read in processes of their own, for a broken one may hang or
            crash the decoder; otherwise they are read by threads of this process.
        plain: Whether a file is so plain that a reader of isolated files reads it in this process.
        patience: In a process of its own a file may take so many times as long as one picture.
        last: Whether it is only asked after the others, for it claims what they claim as well.
        any_name: Whether files whose suffix no reader knows are these, told by their content.
        objects: Types of objects in memory that `read` takes as well.
    """

    kind: Kind
    suffixes: tuple[str, ...]
    read: Callable[..., Reading]
    claims: Callable[[FileContent], bool]
    sized: bool = False
    isolated: bool = False
    plain: Callable[[FileContent], bool] = lambda data: False
    patience: float = 1.0
    last: bool = False
    any_name: bool = False
    objects: tuple[type, ...] = ()

    def decoding(self, content: FileContent, size: int | None) -> Decoding | None:
        """How a file is decoded in a process of its own; None for one that is read in this one.

        Args:
            content: The file.
            size: The shorter side wanted, in pixels, for readers that use it.
        """
        if not self.isolated or self.plain(content):
            return None
        return Decoding(self.read, content, size if self.sized else None, self.patience)


@dataclass(frozen=True)
class ArrayKind:
    """How items of one kind lie in an array.

    Attributes:
        claims: Whether an array of this shape and type, its first axis the items, is of this kind.
        is_item: Whether an array of this shape is one item rather than several, where a network
            takes so many channels.
        reader: Checks the array of all items, or a sequence of one array each, with the further
            arrays that came with it ("sample_rate", "spacing"; "unlabelled" where they are to be
            predicted, so that each has an answer) and the data's name, and returns
            how the item at a position is read; raises DataError for what is not of this kind.
        last: Whether the kind is only asked after the others, for it claims what they claim.
        is_batch: Whether a file with an array of this shape, which a reader of the kind claims for
            one item, holds several where a network takes so many channels.
        decide: What the axes and values of an array mean, by name and fit for JSON, from the same
            arguments as `reader`, which is given what was decided among the further arrays.
        is_item_as: The same as `is_item` where the axes of an item of the arrays trained on are known
            ("HW"), the last argument.
        is_ambiguous: Whether an array of this shape may be one item and may be several, where a
            network takes so many channels; the last argument says whether it is all that was
            given, and not one of a list.
        doubt: What an array of this shape and type may be instead, where it is likely something else
            than its axes suggest; empty where it is not.
    """

    claims: Callable[[tuple[int, ...], np.dtype[Any]], bool]
    is_item: Callable[[tuple[int, ...], int], bool]
    reader: Callable[[Arrays, Mapping[str, NDArray[Any]], str], Callable[[int], Reading]]
    last: bool = False
    is_batch: Callable[[tuple[int, ...], int], bool] = lambda shape, channels: False
    decide: Callable[[Arrays, Mapping[str, NDArray[Any]], str], dict[str, Any]] = (
        lambda arrays, extras, name: {}
    )
    is_item_as: Callable[[tuple[int, ...], int, str], bool] | None = None
    is_ambiguous: Callable[[tuple[int, ...], int, bool], bool] = lambda shape, channels, alone: (
        False
    )
    doubt: Callable[[tuple[int, ...], np.dtype[Any]], str] = lambda shape, dtype: ""


Arrays = NDArray[Any] | Sequence[NDArray[Any]]
"""Items in one array, the first axis the items, or an array each."""

READERS: Registry[FileReader] = Registry("file format")

ARRAYS: Registry[ArrayKind] = Registry("kind of array")
"""Kinds of items that come in arrays, by the kind's name."""

TEXTS: Registry[Callable[..., Source]] = Registry("kind of items that are written as text")
"""By the kind's name, the source of items that a text gives (a molecule's SMILES), from the text and
whether it is the name of a file (`stored`)."""


def stored_item(arrays: Arrays, index: int) -> tuple[NDArray[Any], str]:
    """The array of one item, contiguous in memory, and the SHA-256 of its bytes."""
    array = np.ascontiguousarray(arrays[index])
    return array, hashlib.sha256(array.data if array.size else b"").hexdigest()


def reader_named(path: Path, kind: Kind | None = None) -> FileReader | None:
    """The reader of a file or folder by its suffix; None where no reader knows that.

    Where several do, the head decides; one of the kind is asked first.
    """
    readers = _by_name(path)
    if len(readers) > 1:
        readers.sort(key=lambda reader: (reader.kind != kind, reader.last))
        readers = [reader for reader in readers if reader.claims(path)] or readers
    return readers[0] if readers else None


def reader_of(content: object, kind: Kind, *, named: bool = False) -> FileReader:
    """The reader of an item of a kind.

    Args:
        content: A path, the bytes of a file, or an object that a reader takes.
        kind: The kind that the item is to be of.
        named: Whether the user named the kind: a reader of it that knows the file's suffix then
            reads the file, also where the content looks like another kind.

    Raises:
        UnreadableItem: No reader knows it, or it holds an item of another kind.
    """
    if named and isinstance(content, Path):
        of_kind = [reader for reader in _by_name(content) if reader.kind == kind]
        if of_kind:
            return next((r for r in of_kind if r.claims(content)), of_kind[0])
    if isinstance(content, Path):
        reader = reader_named(content, kind) or _reader_by_head(content, kind)
        unknown = f"files named *{content.suffix.lower() or content.name} are not read"
    elif isinstance(content, bytes):
        reader = _reader_by_head(content, kind)
        unknown = f"the bytes of no file that holds {_a(kind)}"
    else:
        reader = next((r for r in _readers() if isinstance(content, r.objects)), None)
        unknown = f"an object of type {type(content).__name__} is no {kind}"
    if reader is None:
        raise ForeignItem(unknown)
    if reader.kind != kind:
        raise ForeignItem(f"{_a(reader.kind)} among {kind}s")
    return reader


def _by_name(path: Path) -> list[FileReader]:
    """The readers of files, or of folders, that are named so."""
    name = path.name.lower() + (FOLDER if is_folder(path) else "")
    return [reader for reader in _readers() if name.endswith(reader.suffixes)]


def _reader_by_head(content: FileContent, kind: Kind) -> FileReader | None:
    """The reader that knows a file by its head; of a path only those of files of any name are asked.

    One of the kind itself that takes files of any name reads what no other of the kind knows, to
    say what is wrong with it.
    """
    asked = [
        reader
        for reader in _readers()
        if FOLDER not in reader.suffixes and (reader.any_name or isinstance(content, bytes))
    ]
    own = [reader for reader in asked if reader.kind == kind]
    claiming = [reader for reader in (*own, *asked) if reader.claims(content)]
    last = [reader for reader in own if reader.any_name]
    if claiming and (claiming[0].kind == kind or not last):
        return claiming[0]
    return last[0] if last else None


def suffixes_of(kind: Kind | None = None) -> frozenset[str]:
    """The ends of the names of files that hold items of a kind, or of any, in lower case."""
    return frozenset(
        suffix for r in _readers() if kind is None or r.kind == kind for suffix in r.suffixes
    )


def kind_of_files(paths: Iterable[str | Path]) -> Kind:
    """What most of the files hold; where no reader knows any, what files of any name may hold.

    Of files with one and the same suffix the first decides for all, so that few are opened.
    """
    suffixes = sorted(suffixes_of(), key=lambda suffix: (-len(suffix), suffix))
    plain = set(suffixes) - {
        _last_part(suffix) for suffix in suffixes if _last_part(suffix) != suffix
    }
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for given in paths:
        path = os.fspath(given)
        name = os.path.basename(path).lower()  # noqa: PTH119 - there may be millions
        suffix = _last_part(name)
        if suffix not in plain:
            known = next((s for s in suffixes if name.endswith(s)), "")
            suffix = known or (FOLDER if is_folder(path) else suffix)
        counts[suffix] += 1
        first.setdefault(suffix, path)
    kinds: Counter[Kind] = Counter()
    for suffix, count in counts.items():
        reader = reader_named(Path(first[suffix]))
        if reader is not None:
            kinds[reader.kind] += count
    if not kinds:
        return next(reader.kind for reader in _readers() if reader.any_name)
    return min(kinds, key=lambda kind: (-kinds[kind], kind))


def _last_part(name: str) -> str:
    """The end of a name from its last dot on; empty without one."""
    return name[name.rfind(".") :] if "." in name else ""


def is_item_folder(path: Path, kind: Kind) -> bool:
    """Whether a folder is one item of a kind: the slices of a volume, the frames of a clip."""
    return any(
        reader.kind == kind and FOLDER in reader.suffixes and reader.claims(path)
        for reader in _readers()
    )


class Contents(Protocol):
    """What items are read from, by their ids: a dictionary, or what makes paths when asked."""

    def __getitem__(self, item_id: str, /) -> object: ...


class FileSource(Source):
    """Items of one kind, each in a file of its own.

    Args:
        kind: The kind of the items.
        name: The data's name in messages and in the run folder.
        listing: The items.
        contents: The file of each item by the item's id: its path, its bytes, or an object that a
            reader of the kind takes.
        named: Whether the user named the kind (see `reader_of`).

    Raises:
        DataError: Items of this kind do not come in files (nodes are rows of a table).
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        listing: Listing,
        contents: Contents,
        *,
        named: bool = False,
    ) -> None:
        if not suffixes_of(kind):
            raise DataError(f"{name} lists files", why=f"{_a(kind)} is not a file of its own")
        self.kind = kind
        self.name = name
        self.listing = listing
        self._contents = contents
        self._named = named

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read the item's file; raises UnreadableItem, also for a file of another kind."""
        content = self._contents[item.id]
        reader = reader_of(content, self.kind, named=self._named)
        return reader.read(content, size=size) if reader.sized else reader.read(content)

    def path(self, item: Item) -> Path | None:
        """The item's file; None where it is in memory."""
        content = self._contents[item.id]
        return content if isinstance(content, Path) else None

    def stored(self, item: Item) -> Stored | None:
        """The item's file; None for a folder of files, and for an object; raises UnreadableItem."""
        content = self._contents[item.id]
        if not isinstance(content, Path | bytes) or (
            isinstance(content, Path) and is_folder(content)
        ):
            return None
        reader = reader_of(content, self.kind, named=self._named)
        named = next(name for name, known in READERS.items() if known is reader)
        return Stored(content, named, _suffix_of(content, reader))

    def isolated(self, item: Item, size: int | None = None) -> Decoding | None:
        """How the item's file is decoded in a process of its own; raises UnreadableItem."""
        content = self._contents[item.id]
        if not isinstance(content, Path | bytes):
            return None
        reader = reader_of(content, self.kind, named=self._named)
        return reader.decoding(content, size)


def _suffix_of(content: FileContent, reader: FileReader) -> str:
    """The end of a file's name that its reader knows, or its suffix; empty for bytes."""
    if isinstance(content, bytes):
        return ""
    known = sorted(reader.suffixes, key=len, reverse=True)
    found = next((suffix for suffix in known if content.name.lower().endswith(suffix)), "")
    return found or content.suffix.lower()


def _readers() -> list[FileReader]:
    load_formats()
    return [reader for _, reader in READERS.items()]


def _a(kind: Kind) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
