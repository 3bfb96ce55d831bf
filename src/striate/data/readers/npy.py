"""NumPy's files, .npy and .npz, checked before they are believed. Pickle is never read."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from striate.data.readers.content import length_of, opened
from striate.data.source import FileContent, TooLargeItem, UnreadableItem
from striate.errors import DataError

MAX_EXPANDED_BYTES: Final = 16 * 2**30
"""The largest array that is read into memory."""

MAX_EXPANSION: Final = 100
"""Compressed data over `FREE_EXPANDED_BYTES` may expand to at most so many times its size."""

FREE_EXPANDED_BYTES: Final = 64 * 2**20

_OF_THE_ARCHIVE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an archive with a password
)  # fmt: skip
"""What zipfile raises of a damaged archive; OSError of a place before its beginning."""


def read_npy(data: FileContent) -> NDArray[Any]:
    """The array of an .npy file; one on disk is mapped into memory rather than read.

    Raises:
        UnreadableItem: The file holds objects, or less or more than its header says.
    """
    try:
        with opened(data) as file:
            _check_header(file, length_of(data))
            if isinstance(data, bytes):
                file.seek(0)
                in_memory: NDArray[Any] = npy_format.read_array(file, allow_pickle=False)
                return in_memory
        mapped: NDArray[Any] = np.load(data, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except ValueError as error:
        raise UnreadableItem(str(error)) from None
    return mapped


def num_axes(data: FileContent) -> int | None:
    """The number of axes that the head of an .npy file promises; None where it is no such file."""
    shape = shape_of(data)
    return None if shape is None else len(shape)


def shape_of(data: FileContent) -> tuple[int, ...] | None:
    """The shape that the head of an .npy file promises; None where it is no such file."""
    try:
        with opened(data) as file:
            return _header(file)[0]
    except ValueError:  # an UnreadableItem is one
        return None


@contextmanager
def opened_npz(data: FileContent) -> Iterator[dict[str, Callable[[], NDArray[Any]]]]:
    """The arrays of an .npz file by their names in lower case, each read when it is called.

    Raises:
        UnreadableItem: The file is no such archive, expands beyond reason, or an array in it
            holds objects, or less or more than its header says.
    """
    with opened(data) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for info in archive.infolist():
                    check_expansion(info.file_size, info.compress_size)
                yield {
                    name.removesuffix(".npy").lower(): partial(_read_member, archive, name)
                    for name in archive.namelist()
                }
        except DataError:
            raise
        except _OF_THE_ARCHIVE as error:
            raise UnreadableItem(f"damaged archive: {error}") from None


def check_expansion(expanded: int, stored: int) -> None:
    """Refuse compressed data that would expand beyond reason.

    Args:
        expanded: The number of bytes after expansion.
        stored: The number of bytes before.

    Raises:
        TooLargeItem: It would.
    """
    if expanded > MAX_EXPANDED_BYTES or (
        expanded > FREE_EXPANDED_BYTES and expanded > MAX_EXPANSION * max(stored, 1)
    ):
        raise TooLargeItem(
            f"it expands from {stored} to {expanded} bytes; allowed are {MAX_EXPANDED_BYTES} "
            f"bytes, and over {FREE_EXPANDED_BYTES} at most {MAX_EXPANSION} times the stored size"
        )


def _read_member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as file:
        _check_header(file, archive.getinfo(name).file_size)
    with archive.open(name) as file:
        array: NDArray[Any] = npy_format.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type that a file promises; raises ValueError where it is no .npy file."""
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy version {version} holds no plain numbers")
    old = version == (1, 0)
    read = npy_format.read_array_header_1_0 if old else npy_format.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy reads a damaged header as Python source, which raises more
        raise ValueError(f"the header of the array is damaged: {error}") from error
    return shape, dtype


def _check_header(file: IO[bytes], length: int) -> None:
    """Refuse an array whose header promises what a file of `length` bytes does not hold.

    NumPy allocates what the header says before it reads.
    """
    shape, dtype = _header(file)
    if dtype.hasobject:
        raise UnreadableItem(
            "it holds Python objects, and reading them would run code that is in the file (save "
            "text as y.astype(str), numbers as y.astype(float))"
        )
    promised, held = math.prod(shape) * dtype.itemsize, length - file.tell()
    if min(shape, default=0) < 0 or promised != held:
        raise UnreadableItem(
            f"the header of the array is wrong: shape {shape} of {dtype} needs {promised} bytes "
            f"and there are {held}"
        )
