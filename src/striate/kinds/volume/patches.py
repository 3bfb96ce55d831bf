"""Patches of volumes that stay on the disk, so that one larger than memory can be trained on.

Axes: a volume is (channels, *space), or (depth, height, width) for one channel without its axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import ArgumentError


class VolumePatches:
    """Patches of one size, drawn from mapped volumes; only what is drawn is read.

    Args:
        volumes: (channels, depth, height, width) or (depth, height, width) each, of any number
            type: `numpy.load(path, mmap_mode="r")`, `numpy.memmap`, or arrays in memory.
        size: Sizes of a patch along the axes of space.

    Raises:
        ArgumentError: A volume has other axes or is smaller than a patch.
    """

    def __init__(self, volumes: Sequence[NDArray[Any]], size: Sequence[int]) -> None:
        self.size = tuple(size)
        self._volumes = [v[None] if v.ndim == len(self.size) else v for v in volumes]
        for number, volume in enumerate(self._volumes):
            check_patch(volume.shape[1:], self.size, f"volume {number}")

    def __len__(self) -> int:
        """How many volumes there are."""
        return len(self._volumes)

    def drawn(
        self, items: Sequence[int], draws: NDArray[np.float64]
    ) -> Float[Tensor, "n channels *size"]:
        """A patch of each item, anywhere inside its volume.

        Args:
            items: Numbers of volumes; one may come more than once.
            draws: (n, axes of space) uniform in [0, 1); where the patch lies.
        """
        patches = []
        for item, row in zip(items, draws, strict=True):
            volume = self._volumes[item]
            patches.append(patch_at(volume, corner_of(volume.shape[1:], self.size, row), self.size))
        return torch.from_numpy(np.stack(patches))

    def tiles(
        self, item: int, overlap: float = 0.0
    ) -> Iterator[tuple[tuple[int, ...], Float[Tensor, "c depth height width"]]]:
        """Corner and patch of every place that covers a volume; see `tile_corners`."""
        volume = self._volumes[item]
        for corner in tile_corners(volume.shape[1:], self.size, overlap):
            yield corner, torch.from_numpy(patch_at(volume, corner, self.size))


def corner_of(
    space: Sequence[int], size: Sequence[int], draws: NDArray[np.float64]
) -> tuple[int, ...]:
    """Where a patch begins, by uniform draws in [0, 1); every place inside is equally likely."""
    axes = zip(space, size, draws.tolist(), strict=True)
    return tuple(int(draw * (n - side + 1)) for n, side, draw in axes)


def patch_at(
    volume: NDArray[Any], corner: Sequence[int], size: Sequence[int]
) -> Float[np.ndarray, "c depth height width"]:
    """The patch at a corner, of a size, as float32; a copy."""
    cut = tuple(slice(low, low + side) for low, side in zip(corner, size, strict=True))
    return np.array(volume[(slice(None), *cut)], np.float32)


def tile_corners(
    space: Sequence[int], size: Sequence[int], overlap: float = 0.0
) -> list[tuple[int, ...]]:
    """Corners of patches that cover a volume, the last of each axis moved inside.

    >>> tile_corners((4, 10), (4, 4))
    [(0, 0), (0, 4), (0, 6)]

    Args:
        space: Sizes of the volume.
        size: Sizes of a patch along the axes of space.
        overlap: Share of a patch that the next one covers again, below 1.

    Raises:
        ArgumentError: The overlap is out of range, or a patch is larger than the volume.
    """
    if not 0 <= overlap < 1:
        raise ArgumentError(f"overlap={overlap}", why="it is at least 0 and below 1")
    check_patch(space, size, "the volume")
    starts = []
    for n, side in zip(space, size, strict=True):
        step = max(1, round(side * (1 - overlap)))
        starts.append(sorted({min(start, n - side) for start in range(0, n - side + step, step)}))
    return list(itertools.product(*starts))


def check_patch(space: Sequence[int], size: Sequence[int], what: str) -> None:
    """Refuse a patch that does not fit.

    Raises:
        ArgumentError: It has other axes, or is larger than the volume.
    """
    if len(space) != len(size) or any(side > n for n, side in zip(space, size, strict=True)):
        sizes = " x ".join(map(str, space))
        raise ArgumentError(
            f"a patch of {' x '.join(map(str, size))}",
            why=f"{what} has {sizes}",
            fix="choose a smaller patch",
        )
