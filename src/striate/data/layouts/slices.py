"""One volume in one folder: the files of a DICOM series, or pictures of slices or frames.

DATA/CLASS/ITEM/SLICE, or parts (train, val, test) with that below them. DICOM files are found as they
are; pictures are volumes only where that is said, by `slices:DATA`, for a folder of pictures is a
class of images elsewhere. A manifest may list such folders as well.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import (
    IGNORED_NAMES,
    check_classes,
    display_name,
    existing_path,
    few,
    is_folder,
    unique_ids,
    walk,
    walk_notes,
)
from striate.data.layouts.class_folders import SPLIT_NAMES
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.readers.dicom import SUFFIXES, is_dicom, read_series
from striate.data.readers.image import IMAGE_SUFFIXES, decode_image, os_reason
from striate.data.readers.reader import (
    FOLDER,
    READERS,
    FileReader,
    ReadFiles,
    readers_of,
)
from striate.data.readers.volume import volume_reading
from striate.data.source import Item, Listing, Note, Reading, Source, UnreadableItem
from striate.errors import DataError

PREFIX: Final = "slices:"

LAYOUT: Final = (
    "DATA/CLASS/ITEM/SLICE or DATA/train/CLASS/ITEM/SLICE with DATA/test/CLASS/ITEM/SLICE"
)


def read_slices(folder: Path) -> Reading:
    """The volume in a folder: (1 or 3, slices, height, width).

    Pictures are put in the order of the numbers in their names, so that 10 comes after 9; they are
    read as eight bits a colour, and grey ones become one channel.

    Raises:
        UnreadableItem: no slices; one that cannot be read, or of another size (it is named).
        MissingExtraError: DICOM files without pydicom.
    """
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not _is_ignored(p.name)]
    except OSError as error:
        raise UnreadableItem(os_reason(error)) from error
    series = [path for path in files if is_dicom(path)]
    if series:
        return read_series(series)
    pictures = sorted(
        (path for path in files if path.suffix.lower() in IMAGE_SUFFIXES),
        key=lambda path: _by_numbers(path.name),
    )
    if not pictures:
        raise UnreadableItem("no slices in the folder")
    digest = hashlib.sha256()
    slices: list[NDArray[np.uint8]] = []
    for path in pictures:
        try:
            reading = decode_image(path)
        except UnreadableItem as error:
            raise UnreadableItem(f"{path.name}: {error.reason}") from None
        if slices and reading.array.shape != slices[0].shape:
            sizes = [f"{a.shape[2]} x {a.shape[1]}" for a in (slices[0], reading.array)]
            raise UnreadableItem(f"{path.name} is {sizes[1]}, the slices before it {sizes[0]}")
        slices.append(reading.array)
        digest.update(bytes.fromhex(reading.sha256))
    voxels = np.stack(slices, 1)
    if (voxels[0] == voxels[1]).all() and (voxels[0] == voxels[2]).all():
        voxels = voxels[:1]
    return volume_reading(np.ascontiguousarray(voxels), digest.hexdigest())


def open_slices(data: str | Path) -> Source:
    """The volumes below a folder, each a folder of slices, labelled by the class folder above it.

    Args:
        data: the folder, with or without the prefix `slices:`.

    Raises:
        DataError: no such folder, slices that lie in no folder of their own, fewer than two classes,
            parts with different classes.
    """
    root = existing_path(Path(str(data).removeprefix(PREFIX)))
    if not root.is_dir():
        raise DataError(
            f"{root} is a file", why="a folder is needed", fix=f"the layout is {LAYOUT}"
        )
    found = walk(root, suffixes=frozenset(SUFFIXES) | IMAGE_SUFFIXES | {""})
    folders = sorted({str(PurePosixPath(name).parent) for name in found.files})
    tops = {folder.split("/")[0] for folder in folders}
    parts = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    depth = 2 if parts and set(parts) == tops else 1
    shallow = [folder for folder in folders if len(PurePosixPath(folder).parts) <= depth]
    if shallow or not folders:
        what = f"slices in {few(shallow)}" if shallow else "no slices"
        why = "each volume is a folder of its own in its class's folder" if shallow else ""
        raise DataError(f"{root}: {what}", why=why, fix=f"the layout is {LAYOUT}")
    ids = unique_ids(folders)
    items = tuple(
        Item(
            id=item_id,
            label=display_name(folder.split("/")[depth - 1]),
            split=parts[folder.split("/")[0]] if depth == 2 else None,
        )
        for item_id, folder in zip(ids, folders, strict=True)
    )
    notes: list[Note] = [*walk_notes(found, "slice"), *check_classes(items, str(root))]
    return ReadFiles(
        "volume",
        name=str(data),
        listing=Listing(items=items, skipped=found.skipped, notes=tuple(notes)),
        paths={item_id: root / folder for item_id, folder in zip(ids, folders, strict=True)},
    )


def _holds_series(data: str) -> bool:
    """Whether the first file found below a folder is of DICOM."""
    if not is_folder(data):
        return False
    first = next(_files(Path(data)), None)
    return first is not None and is_dicom(first)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        yield from (Path(folder, name) for name in sorted(names) if not _is_ignored(name))


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them.

    >>> sorted(["s10.png", "s9.png"], key=_by_numbers)
    ['s9.png', 's10.png']
    """
    pieces = re.split(r"(\d+)", name)
    return [(int(piece) if piece.isdecimal() else -1, piece) for piece in pieces]


def _is_slice(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES or is_dicom(path)


def _holds_slices(folder: Path) -> bool:
    """Whether slices lie in the folder itself, and no files that are whole volumes."""
    try:
        files = [p for p in folder.iterdir() if p.is_file() and not _is_ignored(p.name)]
    except OSError:
        return False
    return any(map(_is_slice, files)) and not any(map(readers_of, files))


READERS.add(
    "slices",
    FileReader(kind="volume", suffixes=(FOLDER,), read=read_slices, claims=_holds_slices),
)
SOURCES.add(
    "dicom",
    SourceFormat(
        layout="a folder of DICOM series (DATA/CLASS/SERIES/SLICE)",
        matches=_holds_series,
        open=open_slices,
    ),
)
SOURCES.add(
    "slices",
    SourceFormat(
        layout=f"{PREFIX}DATA, a folder of folders of pictures (DATA/CLASS/ITEM/SLICE)",
        matches=lambda data: data.startswith(PREFIX),
        open=open_slices,
    ),
)
