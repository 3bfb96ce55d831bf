"""Which files hold items of which kind, and how each is read: one place for every layout.

A new kind of file is one `READERS.add(...)` in a file of this folder; folders of class folders and
manifests then take it. Images have their own way (`ImageFiles`) and are asked for first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from striate.data.folder_walk import is_folder
from striate.data.formats import load_formats
from striate.data.layouts.image_files import ImageFiles
from striate.data.readers.image import IMAGE_SUFFIXES
from striate.data.source import Item, Listing, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.registry import Registry
from striate.typing import Kind


def _any_file(path: Path) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class FileReader:
    """How files of some suffixes become readings.

    Attributes:
        kind: what such a file holds.
        suffixes: ends of the file's name, in lower case (".wav", ".nii.gz").
        read: the file's content; raises UnreadableItem with a reason to skip.
        claims: whether a file of such a suffix is this reader's; looks at no more than the file's
            head, and is False for a file that cannot be read. Only asked where several readers
            share a suffix (".npy" may hold a series or a volume), and of folders.
    """

    kind: Kind
    suffixes: tuple[str, ...]
    read: Callable[[Path], Reading]
    claims: Callable[[Path], bool] = _any_file


READERS: Registry[FileReader] = Registry("kind of file")

FOLDER: Final = "/"
"""The suffix of a folder that is one item (the slices of a volume)."""


def readers_of(path: Path) -> list[FileReader]:
    """The readers of a file's suffix, in the order of registration."""
    load_formats()
    name = _full_name(path)
    return [reader for _, reader in READERS.items() if name.endswith(reader.suffixes)]


def reader_of(path: Path) -> FileReader:
    """The reader of a file.

    Raises:
        UnreadableItem: no reader knows the suffix.
    """
    readers = readers_of(path)
    if not readers:
        raise UnreadableItem(f"files named *{path.suffix.lower() or path.name} are not read")
    if len(readers) == 1:
        return readers[0]
    return next((reader for reader in readers if reader.claims(path)), readers[0])


def suffixes_of(kind: Kind) -> frozenset[str]:
    """Ends of the names of files that hold items of a kind, in lower case."""
    if kind == "image":
        return IMAGE_SUFFIXES
    load_formats()
    return frozenset(
        s for _, reader in READERS.items() if reader.kind == kind for s in reader.suffixes
    )


def kind_of_files(paths: Iterable[Path]) -> Kind:
    """What most of the files hold; images where no reader knows any of them.

    Of files with one and the same suffix the first decides for all, so that few are opened.
    """
    by_suffix: Counter[str] = Counter()
    first: dict[str, Path] = {}
    for path in paths:
        name = _full_name(path)
        suffix = next((s for s in _all_suffixes() if name.endswith(s)), path.suffix.lower())
        by_suffix[suffix] += 1
        first.setdefault(suffix, path)
    kinds: Counter[Kind] = Counter()
    for suffix, count in by_suffix.items():
        if suffix in IMAGE_SUFFIXES:
            kinds["image"] += count
        elif readers_of(first[suffix]):
            kinds[reader_of(first[suffix]).kind] += count
    return max(kinds, key=lambda kind: (kinds[kind], kind == "image"), default="image")


def _full_name(path: Path) -> str:
    """The file's name in lower case; a folder's ends with `FOLDER`."""
    return path.name.lower() + (FOLDER if is_folder(path) else "")


def _all_suffixes() -> list[str]:
    """Every reader's suffixes, the longest first."""
    load_formats()
    found = {suffix for _, reader in READERS.items() for suffix in reader.suffixes}
    return sorted(found, key=lambda suffix: (-len(suffix), suffix))


def read_file_of_kind(path: Path, kind: Kind) -> Reading:
    """Read a file as an item of a kind.

    Raises:
        UnreadableItem: it cannot be read, or holds an item of another kind.
    """
    reader = next((r for r in readers_of(path) if r.kind == kind and r.claims(path)), None)
    if reader is None:
        reader = reader_of(path)
    if reader.kind != kind:
        raise UnreadableItem(f"a {reader.kind} among {kind}s")
    return reader.read(path)


TEXTS: Registry[Callable[[str], Source]] = Registry("kind of items that are written as text")
"""By the kind's name, the source of one item that is given as a text (a molecule's SMILES)."""


def text_source(kind: Kind, text: str) -> Source:
    """The source of one item that is given as a text.

    Raises:
        DataError: the text is no such item.
    """
    load_formats()
    return TEXTS.get(kind)(text)


def is_item_folder(path: Path, kind: Kind) -> bool:
    """Whether a folder is one item of a kind: slices of a volume, frames of a clip."""
    return any(reader.kind == kind and reader.claims(path) for reader in folder_readers())


def folder_readers() -> list[FileReader]:
    """Readers of items that are folders."""
    load_formats()
    return [reader for _, reader in READERS.items() if FOLDER in reader.suffixes]


class ReadFiles(Source):
    """Items of one kind other than images, each in a file of its own.

    Args:
        kind: of the items.
        name: for messages and the run folder.
        listing: the items.
        paths: the file of each item, by the item's id.
    """

    def __init__(self, kind: Kind, name: str, listing: Listing, paths: Mapping[str, Path]) -> None:
        self.kind = kind
        self.name = name
        self.listing = listing
        self._paths = paths

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Read the item's file; raises UnreadableItem, also for a file of another kind."""
        reading = read_file_of_kind(self._paths[item.id], self.kind)
        return replace(reading, notes=tuple(replace(n, ids=(item.id,)) for n in reading.notes))

    def path(self, item: Item) -> Path:
        """The item's file."""
        return self._paths[item.id]


def files_source(kind: Kind, name: str, listing: Listing, paths: Mapping[str, Path]) -> Source:
    """The source of items that are files of one kind.

    Raises:
        DataError: no reader of that kind (graphs are tables, not files).
    """
    if kind == "image":
        return ImageFiles(name=name, listing=listing, paths=paths)
    if not suffixes_of(kind):
        raise DataError(f"{name} lists files", why=f"a {kind} is not a file of its own")
    return ReadFiles(kind, name, listing, paths)
