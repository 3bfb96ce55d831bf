"""Feature maps made ready to be drawn: small, in 8 bits, with the scale that they were drawn at.

What is drawn is reduced; what is computed and read from the page is not.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from striate.explorer.grid import Grid
from striate.explorer.numbers import packed

PER_PAGE: Final = 32
"""Channels that are sent at once."""

TILE: Final = 64
"""The longer side of a small map, in pixels."""

POINTS: Final = 128
"""Points of a small trace."""

ZERO: Final = 128
"""The level that stands for 0; a level is 1/127 of the scale."""


def small_maps(grid: Grid, first: int = 0, depth: int | None = None) -> dict[str, Any]:
    """Some channels of a layer, each as a small picture or trace in 8 bits.

    Args:
        grid: The layer.
        first: The first channel.
        depth: Which slice of a volume; the middle one by default.
    """
    flat = _flat(grid, depth)
    scale = float(np.abs(flat[np.isfinite(flat)]).max(initial=0.0)) or 1.0
    shown = flat[first : first + PER_PAGE]
    small = _reduced(shown)
    levels = np.nan_to_num(np.rint(small / scale * 127) + ZERO).clip(1, 255).astype(np.uint8)
    return {"first": first, "scale": scale, "levels": packed(levels)}


def one_map(grid: Grid, channel: int, depth: int | None = None) -> dict[str, Any]:
    """One channel of a layer with every value of it, of a volume one slice.

    Raises:
        ArgumentError: There is no such channel.
    """
    grid.check(channel, (0,) * len(grid.space))
    values = _flat(grid, depth)[channel]
    return {"values": packed(values), "depth": _depth(grid, depth)}


def picture(raw: NDArray[Any]) -> UInt8[np.ndarray, "height width 3"] | None:
    """An item with two axes of space as a picture; None where it has one or three.

    Args:
        raw: (channels, *space) The item before it is normalized: uint8 as it is, anything else
            scaled from its percentiles 1 and 99 in each channel.
    """
    if raw.ndim != 3:
        return None
    shown = raw[:3] if len(raw) > 2 else raw[:1]
    if shown.dtype != np.uint8:
        low, high = np.percentile(shown, (1, 99), axis=(1, 2), keepdims=True)
        scaled = (shown - low) * (255 / np.where(high > low, high - low, 1.0))
        shown = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(shown, (3, *shown.shape[1:])).transpose(1, 2, 0))


def _depth(grid: Grid, depth: int | None) -> int | None:
    """The slice of a volume that is shown; None where there is no depth."""
    if len(grid.space) != 3:
        return None
    return min(max(depth, 0), grid.space[0] - 1) if depth is not None else grid.space[0] // 2


def _flat(grid: Grid, depth: int | None) -> NDArray[np.float32]:
    """The channels with at most two axes of space."""
    at = _depth(grid, depth)
    return grid.array if at is None else grid.array[:, at]


def _reduced(maps: NDArray[Any]) -> NDArray[Any]:
    """Means over blocks for pictures; for traces the smallest and the largest value of each run."""
    if maps.ndim < 2:
        return maps
    if maps.ndim == 2:
        length = maps.shape[1]
        if length <= POINTS:
            return maps
        edges = np.linspace(0, length, POINTS // 2 + 1).astype(int)[:-1]
        ends = [np.minimum.reduceat(maps, edges, axis=1), np.maximum.reduceat(maps, edges, axis=1)]
        return np.stack(ends, axis=-1).reshape(len(maps), -1)
    block = -(-max(maps.shape[1:]) // TILE)
    if block == 1:
        return maps
    for axis in (1, 2):
        edges = np.arange(0, maps.shape[axis], block)
        counts = np.diff(np.append(edges, maps.shape[axis]))
        shape = [-1 if other == axis else 1 for other in range(3)]
        maps = np.add.reduceat(maps, edges, axis=axis) / counts.reshape(shape)
    return maps
