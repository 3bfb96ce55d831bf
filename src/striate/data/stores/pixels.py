"""Decoded images in one memory-mapped file, so that each is decoded once and never again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from striate.data.duplicates import CLOSE, THUMBNAIL, duplicate_groups
from striate.data.source import Item, Reading, Source
from striate.data.stores.pixel_file import (
    DamagedCacheError,
    cache_path,
    file_key,
    padding_after,
    verified_index,
    write_file,
)
from striate.data.stores.resizing import colour_squares, grey_squares, viewable
from striate.data.stores.store import Built, Stack, Store
from striate.errors import ArgumentError
from striate.files import user_cache_folder
from striate.progress import Progress

_PICTURES_AT_ONCE: Final = 256


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
        index = verified_index(path)
        self.size = index.size
        self.ids = index.ids
        self.shapes = index.shapes
        self.dtypes = tuple(map(np.dtype, index.dtypes))
        self._index = index
        self._bounds: NDArray[np.int64] = np.empty((len(self.shapes), 2), np.int64)
        total = 0
        for place, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            start = total + padding_after(total, dtype)
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
        key = file_key(source, items, size)
        if key and (path := cache_path(folder, key)).exists():
            try:
                return cls(path)._built(items)
            except DamagedCacheError as error:
                progress.say(f"{error}; building it again")
        return cls(write_file(source, items, size, folder, key, progress, workers))._built(items)

    @staticmethod
    def is_built(source: Source, items: Sequence[Item], size: int) -> bool:
        """Whether there is a cache for items, known by their files; the arguments are as in `build`."""
        key = file_key(source, items, size)
        return key is not None and cache_path(_cache_folder(None), key).exists()

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


def _cache_folder(folder: Path | None) -> Path:
    return user_cache_folder() / "pixels" if folder is None else Path(folder)
