"""Volumes in NIfTI files (.nii, .nii.gz), turned to one orientation.

The NIfTI-1 and NIfTI-2 formats: https://nifti.nimh.nih.gov; read with nibabel.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.layouts.array_files import check_expansion
from striate.data.readers.image import os_reason
from striate.data.readers.orientation import canonical
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.volume import file_sha256, volume_reading
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import DataError, MissingExtraError

MILLIMETRES: Final = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}

_HEAD: Final = 544
"""Bytes that hold a header of either version, with the four that announce extensions."""

_SIZES: Final = {348: "Nifti1Image", 540: "Nifti2Image"}


def read_nifti(path: Path) -> Reading:
    """A volume from a NIfTI file; a fourth axis (time) becomes the channels.

    The header is checked against the file before the voxels are read. An uncompressed file whose
    values are not scaled stays mapped.

    Raises:
        UnreadableItem: no NIfTI, another length than its header says, an expansion beyond reason,
            values that are not finite or not real.
        MissingExtraError: nibabel is not installed.
    """
    image = _image(path)
    header = image.header
    array = _voxels(image)
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        stored = array.transpose(2, 1, 0, *range(3, array.ndim))
        note = Note(code="no-orientation", message="the header gives no orientation and no spacing")
        return volume_reading(_channels(stored), file_sha256(path), notes=(note,))
    turned, steps = canonical(array, affine)
    factor = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    spacing = [factor * step for step in steps]
    return volume_reading(_channels(turned), file_sha256(path), spacing)


def _image(path: Path) -> Any:
    """nibabel's image of a file whose length has been checked; voxels are not read yet."""
    try:
        import nibabel
    except ImportError:
        raise MissingExtraError("nibabel", "volume") from None
    packed = path.name.lower().endswith(".gz")
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            head = file.read(_HEAD)
            kind = getattr(nibabel, _version(head))
            header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
            needed = _length(header)
            if packed:
                check_expansion(path, needed, path.stat().st_size)
                content = head + file.read(max(0, needed + 1 - len(head)))
                held = len(content)
            else:
                held = path.stat().st_size
        if held < needed or (packed and held > needed):
            what = f"at least {held}" if packed and held > needed else str(held)
            raise UnreadableItem(f"the header needs {needed} bytes and there are {what}")
        return kind.from_bytes(content) if packed else kind.from_filename(path, mmap="r")
    except UnreadableItem:
        raise
    except DataError as error:
        raise UnreadableItem(f"{error.what}: {error.why}") from None
    except (EOFError, zlib.error) as error:
        raise UnreadableItem(f"the compressed data is damaged: {error}") from None
    except OSError as error:  # BadGzipFile among them
        raise UnreadableItem(os_reason(error) if error.errno else str(error)) from None
    except Exception as error:
        # nibabel raises its own errors and numpy's on a broken header; each is of the file.
        raise UnreadableItem(f"no NIfTI file: {error}") from None


def _version(head: bytes) -> str:
    if not head:
        raise UnreadableItem("empty file")
    for size in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")):
        if size in _SIZES:
            return _SIZES[size]
    raise UnreadableItem("no NIfTI file: its first number is neither 348 nor 540")


def _length(header: Any) -> int:
    """Bytes of a file with this header."""
    shape = [int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])]]
    if not 3 <= len(shape) <= 7 or min(shape) < 1:
        raise UnreadableItem(f"the header gives the shape {tuple(shape)}")
    count = 1
    for size in shape:  # in Python's integers, which do not overflow
        count *= size
    return int(header["vox_offset"]) + count * int(header.get_data_dtype().itemsize)


def _voxels(image: Any) -> NDArray[Any]:
    """(x, y, z) or (x, y, z, channels), as stored where values are not scaled."""
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


READERS.add("nifti", FileReader(kind="volume", suffixes=(".nii", ".nii.gz"), read=read_nifti))
