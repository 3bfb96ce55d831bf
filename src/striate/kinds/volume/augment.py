"""Random variants of volumes, from given draws alone.

Flips and quarter turns are exact index operations; small rotations and the elastic deformation are
one trilinear resampling together; then intensities are scaled, shifted and get noise.

Axes: (n, channels, depth, height, width); angles and displacements in the order of the axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.errors import ArgumentError, UnknownNameError

Symmetry: TypeAlias = Literal["identity", "mirror", "flips", "dihedral", "cube"]

SYMMETRIES: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "identity": ((), ()),
    "mirror": ((2,), ()),
    "flips": ((0, 1, 2), ()),
    "dihedral": ((1, 2), (1, 2)),
    "cube": ((0, 1, 2), (0, 1, 2)),
}
"""By name: axes that may be flipped, and axes that may change places where their sizes agree."""

_KNOTS: Final = 5
_DRAWS: Final = (
    "order", "flip0", "flip1", "flip2", "angle0", "angle1", "angle2", "scale", "shift",
    "noise", "noise_seed",
)  # fmt: skip

NUM_DRAWS: Final = len(_DRAWS) + 3 * _KNOTS**3
"""Random numbers that one volume takes."""


@dataclass(frozen=True, kw_only=True)
class VolumePolicy:
    """What may happen to a volume.

    Attributes:
        symmetry: Exact flips and turns: `mirror` of the last axis; `flips` of every axis;
            `dihedral`, the 8 symmetries of a slice; `cube`, all 48 of the cube.
        rotation: Volumes are turned about each axis by up to this many degrees either way; borders
            are repeated.
        elastic: Largest displacement of a smooth random deformation, in voxels.
        scale: Intensities are multiplied by 1 ± up to this.
        shift: Intensities are moved by up to ± this, in deviations of the training voxels.
        noise: Normal noise of a deviation up to this, in deviations of the training voxels.

    Raises:
        UnknownNameError: There is no such symmetry.
        ArgumentError: A value is out of its range.
    """

    symmetry: Symmetry = "mirror"
    rotation: float = 0.0
    elastic: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.symmetry not in SYMMETRIES:
            raise UnknownNameError("symmetry of volumes", self.symmetry, SYMMETRIES)
        if not 0 <= self.rotation <= 180:
            raise ArgumentError(f"rotation={self.rotation}", why="it is between 0 and 180 degrees")
        for name in ("elastic", "shift", "noise"):
            if not (value := getattr(self, name)) >= 0:
                raise ArgumentError(f"{name}={value}", why="it is at least 0")
        if not 0 <= self.scale < 1:
            raise ArgumentError(f"scale={self.scale}", why="it is at least 0 and below 1")


POLICIES: Final = {
    "none": VolumePolicy(symmetry="identity"),
    "gentle": VolumePolicy(rotation=8, scale=0.1, shift=0.1, noise=0.1),
    "strong": VolumePolicy(rotation=20, elastic=2, scale=0.2, shift=0.2, noise=0.2),
}
"""Ready policies, by name; the symmetry is chosen apart."""


def augment_volumes(
    volumes: Float[Tensor, "n c d h w"], draws: NDArray[np.float64], policy: VolumePolicy
) -> Float[Tensor, "n c d h w"]:
    """A random variant of each normalized volume; the inputs stay as they are.

    Args:
        volumes: Normalized volumes; shift and noise are in their unit.
        draws: (n, `NUM_DRAWS`) uniform in [0, 1).
        policy: What may happen to them.
    """
    assert draws.shape == (len(volumes), NUM_DRAWS), draws.shape
    named = dict(zip(_DRAWS, draws.T, strict=False))
    out = torch.stack(
        [
            _reflected(volume, policy, {name: float(column[n]) for name, column in named.items()})
            for n, volume in enumerate(volumes)
        ]
    )
    if policy.rotation or policy.elastic:
        out = _deformed(out, named, draws[:, len(_DRAWS) :], policy)
    column = (-1, 1, 1, 1, 1)
    if policy.scale or policy.shift:
        scale = torch.from_numpy(1 + policy.scale * (2 * named["scale"] - 1)).float()
        shift = torch.from_numpy(policy.shift * (2 * named["shift"] - 1)).float()
        out = out * scale.view(column) + shift.view(column)
    if policy.noise:
        out = out + torch.stack(
            [
                policy.noise * amount * _normal(seed, out.shape[1:])
                for amount, seed in zip(named["noise"], named["noise_seed"], strict=True)
            ]
        )
    return out


def _normal(draw: float, shape: Sequence[int]) -> Tensor:
    """Normal numbers that follow from one draw."""
    generator = torch.Generator().manual_seed(int(draw * 2.0**53))
    return torch.randn(tuple(shape), generator=generator)


def _reflected(
    volume: Float[Tensor, "c d h w"], policy: VolumePolicy, draws: dict[str, float]
) -> Float[Tensor, "c d h w"]:
    """One symmetry of those allowed, each as often."""
    flips, exchanged = SYMMETRIES[policy.symmetry]
    orders = _orders(tuple(volume.shape[1:]), exchanged)
    order = orders[int(draws["order"] * len(orders))]
    turned = volume.permute(0, *(axis + 1 for axis in order))
    return turned.flip([axis + 1 for axis in flips if draws[f"flip{axis}"] < 0.5])


def _orders(space: tuple[int, ...], exchanged: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Orders of the axes that leave the sizes as they are and move none but `exchanged`."""
    return [
        order
        for order in itertools.permutations(range(3))
        if all(
            space[old] == space[new] and (old == new or {old, new} <= set(exchanged))
            for new, old in enumerate(order)
        )
    ]


def _deformed(
    volumes: Float[Tensor, "n c d h w"],
    named: dict[str, NDArray[np.float64]],
    knots: NDArray[np.float64],
    policy: VolumePolicy,
) -> Float[Tensor, "n c d h w"]:
    """Turned about the middle and bent, by one resampling; outside, the border is repeated."""
    space = torch.tensor(volumes.shape[2:], dtype=torch.float32)
    axes = [torch.arange(size) - (size - 1) / 2 for size in volumes.shape[2:]]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # voxels from the middle
    degrees = np.stack([named[f"angle{axis}"] for axis in range(3)], 1)
    turns = _rotations(torch.from_numpy(np.deg2rad((2 * degrees - 1) * policy.rotation)).float())
    places = torch.einsum("dhwj,nij->ndhwi", grid, turns)
    if policy.elastic:
        places = places + policy.elastic * _smooth(knots, volumes.shape[2:])
    # grid_sample wants -1 and 1 at the outer borders of the volume, and the last axis first.
    return F.grid_sample(
        volumes,
        (places * 2 / space).flip(-1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )


def _rotations(angles: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Turns about the first, then the second, then the third axis, in radians."""
    turns = torch.eye(3).expand(len(angles), 3, 3)
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        turn = torch.eye(3).repeat(len(angles), 1, 1)
        turn[:, first, first] = turn[:, second, second] = angles[:, axis].cos()
        turn[:, first, second] = -angles[:, axis].sin()
        turn[:, second, first] = angles[:, axis].sin()
        turns = turn @ turns
    return turns


def _smooth(
    knots: NDArray[np.float64], space: Sequence[int]
) -> Float[Tensor, "n depth height width 3"]:
    """A field between -1 and 1 with two continuous derivatives, from uniform numbers at knots."""
    field = torch.from_numpy(2 * knots - 1).float().view(-1, 3, _KNOTS, _KNOTS, _KNOTS)
    bases = [_cubic_basis(size) for size in space]
    return torch.einsum("nkabc,da,hb,wc->ndhwk", field, *bases)


def _cubic_basis(size: int) -> Float[Tensor, "size knots"]:
    """Uniform cubic B-splines over the axis; each row is positive and sums to 1."""
    places = torch.linspace(0, _KNOTS - 3, size) if size > 1 else torch.ones(1)
    away = (places[:, None] - (torch.arange(_KNOTS) - 1)[None]).abs()
    near = 2 / 3 - away**2 + away**3 / 2
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far)
