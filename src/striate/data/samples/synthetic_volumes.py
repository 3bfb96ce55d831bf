"""Synthetic volumes: solids of six shapes in noise, each a pure function of its number.

No package ships a labelled set of real volumes, so this generator stands in for one and is called
synthetic wherever it is used. Every solid has a random position, orientation, size and proportions;
size and brightness are drawn alike for all shapes, so that counting or averaging voxels tells little,
and every volume holds a bright rod as a distractor, a slowly changing background and noise.

Axes: voxels are (depth, height, width); coordinates are (depth, height, width) along the last axis.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from striate.data.randomness import item_keys, uniforms
from striate.data.samples.sample import PREFIX, sample
from striate.data.source import Item, Listing, MemorySource, Note, Reading, Source

SIDE: Final = 32
"""The number of voxels along each axis."""

_MARGIN: Final = 1.5
"""The least number of voxels between a solid and the border."""

_VOLUME: Final = (500.0, 1100.0)
"""The bounds of a solid's volume, in voxels."""

_NOISE: Final = 0.55
"""The standard deviation of the noise; a solid is brighter than its background by 0.8 to 1.2."""

_DRAWS: Final = (
    "size", "first", "second", "third", "turn1", "turn2", "turn3", "depth", "height", "width",
    "contrast", "level", "ramp1", "ramp2", "ramp3",
    "rod_turn1", "rod_turn2", "rod_turn3", "rod_depth", "rod_height", "rod_width", "rod_length",
)  # fmt: skip

Points = Float[np.ndarray, "*grid 3"]
Distances = Float[np.ndarray, "*grid"]


def _ellipsoid(points: Points, first: float, second: float, scale: float = 1.0) -> Distances:
    """The distance to first order: the level over the length of its gradient."""
    radii = scale * np.array([1.0, 0.75 + 0.25 * first, 0.6 + 0.4 * second])
    level = np.sqrt(((points / radii) ** 2).sum(-1))
    slope = np.sqrt(((points / radii**2) ** 2).sum(-1))
    return np.asarray(level * (level - 1) / np.maximum(slope, 1e-9))


def _shell(points: Points, first: float, second: float) -> Distances:
    inner = _ellipsoid(points, first, second, scale=0.72)
    return np.asarray(np.maximum(_ellipsoid(points, first, second), -inner))


def _box(points: Points, first: float, second: float) -> Distances:
    sides = np.array([1.0, 0.75 + 0.25 * first, 0.6 + 0.4 * second]) / math.sqrt(3)
    beyond = np.abs(points) - sides
    outside = np.sqrt((np.maximum(beyond, 0) ** 2).sum(-1))
    return np.asarray(outside + np.minimum(beyond.max(-1), 0))


def _torus(points: Points, first: float, second: float) -> Distances:
    tube = 0.24 + 0.08 * first
    ring = np.hypot(points[..., 1], points[..., 2] / (0.85 + 0.15 * second)) - (1 - tube)
    return np.asarray(np.hypot(ring, points[..., 0]) - tube)


def _helix(points: Points, first: float, second: float) -> Distances:
    """A helix of two turns or a little more, of either hand."""
    angles = np.linspace(-1, 1, 72) * math.pi * (2 + 0.5 * first)
    hand = 1 if second < 0.5 else -1
    radius, height, tube = 0.54, 0.66, 0.145
    turn = np.stack(
        [height * angles / angles[-1], radius * np.cos(angles), hand * radius * np.sin(angles)], -1
    )
    squared = (points**2).sum(-1)[..., None] - 2 * points @ turn.T + (turn**2).sum(-1)
    return np.asarray(np.sqrt(np.maximum(squared.min(-1), 0)) - tube)


def _cross(points: Points, first: float, second: float) -> Distances:
    """Three rods at right angles."""
    rods = [
        _rod(np.roll(points, axis, -1), length, 0.24)
        for axis, length in enumerate((0.76, 0.76 - 0.2 * first, 0.76 - 0.2 * second))
    ]
    return np.asarray(np.minimum.reduce(rods))


def _rod(points: Points, half_length: float, radius: float) -> Distances:
    """A rod along the first coordinate, with round ends."""
    along = points[..., 0] - np.clip(points[..., 0], -half_length, half_length)
    across = np.hypot(points[..., 1], points[..., 2])
    return np.asarray(np.hypot(along, across) - radius)


SHAPES: Final[dict[str, Callable[[Points, float, float], Distances]]] = {
    "box": _box,
    "cross": _cross,
    "ellipsoid": _ellipsoid,
    "helix": _helix,
    "shell": _shell,
    "torus": _torus,
}
"""The classes: signed distance to each solid, which lies within the unit sphere."""


def volume_label(index: int) -> str:
    """The class of a volume; the classes come in turn."""
    return list(SHAPES)[index % len(SHAPES)]


def make_volume(index: int, seed: int = 0) -> UInt8[np.ndarray, "depth height width"]:
    """One synthetic volume of 32 voxels a side, the same whenever it is made.

    Args:
        index: The number of the volume, from 0.
        seed: The number of the set; another one gives other volumes.
    """
    keys = item_keys([f"synthetic-volume-{index}"])
    numbers = uniforms(keys, len(_DRAWS), seed=seed, epoch=0)[0]
    draws = dict(zip(_DRAWS, numbers.tolist(), strict=True))
    solid = _solid(SHAPES[volume_label(index)], draws)
    contrast = 0.8 + 0.4 * draws["contrast"]
    bright = np.maximum(contrast * solid, 1.1 * _distractor(draws))
    signal = _background(draws) + bright + _NOISE * _gaussians(keys, seed)
    return np.asarray(np.clip(np.rint(signal * 48 + 80), 0, 255).astype(np.uint8))


def _solid(
    distance: Callable[[Points, float, float], Distances], draws: dict[str, float]
) -> Float[np.ndarray, "depth height width"]:
    """How much of each voxel the solid fills, 0 to 1."""
    low, high = _VOLUME
    wanted = low * (high / low) ** draws["size"]
    radius = (wanted / _unit_volume(distance, draws["first"], draws["second"])) ** (1 / 3)
    radius = min(radius, SIDE / 2 - _MARGIN)
    points = _points(draws, radius)
    distances = radius * distance(points / radius, draws["first"], draws["second"])
    return np.asarray(np.clip(0.5 - distances, 0, 1))


def _unit_volume(
    distance: Callable[[Points, float, float], Distances], first: float, second: float
) -> float:
    """The volume of a solid within the unit sphere, counted on a coarse grid."""
    steps = (np.arange(24) + 0.5) / 12 - 1
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    return float((distance(grid, first, second) < 0).mean() * 8)


def _distractor(draws: dict[str, float]) -> Float[np.ndarray, "depth height width"]:
    half_length, radius = 4 + 4 * draws["rod_length"], 1.6
    points = _points(draws, half_length, prefix="rod_")
    return np.asarray(np.clip(0.5 - _rod(points, half_length, radius), 0, 1))


def _points(draws: dict[str, float], reach: float, prefix: str = "") -> Points:
    """Each voxel's coordinates, in voxels, as seen from a turned thing somewhere inside.

    Args:
        draws: Numbers in [0, 1): "depth", "height" and "width" say where it is, among the places
            with `reach` to every border, "turn1" to "turn3" how it is turned.
        reach: How far the thing reaches from its middle, in voxels.
        prefix: What stands before these names in `draws`.
    """
    places = np.array([draws[prefix + name] for name in ("depth", "height", "width")])
    turns = [draws[f"{prefix}turn{number}"] for number in (1, 2, 3)]
    room = SIDE / 2 - _MARGIN - reach
    centre = SIDE / 2 + max(room, 0) * (2 * places - 1)
    steps = np.arange(SIDE) + 0.5
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1) - centre
    return np.asarray(grid @ _rotation(turns))


def _rotation(turns: list[float]) -> Float[np.ndarray, "3 3"]:
    """A turn, all equally likely (Shoemake, "Uniform random rotations", Graphics Gems III, 1992)."""
    from scipy.spatial.transform import Rotation

    u, v, w = turns
    first = math.sqrt(1 - u) * np.exp(2j * math.pi * v)
    second = math.sqrt(u) * np.exp(2j * math.pi * w)
    return np.asarray(
        Rotation.from_quat([first.imag, first.real, second.imag, second.real]).as_matrix()
    )


def _background(draws: dict[str, float]) -> Float[np.ndarray, "depth height width"]:
    """A level of its own and a slope along each axis."""
    steps = np.linspace(-0.5, 0.5, SIDE)
    ramps = np.meshgrid(steps, steps, steps, indexing="ij")
    slopes = [draws[f"ramp{number}"] - 0.5 for number in (1, 2, 3)]
    slope = sum(s * ramp for s, ramp in zip(slopes, ramps, strict=True))
    return np.asarray(0.8 * draws["level"] + slope)


def _gaussians(keys: NDArray[np.uint64], seed: int) -> Float[np.ndarray, "depth height width"]:
    """Independent standard normal numbers (Box and Muller, 1958)."""
    flat = uniforms(keys, 2 * SIDE**3, seed=seed, epoch=1)[0]
    radius = np.sqrt(-2 * np.log1p(-flat[: SIDE**3]))
    return np.asarray((radius * np.cos(2 * math.pi * flat[SIDE**3 :])).reshape(SIDE, SIDE, SIDE))


@sample(
    "synthetic-volumes", "volume", 600, "Apache-2.0",
    "synthetic solids in noise, 32x32x32: box, cross, ellipsoid, helix, shell, torus",
)  # fmt: skip
def _synthetic_volumes() -> Source:
    items = tuple(Item(id=f"{index:04d}", label=volume_label(index)) for index in range(600))
    message = "these volumes are synthetic: made by a program, not measured"
    note = Note(code="synthetic", message=message, severity="info")

    def read(item: Item) -> Reading:
        volume = make_volume(int(item.id))
        return Reading(array=volume[None], sha256=hashlib.sha256(volume.data).hexdigest())

    listing = Listing(items=items, notes=(note,))
    return MemorySource("volume", f"{PREFIX}synthetic-volumes", listing, read)
