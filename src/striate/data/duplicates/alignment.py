"""Pictures laid over each other: the part of one that the other shows, found by Gauss-Newton steps.

A copy may show a part of a picture and be stretched a little. So the second picture is scaled and
shifted along both axes until it agrees best with the first in all but brightness and contrast
(inverse of B. Lucas and T. Kanade, "An iterative image registration technique", IJCAI 1981), and
their correlation is that of what both show.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_DAMPING: Final = 0.02
_LARGEST_STEP: Final = 0.06
_SCALES: Final = (0.8, 1.25)
_SHIFTS: Final = (-0.2, 0.2)
_LEAST_GAIN: Final = 0.1
_TINY: Final = 1e-3


class Overlap(NamedTuple):
    """Two pictures over each other, in the frame of the first.

    Attributes:
        first: (pairs, side, side) The first pictures, of mean 0 and length 1 where both are seen.
        second: (pairs, side, side) The second pictures, laid over them.
        seen: (pairs, side, side) 1 where both are seen and 0 elsewhere.
    """

    first: Tensor
    second: Tensor
    seen: Tensor

    def correlations(self) -> Float[Tensor, " pairs"]:
        """How alike the two are where both are seen, from -1 to 1."""
        return (self.first * self.second * self.seen).sum((1, 2))


def unmoved(count: int) -> Float[Tensor, "pairs 4"]:
    """The maps that leave pictures as they are; see `aligned`."""
    return torch.tensor([1.0, 0.0, 1.0, 0.0]).repeat(count, 1)


def inverse(maps: Float[Tensor, "pairs 4"]) -> Float[Tensor, "pairs 4"]:
    """The maps that lay the first pictures over the second."""
    scales, shifts = maps[:, 0::2], maps[:, 1::2]
    return torch.stack([1 / scales, -shifts / scales], 2).flatten(1)


def aligned(
    first: Float[Tensor, "pairs side side"],
    second: Float[Tensor, "pairs side side"],
    maps: Float[Tensor, "pairs 4"],
    steps: int,
) -> Float[Tensor, "pairs 4"]:
    """Better maps of places of the first pictures to places of the second.

    Args:
        first: The pictures that stay as they are.
        second: The pictures that are laid over them.
        maps: Scale and shift across, then down, in coordinates from -1 to 1, to begin with.
        steps: Number of Gauss-Newton steps.
    """
    side = first.shape[1]
    stack = torch.stack([second, *_slopes(second)], 1)
    across, down = torch.meshgrid(_places(side), _places(side), indexing="xy")
    for _ in range(steps):
        laid, seen = moved(stack, maps)
        picture, by_x, by_y = laid.unbind(1)
        columns = [by_x * across, by_x, by_y * down, by_y, picture, torch.ones_like(picture)]
        system = (torch.stack(columns, 1) * seen[:, None]).flatten(2)
        normal = system @ system.mT
        damping = normal.diagonal(dim1=1, dim2=2) * _DAMPING
        damping[:, 4:] = 0
        wanted = system @ (first * seen).flatten(1)[:, :, None]
        solved = torch.linalg.solve(normal + torch.diag_embed(damping + _TINY), wanted)[:, :, 0]
        gain = solved[:, 4:5]
        gain = torch.where(gain.abs() < _LEAST_GAIN, _LEAST_GAIN, gain)
        maps = maps + (solved[:, :4] / gain).clamp(-_LARGEST_STEP, _LARGEST_STEP)
        maps = torch.stack(
            [maps[:, 0::2].clamp(*_SCALES), maps[:, 1::2].clamp(*_SHIFTS)], 2
        ).flatten(1)
    return maps


def overlap(
    first: Float[Tensor, "pairs side side"],
    second: Float[Tensor, "pairs side side"],
    maps: Float[Tensor, "pairs 4"],
) -> Overlap:
    """The pictures over each other by these maps, without brightness and contrast."""
    laid, seen = moved(second[:, None], maps)
    return Overlap(_standard(first, seen), _standard(laid[:, 0], seen), seen)


def moved(
    pictures: Float[Tensor, "n c side side"], maps: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n c side side"], Float[Tensor, "n side side"]]:
    """Pictures read at the mapped places, and 1 where these lie inside of them, elsewhere 0.

    Args:
        pictures: Pictures of any channels.
        maps: See `aligned`.
    """
    side = pictures.shape[-1]
    places = _places(side)
    across = maps[:, :1] * places + maps[:, 1:2]
    down = maps[:, 2:3] * places + maps[:, 3:]
    shape = (len(maps), side, side)
    grid = torch.stack([across[:, None].expand(shape), down[:, :, None].expand(shape)], 3)
    limit = 1 - 1 / side + 1e-6
    seen = ((across.abs() <= limit)[:, None] & (down.abs() <= limit)[:, :, None]).float()
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False), seen


def smooth(pictures: Float[Tensor, "n side side"]) -> Float[Tensor, "n side side"]:
    """Pictures blurred a little, by binomial weights of three pixels."""
    weights = torch.tensor([0.25, 0.5, 0.25])
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, torch.outer(weights, weights)[None, None])[:, 0]


def _slopes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """How pictures change across and down, for each unit of coordinates from -1 to 1."""
    by_x, by_y = torch.zeros_like(pictures), torch.zeros_like(pictures)
    by_x[:, :, 1:-1] = pictures[:, :, 2:] - pictures[:, :, :-2]
    by_y[:, 1:-1] = pictures[:, 2:] - pictures[:, :-2]
    factor = pictures.shape[1] / 4
    return by_x * factor, by_y * factor


def _places(side: int) -> Tensor:
    """The middles of pixels in coordinates from -1 to 1."""
    return (2 * torch.arange(side) + 1) / side - 1


def _standard(pictures: Tensor, seen: Tensor) -> Tensor:
    """Pictures of mean 0 and length 1 where they are seen."""
    count = seen.sum((1, 2), keepdim=True).clamp(min=1)
    centred = pictures - (pictures * seen).sum((1, 2), keepdim=True) / count
    length = (centred * seen).square().sum((1, 2), keepdim=True).sqrt()
    return centred / length.clamp(min=_TINY)
