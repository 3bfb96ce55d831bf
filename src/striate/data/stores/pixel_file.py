"""The file of a cache of decoded images: by what it is known, how it is written and checked.

It is, in this order: the pixels of every item (channels first, one after the other, those of more
than 8 bits at multiples of their size), an index in JSON, and a footer of fixed size with both
checksums. It is written under a temporary name and renamed when complete, so that a reader sees all
of it or nothing, and two processes that build the same cache do no harm to each other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import PIL
import torch
from pydantic import TypeAdapter

from striate.data.source import Item, Note, Skip, Source
from striate.data.stores.resizing import resize_shorter
from striate.data.stores.store import ReadingPass
from striate.errors import DataError, StorageError
from striate.files import storage_error
from striate.progress import Progress

DECODER_VERSION: Final = 3
"""A number to be raised when decoding or resizing gives other pixels: old caches are then left."""

_MAGIC: Final = b"striate1"
_FOOTER: Final = struct.Struct("<QQII8s")  # bytes of pixels, bytes of index, their CRC-32s, magic
_STALE_SECONDS: Final = 86_400
_CHECK_BYTES: Final = 1 << 24


class DamagedCacheError(DataError):
    """A cache file that is not what was written; it is to be built again."""


@dataclass(frozen=True, kw_only=True)
class PixelIndex:
    """What the cache says of its pixels.

    Attributes:
        size: The shorter side of the stored items, in pixels.
        ids: The id of each item.
        shapes: (channels, height, width) of each item.
        dtypes: The type of each item's values, as NumPy names it.
        sha256s: The SHA-256 of each item's file or values.
        skipped: What could not be read.
        notes: What a user should know of the items.
    """

    size: int
    ids: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    sha256s: tuple[str, ...]
    skipped: tuple[Skip, ...]
    notes: tuple[Note, ...]


_INDEX: Final = TypeAdapter(PixelIndex)


def padding_after(length: int, dtype: np.dtype[Any]) -> int:
    """Bytes after `length` so that values of this type are aligned."""
    return -length % dtype.itemsize


def file_key(source: Source, items: Sequence[Item], size: int) -> str | None:
    """A key made of the files' paths, sizes and times; None where an item has no file of its own.

    The time of the last change of the inode counts too: archives restore old modification
    times, and a file replaced by one of the same size would go unseen.
    """
    paths = map(source.path, items)
    try:
        return _key((_identity(*pair) for pair in zip(items, paths, strict=True)), size)
    except _NoFileError:
        return None


class _NoFileError(Exception):
    """An item has no file of its own."""


def _identity(item: Item, path: Path | None) -> tuple[str | int, ...]:
    """What tells whether an item's file is the same as before."""
    if path is None:
        raise _NoFileError
    try:
        status = path.stat()
    except OSError:
        return item.id, os.fspath(path)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return item.id, os.fspath(path.absolute()), status.st_size, *times


def _key(identities: Iterable[object], size: int) -> str:
    """The hash of a JSON document with all of this, made a part at a time: items may be millions."""
    versions = (DECODER_VERSION, PIL.__version__, torch.__version__, *_versions())
    digest = hashlib.sha256(json.dumps([versions, size]).removesuffix("]").encode("ascii"))
    digest.update(b", [")
    for number, identity in enumerate(identities):
        digest.update(f"{', ' if number else ''}{json.dumps(identity)}".encode("ascii"))
    digest.update(b"]]")
    return digest.hexdigest()[:32]


def _versions() -> list[str]:
    """The installed versions of optional decoders; without them other items are skipped."""
    found = dict.fromkeys(("imagecodecs", "pillow-heif", "pydicom", "tifffile"), "")
    for name in found:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return list(found.values())


def cache_path(folder: Path, key: str) -> Path:
    """Where the cache with this key lies."""
    return folder / f"{key}.pixels"


def write_file(
    source: Source,
    items: Sequence[Item],
    size: int,
    folder: Path,
    key: str | None,
    progress: Progress,
    workers: int | None,
) -> Path:
    """Read every item into a new cache file, and return its path.

    Args:
        source: The source that the items belong to.
        items: The items to read, in the order of the file.
        size: The shorter side of the stored items, in pixels.
        folder: The folder of cache files.
        key: What `file_key` gave; None makes one of what is read.
        progress: Told of the work.
        workers: The number of images decoded at the same time.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    needed = len(items) * 3 * size * size
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        if needed > shutil.disk_usage(folder).free:  # even square items would not fit
            raise OSError(errno.ENOSPC, "disk full")
        handle, name = tempfile.mkstemp(dir=folder, suffix=".partial")
    except OSError as error:
        raise _storage_error(folder, needed, error) from error
    partial = Path(name)
    taken = ReadingPass(source, items, size, progress, workers)
    try:
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            index = _write_items(file, taken, size)
        if key is None:
            key = _key(zip(index.ids, index.sha256s, strict=True), size)
        path = cache_path(folder, key)
        partial.replace(path)
    except OSError as error:
        raise _storage_error(folder, None, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_items(file: BinaryIO, taken: ReadingPass, size: int) -> PixelIndex:
    shapes: list[tuple[int, ...]] = []
    dtypes: list[str] = []
    checksum = length = 0
    for reading in taken.readings():
        pixels = resize_shorter(reading.array, size)
        padding = bytes(padding_after(length, pixels.dtype))
        for part in (padding, pixels.reshape(-1).view(np.uint8).data):
            file.write(part)
            checksum = zlib.crc32(part, checksum)
        length += len(padding) + pixels.nbytes
        shapes.append(pixels.shape)
        dtypes.append(pixels.dtype.str)
    index = PixelIndex(
        size=size,
        ids=tuple(item.id for item in taken.items),
        shapes=tuple(shapes),
        dtypes=tuple(dtypes),
        sha256s=tuple(taken.sha256s),
        skipped=tuple(taken.skipped),
        notes=taken.notes(),
    )
    document = {
        **vars(index),
        "skipped": [asdict(skip) for skip in index.skipped],
        "notes": [asdict(note) for note in index.notes],
    }
    data = json.dumps(document, separators=(",", ":")).encode("ascii")
    file.write(data)
    file.write(_FOOTER.pack(length, len(data), checksum, zlib.crc32(data), _MAGIC))
    return index


def verified_index(path: Path) -> PixelIndex:
    """The index of a cache file, all of whose bytes are found to be as they were written.

    Reading every pixel is worth its price (a CRC-32 runs at gigabytes a second): a crash of the
    machine can leave a renamed file with holes, and training on noise is silent.

    Raises:
        DamagedCacheError: The file is cut, or a checksum does not match.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end < _FOOTER.size:
                raise DamagedCacheError(f"{path}: the cache is cut short")
            file.seek(end - _FOOTER.size)
            length, index_length, checksum, index_checksum, magic = _FOOTER.unpack(file.read())
            if magic != _MAGIC or length + index_length + _FOOTER.size != end:
                raise DamagedCacheError(f"{path}: the cache is cut short")
            file.seek(0)
            found, left = 0, length
            while left and (block := file.read(min(left, _CHECK_BYTES))):
                found, left = zlib.crc32(block, found), left - len(block)
            data = file.read(index_length)
    except OSError as error:
        raise DamagedCacheError(f"{path}: the cache cannot be read", why=str(error)) from error
    if left or found != checksum or zlib.crc32(data) != index_checksum:
        raise DamagedCacheError(f"{path}: the cache's checksum does not match")
    return _INDEX.validate_python(json.loads(data))


def _remove_stale(folder: Path) -> None:
    """Remove what builds that were killed left; one that is going on wrote a moment ago."""
    for partial in folder.glob("*.partial"):
        try:
            if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                partial.unlink()
        except FileNotFoundError:  # another process was faster
            continue


def _storage_error(folder: Path, needed: int | None, error: OSError) -> StorageError:
    fix = "free some space, or set STRIATE_CACHE to a folder on another disk"
    return storage_error(folder / "pixels", needed, error, fix=fix)
