"""Arrays in files: an .npz with X and y, or a pair of .npy files. Pickle is never read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, is_folder
from striate.data.layouts.array_kinds import ArrayParts, arrays_source
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.readers.image import os_reason
from striate.data.source import Source
from striate.errors import DataError
from striate.typing import SplitName

NAMES: Final[tuple[tuple[str, str, SplitName | None], ...]] = (
    ("x", "y", None),
    ("images", "labels", None),
    ("x_train", "y_train", "train"),
    ("x_val", "y_val", "val"),
    ("x_test", "y_test", "test"),
    ("train_images", "train_labels", "train"),
    ("val_images", "val_labels", "val"),
    ("test_images", "test_labels", "test"),
)
"""Names that items and labels go by, in lower case, and the part they are."""

EXTRAS: Final = ("kind", "sample_rate", "spacing", "groups")
"""Names of further arrays that say something of the items, in lower case."""

MAX_BYTES: Final = 16 * 2**30
"""Largest array that is read into memory, in bytes."""

MAX_RATIO: Final = 100
FREE_BYTES: Final = 64 * 2**20
"""Over `FREE_BYTES`, compressed data may not expand to more than `MAX_RATIO` times its size."""


def open_npz(path: str | Path) -> Source:
    """The items and labels of an .npz file, under one of the pairs of `NAMES`.

    What the items are follows from an array `kind`, or from the axes (see `arrays_source`).

    Raises:
        DataError: no such file, no such arrays, objects instead of numbers, a header that does
            not fit the file, or an archive that expands beyond reason.
    """
    path = existing_path(Path(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            for info in archive.infolist():
                check_expansion(path, info.file_size, info.compress_size)
            return _open_pairs(
                path, members, lambda name: read_member(path, archive, members[name])
            )
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _cannot_read(path, error) from error


def open_npy_pair(path: str | Path) -> Source:
    """The items and labels of two .npy files of a folder, mapped rather than read.

    Args:
        path: the folder, or the file with the items.

    Raises:
        DataError: as `open_npz`.
    """
    path = existing_path(Path(path))
    if path.is_dir():
        files = _npy_files(path)
        return _open_pairs(path, files, lambda name: read_npy(files[name]))
    files = _npy_files(path.parent)
    labels = next((y for x, y, _ in NAMES if x == path.stem.lower()), None)
    partner = next((stem for stem in files if stem.lower() == labels), None)
    if partner is None:
        raise DataError(
            f"{path} has no labels beside it",
            why=f"{labels or 'y'}.npy is not in {path.parent}",
            fix="save items and labels as X.npy and y.npy in one folder",
        )
    pair = {"x": path, "y": files[partner]}
    pair |= {name: files[name] for name in EXTRAS if name in files}
    return _open_pairs(path, pair, lambda name: read_npy(pair[name]))


def read_npy(path: Path) -> NDArray[Any]:
    """An .npy file, mapped into memory once its header has been checked.

    Raises:
        DataError: it holds objects, or less or more than its header says.
    """
    try:
        with path.open("rb") as file:
            _check_header(path, file, path.stat().st_size)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    return array


def check_expansion(path: Path, expanded: int, stored: int) -> None:
    """Refuse compressed data that would expand beyond reason.

    Args:
        path: for the message.
        expanded: bytes after expansion.
        stored: bytes before.

    Raises:
        DataError: it would.
    """
    if expanded > MAX_BYTES or (expanded > FREE_BYTES and expanded > MAX_RATIO * max(stored, 1)):
        raise DataError(
            f"{path} expands from {stored} to {expanded} bytes",
            why=f"allowed are {MAX_BYTES} bytes, and over {FREE_BYTES} at most {MAX_RATIO} times "
            "the stored size",
            fix="store the arrays uncompressed, as .npy files",
        )


def read_member(path: Path, archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    """An array of an .npz file, once its header has been checked.

    Raises:
        DataError: it holds objects, or less or more than its header says.
    """
    try:
        with archive.open(member) as file:
            _check_header(path, file, archive.getinfo(member).file_size)
        with archive.open(member) as file:
            array: NDArray[Any] = npy_format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise _cannot_read(path, error) from error
    return array


def _check_header(path: Path, file: IO[bytes], length: int) -> None:
    """Refuse an array whose header promises what the file does not hold.

    numpy allocates what the header says before it reads.
    """
    version = npy_format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy_format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy_format.read_array_header_2_0(file)
    else:
        raise DataError(f"cannot read {path}", why=f"npy version {version} holds no plain numbers")
    if dtype.hasobject:
        raise DataError(
            f"{path} holds Python objects",
            why="reading them would run code that is in the file",
            fix="save plain arrays of numbers or strings",
        )
    promised, held = math.prod(shape) * dtype.itemsize, length - file.tell()
    if min(shape, default=0) < 0 or promised != held:
        raise DataError(
            f"the header of {path} is wrong",
            why=f"shape {shape} of {dtype} needs {promised} bytes and there are {held}",
        )


def _open_pairs(path: Path, names: Iterable[str], read: Callable[[str], NDArray[Any]]) -> Source:
    """The source of every pair of items and labels among `names`."""
    by_lower = {name.lower(): name for name in names}
    pairs = [
        (read(by_lower[x]), read(by_lower[y]), split)
        for x, y, split in NAMES
        if x in by_lower and y in by_lower
    ]
    if not pairs:
        raise DataError(
            f"{path} has no items with labels",
            why=f"its arrays are {', '.join(by_lower) or 'none'}",
            fix="name them X and y, or X_train, y_train, X_test, y_test",
        )
    shapes = {images.shape[1:] for images, _, _ in pairs}
    if len(shapes) > 1:
        raise DataError(f"the parts of {path} have different shapes: {sorted(shapes)}")
    return arrays_source(
        ArrayParts(
            arrays=_joined([images for images, _, _ in pairs]),
            labels=_joined([labels for _, labels, _ in pairs]),
            splits=tuple(split for images, _, split in pairs for _ in range(len(images))),
            name=str(path),
            extras={name: read(by_lower[name]) for name in EXTRAS if name in by_lower},
        )
    )


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """One behind the other; a single one stays mapped."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _npy_files(folder: Path) -> dict[str, Path]:
    return {entry.stem: entry for entry in sorted(folder.glob("*.npy"))}


def _holds_npy_pair(data: str) -> bool:
    if not is_folder(data):
        return Path(data).suffix.lower() == ".npy"
    stems = {stem.lower() for stem in _npy_files(Path(data))}
    return any({x, y} <= stems for x, y, _ in NAMES)


def _cannot_read(path: Path, error: Exception) -> DataError:
    why = os_reason(error) if isinstance(error, OSError) else str(error)
    return DataError(f"cannot read {path}", why=why)


SOURCES.add(
    "npz",
    SourceFormat(
        layout="an .npz file with the arrays X and y",
        matches=lambda data: Path(data).suffix.lower() == ".npz" and not is_folder(data),
        open=open_npz,
    ),
)
SOURCES.add(
    "npy",
    SourceFormat(layout="a pair X.npy and y.npy", matches=_holds_npy_pair, open=open_npy_pair),
)
