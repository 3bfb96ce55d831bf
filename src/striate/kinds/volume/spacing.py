"""Volumes brought to another grid: another spacing of the voxels, another number of them.

Axes: (channels, depth, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

_SLAB: Final = 1 << 24
"""Voxels converted at once, so that a volume on the disk is never in memory as a whole."""

_FAR: Final = 8
"""An axis that is resampled to more than so many times what is kept of it is resampled there alone: the
spacing in a file's header may be wrong by any factor."""

_MOST: Final = 2.0**31
"""The most samples of an axis: beyond that the spacing in the header says nothing."""


def resampling_weights(
    size: int, wanted: int, rows: slice | None = None
) -> Float[np.ndarray, "wanted size"]:
    """How much each of `size` samples gives to each of the samples wanted; rows sum to 1.

    Linear interpolation between sample centres; towards fewer samples the triangle is as wide as
    the step, so that nothing is left out (the antialiased filter of Pillow and torch).

    Args:
        size: Number of samples there are.
        wanted: Number of samples wanted.
        rows: Which of the samples wanted to give the rows of; all by default.
    """
    step = size / wanted
    places = np.arange(wanted) if rows is None else np.arange(rows.start, rows.stop)
    centres = (places + 0.5) * step - 0.5
    away = np.abs(np.arange(size)[None] - np.clip(centres, 0, size - 1)[:, None])
    if step > 1:
        away = np.abs(np.arange(size)[None] - centres[:, None])
    weights = np.maximum(0, 1 - away / max(step, 1.0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def resampled(
    array: NDArray[Any],
    wanted: Sequence[int],
    window: NDArray[np.float32] | None = None,
    kept: Sequence[int] | None = None,
) -> Float[np.ndarray, "c d2 h2 w2"]:
    """The same field on a grid of other size that spans the same space.

    Args:
        array: (channels, depth, height, width) of any number type; may be mapped from the disk.
        wanted: Sizes of the result's space.
        window: (channels, 2) bounds to which values are clipped first.
        kept: Sizes of its middle, where no more is kept of it; an axis that is far larger then
            comes at this size.
    """
    channels, depth = array.shape[:2]
    wanted = tuple(wanted)
    rows = [None if few * _FAR >= n else middle(n, few)
            for n, few in zip(wanted, kept or wanted, strict=True)]  # fmt: skip
    weights = [resampling_weights(*one) for one in zip(array.shape[1:], wanted, rows, strict=True)]
    wanted = tuple(map(len, weights))
    step = max(1, _SLAB // max(1, array[:, :1].size))
    thin = np.empty((channels, depth, *wanted[1:]), np.float32)
    for start in range(0, depth, step):
        slab = np.asarray(array[:, start : start + step], np.float32)
        if window is not None:
            bounds = window.reshape(channels, 2, *[1] * (array.ndim - 1))
            slab = slab.clip(bounds[:, 0], bounds[:, 1])
        for axis in range(2, array.ndim):
            slab = _along(slab, axis, weights[axis - 1])
        thin[:, start : start + step] = slab
    return np.asarray(_along(thin, 1, weights[0]))


def _along(array: NDArray[np.float32], axis: int, weights: NDArray[np.float32]) -> Any:
    if weights.shape[0] == weights.shape[1]:
        return array
    return np.moveaxis(np.tensordot(array, weights, (axis, 1)), -1, axis)


def size_at(
    space: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]
) -> tuple[int, ...]:
    """Samples along each axis once the spacing is the one wanted; at least one.

    >>> size_at((10, 64, 64), (5.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    (25, 32, 32)
    """
    axes = zip(space, spacing, wanted, strict=True)
    return tuple(max(1, math.floor(min(n * had / new, _MOST) + 0.5)) for n, had, new in axes)


def middle(size: int, kept: int) -> slice:
    """The middle of an axis.

    >>> middle(10, 4)
    slice(3, 7, None)
    """
    start = (size - kept) // 2
    return slice(start, start + kept)


def centred(
    array: Float[np.ndarray, "c d h w"],
    wanted: Sequence[int],
    fill: Float[np.ndarray, " c"],
) -> Float[np.ndarray, "c d2 h2 w2"]:
    """The middle of an array, cut where it is larger than wanted and filled where it is smaller."""
    out = np.empty((len(array), *wanted), np.float32)
    out[...] = fill.reshape(-1, *[1] * len(wanted))
    source, target = [slice(None)], [slice(None)]
    for had, new in zip(array.shape[1:], wanted, strict=True):
        kept = min(had, new)
        source.append(middle(had, kept))
        target.append(middle(new, kept))
    out[tuple(target)] = array[tuple(source)]
    return out
