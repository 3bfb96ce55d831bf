"""Decoded images in one memory-mapped file, so that each is decoded once and never again.

A cache file is, in this order: the pixels of every item (channels first, one after the other, those
of more than 8 bits at multiples of their size), an index in JSON, and a footer of fixed size with both checksums. It is written under a
temporary name and renamed when complete, so that a reader sees all of it or nothing, and two
processes that build the same cache do no harm to each other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import struct
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import PIL
import torch
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from striate.data.duplicates import CLOSE, THUMBNAIL, duplicate_groups
from striate.data.source import Item, Note, Reading, Skip, Source
from striate.data.stores.store import Built, ReadingPass, Stack, Store
from striate.errors import ArgumentError, DataError, StorageError
from striate.files import storage_error, user_cache_folder
from striate.progress import Progress

DECODER_VERSION: Final = 3
"""A number to be raised when decoding or resizing gives other pixels: old caches are then left."""

MAX_ASPECT: Final = 8
"""The longer side of a stored item is at most so many times the requested size of its shorter side."""

_MAGIC: Final = b"striate1"
_FOOTER: Final = struct.Struct("<QQII8s")  # bytes of pixels, bytes of index, their CRC-32s, magic
_VIEWED: Final = (1, 99)
_STALE_SECONDS: Final = 86_400
_CHECK_BYTES: Final = 1 << 24
_PICTURES_AT_ONCE: Final = 256


class DamagedCacheError(DataError):
    """A cache file that is not what was written; it is to be built again."""


@dataclass(frozen=True, kw_only=True)
class _Index:
    """What the cache says of its pixels: one of each for each item, but for what was skipped."""

    size: int
    ids: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    sha256s: tuple[str, ...]
    skipped: tuple[Skip, ...]
    notes: tuple[Note, ...]


_INDEX: Final = TypeAdapter(_Index)


class PixelStore(Store):
    """Decoded images, each of its own shape (channels, height, width) and type, mostly uint8.

    Each was resized as a whole, up or down, to a shorter side of `size`, and further down where
    its longer side would be more than `MAX_ASPECT` times that. Readings are read-only views of the
    mapped file.

    Args:
        path: A complete cache file.

    Raises:
        DamagedCacheError: The file is cut, or a checksum does not match.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = _verified_index(path)
        self.size = index.size
        self.ids = index.ids
        self.shapes = index.shapes
        self.dtypes = tuple(map(np.dtype, index.dtypes))
        self._index = index
        self._bounds: NDArray[np.int64] = np.empty((len(self.shapes), 2), np.int64)
        total = 0
        for place, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            start = total + _padding(total, dtype)
            total = start + math.prod(shape) * dtype.itemsize
            self._bounds[place] = start, total
        self._flat: NDArray[np.uint8] = (
            np.memmap(path, np.uint8, "r", shape=(total,)) if total else np.empty(0, np.uint8)
        )
        alike = len(set(self.shapes)) == len(set(self.dtypes)) == 1
        self._together = (
            self._flat.view(self.dtypes[0]).reshape(len(self.shapes), *self.shapes[0])
            if alike
            else None
        )
        with warnings.catch_warnings():
            # torch warns that the mapping is read-only; nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self._tensor = torch.from_numpy(self._flat)

    @classmethod
    def build(
        cls,
        source: Source,
        items: Sequence[Item],
        size: int,
        folder: Path | None = None,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Built[PixelStore]:
        """Decode every item, or open the cache in which that was done before.

        A cache is known by the paths, sizes and times of the items' files; where items have no
        files of their own, they are read again and the cache is known by their SHA-256s.

        Args:
            source: The source that the items belong to.
            items: The items to read, in the order of the store.
            size: The shorter side of the stored items, in pixels.
            folder: The folder of cache files; the user's cache folder by default.
            progress: The progress that is told of the work, and of a damaged cache.
            workers: The number of images decoded at the same time.

        Raises:
            ArgumentError: The size is not positive.
            StorageError: The disk is full or the folder not writable.
        """
        if size < 1:
            raise ArgumentError(f"size={size}", why="the shorter side has at least one pixel")
        folder = _cache_folder(folder)
        progress = progress or Progress(quiet=True)
        key = _file_key(source, items, size)
        if key and (path := _cache_path(folder, key)).exists():
            try:
                return cls(path)._built(items)
            except DamagedCacheError as error:
                progress.say(f"{error}; building it again")
        return cls(_write(source, items, size, folder, key, progress, workers))._built(items)

    @staticmethod
    def is_built(
        source: Source, items: Sequence[Item], size: int, folder: Path | None = None
    ) -> bool:
        """Whether there is a cache for items, known by their files; the arguments are as in `build`."""
        key = _file_key(source, items, size)
        return key is not None and _cache_path(_cache_folder(folder), key).exists()

    def _built(self, items: Sequence[Item]) -> Built[PixelStore]:
        kept, labels = set(self.ids), {item.id: item.label for item in items}
        every = np.arange(len(self))
        groups = duplicate_groups(
            self._index.sha256s,
            self._squares(every, THUMBNAIL, grey_squares),
            lambda indices: self._squares(indices, CLOSE, colour_squares),
            [labels.get(name) for name in self.ids],
        )
        return Built(
            store=self,
            items=tuple(item for item in items if item.id in kept),
            skipped=self._index.skipped,
            notes=self._index.notes,
            sha256s=self._index.sha256s,
            duplicate_groups=groups,
        )

    def _squares(
        self, indices: NDArray[np.int64], side: int, squeezed: Callable[[Tensor, int], Tensor]
    ) -> UInt8[Tensor, "n ..."]:
        """Items squeezed to squares, which `squeezed` makes of those of one shape."""
        if self._together is not None and self._together.dtype == np.uint8:
            stack = self._tensor.view(self._together.shape)
            places = torch.split(torch.from_numpy(indices), _PICTURES_AT_ONCE)
            parts = [squeezed(stack[some], side) for some in places]
        else:
            parts = [squeezed(self._viewable(index)[None], side) for index in indices.tolist()]
        return torch.cat(
            parts or [squeezed(torch.zeros(0, 3, side, side, dtype=torch.uint8), side)]
        )

    def view(self, index: int) -> UInt8[Tensor, "c h w"]:
        """The uint8 pixels of an item as a tensor on the mapped file, which must not be written."""
        return self._tensor[self._place(index)].view(self.shapes[index])

    def _place(self, index: int) -> slice:
        """Where the pixels of an item lie in the file."""
        return slice(*self._bounds[index].tolist())

    def _viewable(self, index: int) -> UInt8[Tensor, "c h w"]:
        if self.dtypes[index] == np.uint8:
            return self.view(index)
        return torch.from_numpy(viewable(self[index].array))

    def __getitem__(self, index: int) -> Reading:
        """The reading of an item; its pixels are a view of the mapped file."""
        stored = self._flat[self._place(index)].view(self.dtypes[index])
        pixels = stored.reshape(self.shapes[index])
        return Reading(array=pixels, sha256=self._index.sha256s[index])

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> Sequence[Reading]:
        """The readings at some positions; a `Stack` where all items have one shape and type."""
        if self._together is None:
            return super().take(indices)
        chosen = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices), np.int64)
        sha256s = [self._index.sha256s[index] for index in chosen.tolist()]
        return Stack(self._together[chosen], sha256s)

    def __len__(self) -> int:
        return len(self.shapes)


def colour_squares(pictures: UInt8[Tensor, "n c h w"], side: int) -> UInt8[Tensor, "n 3 side side"]:
    """Pictures of one shape squeezed to squares of red, green and blue, which are grey of others."""
    if pictures.shape[1] != 3:
        return grey_squares(pictures, side)[:, None].expand(-1, 3, -1, -1)
    return F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)


def grey_squares(pictures: UInt8[Tensor, "n c h w"], side: int) -> UInt8[Tensor, "n side side"]:
    """Pictures of one shape in grey, squeezed to squares."""
    small = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
    return small.float().mean(1).round().to(torch.uint8)


def viewable(array: NDArray[Any]) -> NDArray[np.uint8]:
    """(channels, height, width) as uint8, to be looked at: uint8 as it is, other values scaled.

    Of each channel the values between the percentiles 1 and 99 take the range 0 to 255.
    """
    if array.dtype == np.uint8:
        return array
    low, high = np.percentile(array, _VIEWED, axis=(1, 2), keepdims=True)
    scaled = (array - low) * (255 / np.where(high > low, high - low, 1.0))
    return np.asarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def resize_shorter(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Resize (channels, height, width) to a shorter side of `size`, antialiased.

    The cache and prediction both call this, so that a network sees the same pixels in both. The
    aspect is kept, and nothing is cropped. Small items are enlarged; very long ones are reduced
    until their longer side is `MAX_ASPECT` times the size.
    """
    _, height, width = array.shape
    shorter, longer = sorted((height, width))
    wanted, given = (size, shorter)
    if longer > MAX_ASPECT * shorter:
        wanted, given = MAX_ASPECT * size, longer
    target = tuple(max(1, round(side * wanted / given)) for side in (height, width))
    if target == (height, width):
        return np.ascontiguousarray(array)
    if not array.flags.writeable or min(array.strides) < 0:  # torch takes neither
        array = array.copy()
    deep = array.dtype != np.uint8
    pixels = torch.from_numpy(array.astype(np.float32) if deep else array)
    result: NDArray[Any] = resized(pixels, target).contiguous().numpy()
    if array.dtype.kind == "f" or not deep:
        return result
    bounds = np.iinfo(array.dtype)
    rounded: NDArray[Any] = np.rint(result).clip(bounds.min, bounds.max).astype(array.dtype)
    return rounded


def resized(pixels: Shaped[Tensor, "c h w"], target: tuple[int, ...]) -> Shaped[Tensor, "c H W"]:
    """An image of another height and width, antialiased; itself where they are the same.

    Pixels stay uint8 all the way: torch resizes them in integers, the same on any number of
    threads.

    Args:
        pixels: Values in uint8 or float32.
        target: The height and the width wanted.
    """
    if pixels.shape[1:] == target:
        return pixels
    return F.interpolate(pixels[None], size=target, mode="bilinear", antialias=True)[0]


def center_crop(pixels: Shaped[Tensor, "c h w"], size: int) -> Shaped[Tensor, "c size size"]:
    """A view of the square of that side about an image's centre."""
    top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
    return pixels[:, top : top + size, left : left + size]


def _file_key(source: Source, items: Sequence[Item], size: int) -> str | None:
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


def _padding(length: int, dtype: np.dtype[Any]) -> int:
    """Bytes after `length` so that values of this type are aligned."""
    return -length % dtype.itemsize


def _cache_folder(folder: Path | None) -> Path:
    return user_cache_folder() / "pixels" if folder is None else Path(folder)


def _cache_path(folder: Path, key: str) -> Path:
    return folder / f"{key}.pixels"


def _write(
    source: Source,
    items: Sequence[Item],
    size: int,
    folder: Path,
    key: str | None,
    progress: Progress,
    workers: int | None,
) -> Path:
    """Read every item into a new cache file, and return its path."""
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
        path = _cache_path(folder, key)
        partial.replace(path)
    except OSError as error:
        raise _storage_error(folder, None, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write_items(file: BinaryIO, taken: ReadingPass, size: int) -> _Index:
    shapes: list[tuple[int, ...]] = []
    dtypes: list[str] = []
    checksum = length = 0
    for reading in taken.readings():
        pixels = resize_shorter(reading.array, size)
        padding = bytes(_padding(length, pixels.dtype))
        for part in (padding, pixels.reshape(-1).view(np.uint8).data):
            file.write(part)
            checksum = zlib.crc32(part, checksum)
        length += len(padding) + pixels.nbytes
        shapes.append(pixels.shape)
        dtypes.append(pixels.dtype.str)
    index = _Index(
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


def _verified_index(path: Path) -> _Index:
    """The index of a cache file all of whose bytes are as they were written.

    Reading every pixel is worth its price (a CRC-32 runs at gigabytes a second): a crash of the
    machine can leave a renamed file with holes, and training on noise is silent.
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
