"""One volume in one folder: the files of a DICOM series, or pictures of slices or frames.

DATA/CLASS/ITEM/SLICE, or splits (train, val, test) with that below them. DICOM files are found as they
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

from striate.data.folder_walk import IGNORED_NAMES, class_notes, few, is_folder, walk, walk_notes
from striate.data.layouts.class_folders import data_folder, folder_items, is_placed, split_folders
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers.dicom import SUFFIXES, is_dicom, read_series
from striate.data.readers.image import IMAGE_SUFFIXES, decode_image
from striate.data.readers.reader import FOLDER, READERS, FileReader, FileSource, reader_named
from striate.data.readers.volume import volume_reading
from striate.data.source import FileContent, Listing, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.files import os_reason

PREFIX: Final = "slices:"

LAYOUT: Final = (
    "DATA/CLASS/ITEM/SLICE or DATA/train/CLASS/ITEM/SLICE with DATA/test/CLASS/ITEM/SLICE"
)


def read_slices(folder: Path) -> Reading:
    """The volume in a folder: (1 or 3, slices, height, width).

    Pictures are put in the order of the numbers in their names, so that 10 comes after 9; they are
    read as eight bits a colour, and grey ones become one channel.

    Raises:
        UnreadableItem: There are no slices, or one cannot be read or is of another size (it is
            named).
        MissingExtraError: There are DICOM files, and pydicom is not installed.
    """
    try:
        files = _files_in(folder)
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
        data: The folder, with or without the prefix `slices:`.

    Raises:
        DataError: There is no such folder, slices lie in no folder of their own, there are fewer
            than two classes, or splits with different classes.
    """
    root = data_folder(str(data).removeprefix(PREFIX), LAYOUT)
    found = walk(root, frozenset(SUFFIXES) | IMAGE_SUFFIXES | {""})
    folders = sorted({str(PurePosixPath(name).parent) for name in found.files})
    splits = split_folders(folder.split("/")[0] for folder in folders)
    shallow = [folder for folder in folders if not is_placed(folder, splits)]
    if shallow or not folders:
        what = f"slices in {few(shallow)}" if shallow else "no slices"
        why = "each volume is a folder of its own in its class's folder" if shallow else ""
        raise DataError(f"{root}: {what}", why=why, fix=f"the layout is {LAYOUT}")
    items = folder_items(folders, splits)
    notes = [*walk_notes(found, "slice"), *class_notes(items)]
    return FileSource(
        "volume",
        name=str(data),
        listing=Listing(items=items, skipped=tuple(found.skipped), notes=tuple(notes)),
        contents={item.id: root / folder for item, folder in zip(items, folders, strict=True)},
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


def _files_in(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.is_file() and not _is_ignored(path.name)}


def _holds_slices(folder: FileContent) -> bool:
    """Whether slices lie in the folder itself, and no files that are items of their own."""
    if isinstance(folder, bytes):
        return False
    try:
        files = _files_in(folder)
    except OSError:
        return False
    slices = set(filter(_is_slice, files))
    return bool(slices) and not any(map(reader_named, files - slices))


READERS.add("slices", FileReader("volume", (FOLDER,), read_slices, _holds_slices))
LAYOUTS.add(
    "dicom",
    Layout("a folder of DICOM series (DATA/CLASS/SERIES/SLICE)", _holds_series, open_slices),
)
LAYOUTS.add(
    "slices",
    Layout(
        f"{PREFIX}DATA, a folder of folders of pictures (DATA/CLASS/ITEM/SLICE)",
        lambda data: data.startswith(PREFIX),
        open_slices,
    ),
)
