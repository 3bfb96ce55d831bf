"""One volume in one array file (NPY, NPZ), and what every reading of a volume must hold to.

An array is (depth, height, width), (channels, depth, height, width) or (depth, height, width,
channels); a clip is the same with time for depth.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from striate.data.layouts.array_files import check_expansion, read_member, read_npy
from striate.data.readers.image import os_reason
from striate.data.readers.reader import READERS, FileReader
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import DataError

MOST_COLOURS: Final = 4
"""An axis of four axes that is no longer than this is taken for the channels, the first before the
last."""

NAMES: Final[tuple[str, ...]] = ("volume", "array", "data", "x", "arr_0")
"""Names that the volume of an .npz file goes by, in lower case; a single array needs none."""

_SLAB: Final = 1 << 24


def volume_reading(
    array: NDArray[Any],
    sha256: str,
    spacing: Sequence[float] = (),
    notes: tuple[Note, ...] = (),
) -> Reading:
    """A reading of a volume, checked. What is mapped from the disk stays mapped.

    Args:
        array: (channels, depth, height, width), numbers.
        sha256: of the content.
        spacing: along (depth, height, width) in millimetres; empty where it is not known.
        notes: remarks.

    Raises:
        UnreadableItem: it is empty or holds no real numbers; NaN or Inf, with the first index;
            a spacing that is none.
    """
    if array.dtype.kind not in "buif":
        raise UnreadableItem(f"{array.dtype} values, not real numbers")
    if array.size == 0:
        raise UnreadableItem(f"no voxels: the shape is {array.shape}")
    if array.dtype.kind == "f":
        check_finite(array)
    if array.dtype.itemsize > 4:
        array = array.astype(np.float32)
    if not all(np.isfinite(spacing)) or any(step <= 0 for step in spacing):
        raise UnreadableItem(f"a spacing of {' x '.join(f'{step:g}' for step in spacing)} mm")
    return Reading(array=array, sha256=sha256, spacing=tuple(map(float, spacing)), notes=notes)


def check_finite(array: NDArray[Any]) -> None:
    """Look through (channels, depth, ...) for values that are not finite, some slices at a time.

    Raises:
        UnreadableItem: there are; the first is named by its index in space and its channel.
    """
    step = max(1, _SLAB // max(1, array[:, :1].size))
    for start in range(0, array.shape[1], step):
        slab = array[:, start : start + step]
        bad = ~np.isfinite(slab)
        if bad.any():
            channel, depth, *rest = (int(index) for index in np.argwhere(bad)[0])
            place = ", ".join(map(str, (depth + start, *rest)))
            value = slab[channel, depth, *rest]
            raise UnreadableItem(
                f"values that are not finite, the first {value} at index ({place}) of channel {channel}"
            )


def channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """(channels, depth, height, width), by the rule of `MOST_COLOURS`; a view.

    Raises:
        UnreadableItem: neither three axes nor four.
    """
    if array.ndim == 3:
        return array[None]
    if array.ndim != 4:
        raise UnreadableItem(f"an array of shape {array.shape}; a volume has three or four axes")
    if array.shape[0] > MOST_COLOURS >= array.shape[3]:
        return np.moveaxis(array, 3, 0)
    return array


def read_npy_volume(path: Path) -> Reading:
    """A volume from an .npy file, mapped; its header is checked against the file first.

    Raises:
        UnreadableItem: it cannot be read, holds objects, or is no volume.
    """
    try:
        array = read_npy(path)
    except DataError as error:
        raise UnreadableItem(error.why or error.what) from None
    return volume_reading(channels_first(array), file_sha256(path))


def read_npz_volume(path: Path) -> Reading:
    """A volume from an .npz file, with its spacing where there is an array of that name.

    Raises:
        UnreadableItem: it cannot be read, expands beyond reason, holds objects, or no volume.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                check_expansion(path, info.file_size, info.compress_size)
            members = {n.removesuffix(".npy").lower(): n for n in archive.namelist()}
            spacing = members.pop("spacing", None)
            found = [name for name in NAMES if name in members] or list(members)
            if not found or (len(members) > 1 and found[0] not in NAMES):
                raise UnreadableItem(f"arrays {', '.join(members) or 'none'}; name one volume")
            array = read_member(path, archive, members[found[0]])
            steps = () if spacing is None else read_member(path, archive, spacing).ravel().tolist()
    except UnreadableItem:
        raise
    except DataError as error:
        raise UnreadableItem(f"{error.what}: {error.why}") from None
    except OSError as error:
        raise UnreadableItem(os_reason(error)) from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise UnreadableItem(str(error)) from None
    if len(steps) not in (0, 3):
        raise UnreadableItem(f"{len(steps)} numbers in spacing; a volume has three")
    return volume_reading(channels_first(array), file_sha256(path), steps)


def file_sha256(path: Path) -> str:
    """Of a file's bytes, read a part at a time.

    Raises:
        UnreadableItem: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableItem(os_reason(error)) from None


def _holds_volume(path: Path) -> bool:
    """Whether the head of an .npy file promises three or four axes."""
    try:
        with path.open("rb") as file:
            old = npy_format.read_magic(file) == (1, 0)
            read = npy_format.read_array_header_1_0 if old else npy_format.read_array_header_2_0
            shape, _, _ = read(file)
    except (OSError, ValueError):
        return False
    return len(shape) in (3, 4)


READERS.add(
    "volume-npy",
    FileReader(kind="volume", suffixes=(".npy",), read=read_npy_volume, claims=_holds_volume),
)
READERS.add("volume-npz", FileReader(kind="volume", suffixes=(".npz",), read=read_npz_volume))
