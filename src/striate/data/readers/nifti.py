"""Volumes in NIfTI files (.nii, .nii.gz), turned to one orientation.

The NIfTI-1 and NIfTI-2 formats: https://nifti.nimh.nih.gov; read with nibabel.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.packages import imported, silenced
from striate.data.readers.content import head_of, length_of, opened, sha256_of
from striate.data.readers.npy import check_expansion
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.volume import canonical, volume_reading
from striate.data.source import FileContent, ForeignItem, Note, Reading, UnreadableItem

MILLIMETRES: Final = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}

_UNITS: Final = {1: "meter", 2: "mm", 3: "micron"}
"""The units of space by the lowest three bits of a header's `xyzt_units`."""

_HEAD: Final = 544
"""Bytes that hold a header of either version, with the four that announce extensions."""

_LOGGER: Final = "nibabel.global"
"""What nibabel writes to the terminal of headers that it mends or refuses."""

_GZIP: Final = b"\x1f\x8b"

_SIZES: Final = {348: "Nifti1Image", 540: "Nifti2Image"}


def read_nifti(data: FileContent) -> Reading:
    """A volume from a NIfTI file; a fourth axis (time) becomes the channels.

    The header is checked against the file before the voxels are read. An uncompressed file on disk
    whose values are not scaled stays mapped.

    Raises:
        UnreadableItem: It is no NIfTI file, of another length than its header says, expands
            beyond reason, or holds values that are not finite or not real.
        MissingExtraError: nibabel is not installed.
    """
    image = _image(data)
    header = image.header
    array, notes = _without_nan(_voxels(image))
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        stored = array.transpose(2, 1, 0, *range(3, array.ndim))
        message = "the header gives no orientation and no spacing"
        advice = "convert the files anew with both, or see that all lie alike with one spacing"
        note = Note(code="no-orientation", message=message, advice=advice)
        return volume_reading(_channels(stored), sha256_of(data), notes=(*notes, note))
    turned, steps = canonical(array, affine)
    factor = MILLIMETRES[_UNITS.get(int(header["xyzt_units"]) & 7, "unknown")]
    spacing = [factor * step for step in steps]
    return volume_reading(_channels(turned), sha256_of(data), spacing, notes)


def _without_nan(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[Note, ...]]:
    """The voxels with a background in place of NaN, which programs write outside the brain.

    The background is 0, or the smallest value where all values are below 0. Voxels that are all
    NaN, or hold Inf, are left for `volume_reading` to refuse.
    """
    if array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64)):
        return array, ()
    nan = np.isnan(array)
    count = int(nan.sum())
    if count in (0, array.size):
        return array, ()
    background = min(0.0, float(np.nanmax(array)))
    if background < 0:
        background = float(np.nanmin(array))
    message = f"NaN in {count / array.size:.2g} of the voxels, taken as {background:g}"
    note = Note(code="nan-background", message=message, severity="info")
    return np.where(nan, array.dtype.type(background), array), (note,)


def _image(data: FileContent) -> Any:
    """nibabel's image of a file whose length has been checked; voxels are not read yet."""
    nibabel = imported("nibabel", "volume")
    named_packed = isinstance(data, Path) and data.name.lower().endswith(".gz")
    packed = named_packed or head_of(data, 2) == _GZIP
    try:
        with opened(data) as stored, gzip.open(stored) if packed else stored as file:
            head = file.read(_HEAD)
            if not head:
                raise UnreadableItem("empty file")
            if (version := _version(head)) is None:
                raise ForeignItem("no NIfTI file: its first number is neither 348 nor 540")
            kind = getattr(nibabel, version)
            header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
            needed, held = _length(header), length_of(data)
            content = b""
            if packed:
                check_expansion(needed, held)
                content = head + file.read(max(0, needed - len(head)))
                held = len(content)
        if held < needed:  # more is padding, which programs write and readers leave alone
            raise UnreadableItem(f"the header needs {needed} bytes and there are {held}")
        with silenced(_LOGGER):
            if isinstance(data, bytes) or packed:
                return kind.from_bytes(content or data)
            return kind.from_filename(data, mmap="r")
    except UnreadableItem:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableItem(f"the compressed data is damaged: {error}") from None
    except Exception as error:
        # nibabel raises its own errors and numpy's on a broken header; each is of the file.
        raise UnreadableItem(f"no NIfTI file: {error}") from None


def _version(head: bytes) -> str | None:
    """The name of nibabel's class for a file that begins so; None where it is no NIfTI file."""
    sizes = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    return next((_SIZES[size] for size in sizes if size in _SIZES), None)


def _length(header: Any) -> int:
    """The number of bytes of a file with this header."""
    shape = [int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])]]
    if not 3 <= len(shape) <= 7 or min(shape) < 1:
        raise UnreadableItem(f"the header gives the shape {tuple(shape)}")
    # In Python's integers, which do not overflow.
    return int(header["vox_offset"]) + math.prod(shape) * int(header.get_data_dtype().itemsize)


def _voxels(image: Any) -> NDArray[Any]:
    """The values (x, y, z) or (x, y, z, channels), as stored where they are not scaled."""
    array: NDArray[Any] = np.asanyarray(image.dataobj)
    if array.dtype.names:  # colours: one field a channel
        array = np.stack([array[name] for name in array.dtype.names], -1)
    while array.ndim > 4 and 1 in array.shape[3:]:
        array = array.squeeze(3 + array.shape[3:].index(1))
    if array.ndim > 4:
        raise UnreadableItem(f"the shape {array.shape}; a volume has three axes and channels")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        array = array.astype(np.float32)
    return array


def _channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[None] if array.ndim == 3 else np.moveaxis(array, 3, 0)


def _claims(data: FileContent) -> bool:
    head = head_of(data, 4)
    return head[:2] == _GZIP or _version(head) is not None


READERS.add("nifti", FileReader("volume", (".nii", ".nii.gz"), read_nifti, _claims))
