"""One volume in one folder: the files of a DICOM series, or pictures of slices or frames.

DATA/CLASS/ITEM/SLICE, or splits (train, val, test) with that below them. DICOM files are found as they
are, those that lie in their class's folder as items of their own; pictures are volumes only where that is said, by `slices:DATA`, for a folder of pictures is a
class of images elsewhere. A manifest may list such folders as well.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import (
    IGNORED_NAMES,
    FilesBelow,
    class_notes,
    few,
    is_folder,
    walk,
    walk_notes,
)
from striate.data.layouts.arrangement import arrangement_of
from striate.data.layouts.class_folders import data_folder
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import natural_key
from striate.data.readers.dicom import PATIENCE, has_frames, is_dicom, read_series
from striate.data.readers.image import decode_image
from striate.data.readers.image_formats import IMAGE_SUFFIXES
from striate.data.readers.reader import FOLDER, READERS, FileReader, FileSource, reader_named
from striate.data.readers.volume import volume_reading
from striate.data.source import FileContent, Listing, Note, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.files import os_reason
from striate.typing import Kind

PREFIX: Final = "slices:"

_NUM_LOOKED_AT: Final = 20

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
        key=lambda path: natural_key(path.name),
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
    message = "slices are in the natural order of their names, so that 10 comes after 9"
    note = Note(code="slice-order", message=message, severity="info")
    return volume_reading(np.ascontiguousarray(voxels), digest.hexdigest(), notes=(note,))


def open_slices(data: str | Path) -> Source:
    """The volumes below a folder, each a folder of slices, labelled by the class folder above it.

    Args:
        data: The folder, with or without the prefix `slices:`.

    Raises:
        DataError: There is no such folder, slices lie in no folder of their own, there are fewer
            than two classes, or splits with different classes.
    """
    root = data_folder(str(data).removeprefix(PREFIX), LAYOUT)
    found = walk(root, IMAGE_SUFFIXES | {""})
    folders = sorted({str(PurePosixPath(name).parent) for name in found.files})
    arrangement = arrangement_of(folders, where=root)
    shallow = [folder for folder in folders if arrangement.place(folder) is None]
    if shallow or not folders:
        what = f"slices in {few(shallow)}" if shallow else "no slices"
        why = "each volume is a folder of its own in its class's folder" if shallow else ""
        raise DataError(f"{root}: {what}", why=why, fix=f"the layout is {LAYOUT}")
    items = arrangement.items(folders)
    notes = [
        *arrangement.notes(),
        *walk_notes(found, "slice"),
        *class_notes(item.label for item in items),
    ]
    return FileSource(
        "volume",
        name=str(data),
        listing=Listing(items=items, skipped=tuple(found.skipped), notes=tuple(notes)),
        contents=FilesBelow(root, (item.id for item in items), folders),
    )


def open_dicom(data: str | Path) -> Source:
    """The DICOM files below a folder: each an item where they lie in their class's folder.

    A file of one frame is an image and one of several frames a volume, as the first file is. Where
    files lie in folders of their own below the class, each such folder is a volume.

    Raises:
        DataError: There is no such folder, files lie at different depths, there are fewer than two
            classes, or splits with different classes.
    """
    root = data_folder(data, LAYOUT)
    found = walk(root, frozenset({""}))
    names = [name for name in found.files if is_dicom(root / name)]
    arrangement = arrangement_of(names, where=root)
    places = [arrangement.place(name) for name in names]
    if any(place is None or "/" in place.below for place in places):
        return open_slices(data)
    items = arrangement.items(names)
    others = Counter(PurePosixPath(name).suffix.lower() for name in set(found.files) - set(names))
    found.other_suffixes.update({suffix or "no suffix": n for suffix, n in others.items()})
    kind: Kind = "volume" if has_frames(root / names[0]) else "image"
    notes = [
        *arrangement.notes(),
        *walk_notes(found, kind),
        *class_notes(item.label for item in items),
    ]
    return FileSource(
        kind,
        name=str(data),
        listing=Listing(items=items, skipped=tuple(found.skipped), notes=tuple(notes)),
        contents=FilesBelow(root, (item.id for item in items), names),
    )


def _holds_dicom(data: str) -> bool:
    """Whether most of the first files found in the folders below a folder are of DICOM."""
    if not is_folder(data):
        return False
    first = [is_dicom(path) for path in islice(_files(Path(data)), _NUM_LOOKED_AT)]
    return sum(first) > len(first) / 2


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        if Path(folder) != root:
            yield from (Path(folder, name) for name in sorted(names) if not _is_ignored(name))


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


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
    if len(slices) > 1 and has_frames(min(slices)):  # each is a volume of its own
        return False
    return bool(slices) and not any(map(reader_named, files - slices))


READERS.add(
    "slices",
    FileReader("volume", (FOLDER,), read_slices, _holds_slices, isolated=True, patience=PATIENCE),
)
LAYOUTS.add(
    "dicom",
    Layout(
        "a folder of DICOM files (DATA/CLASS/IMAGE) or series (DATA/CLASS/SERIES/SLICE)",
        _holds_dicom,
        open_dicom,
    ),
)
LAYOUTS.add(
    "slices",
    Layout(
        f"{PREFIX}DATA, a folder of folders of pictures (DATA/CLASS/ITEM/SLICE)",
        lambda data: data.startswith(PREFIX),
        open_slices,
    ),
)
