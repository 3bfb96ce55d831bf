"""Pairs of pictures that may be copies, by descriptors that forget what copying changes.

A picture is described by its lowest frequencies (DCT) without brightness and contrast. Two
covariances say how to compare descriptors: of what copying changes, measured on random crops of the
data set's own thumbnails, and of what differs between its pictures. In the directions in which both
are diagonal (a linear discriminant analysis) the distance weighs each by how much more pictures
differ there than copies do, so that it suits photographs and parts from one line alike.

A mirror changes the sign of the odd frequencies. Descriptors are therefore kept apart by parity
(across, down), and the sums of four products give the distances under all four flips at the price of
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS: Final = 6
"""Nearest pictures of each that may be its copies."""

FLIPS: Final = ((), (2,), (1,), (1, 2))
"""Axes of (pictures, height, width) that each flip turns: none, across, down, both."""

_FREQUENCIES: Final = 8
_MAX_SAMPLE: Final = 4096
_LEAST_KEPT: Final = 0.9
_NOISE: Final = 2.0
_LEAST_RATIO: Final = 1.5
_COPIES_KEPT: Final = 0.99
_SLACK: Final = 1.5
_ROWS, _COLUMNS = 128, 1024
_PICTURES_AT_ONCE: Final = 4096
_COMPARED_WITH_ALL: Final = 8192
_PICTURES_A_CENTRE: Final = 512


class Candidates(NamedTuple):
    """Pairs that may be copies.

    Attributes:
        pairs: (pairs, 2) Positions of the pictures, the lower first.
        flips: (pairs,) Numbers of the flip of `FLIPS` under which they are nearest.
        distances: (pairs,) Their squared distances, in units of what a random crop changes.
    """

    pairs: NDArray[np.int64]
    flips: NDArray[np.int64]
    distances: NDArray[np.float64]


def candidates(thumbnails: UInt8[Tensor, "n t t"]) -> Candidates:
    """The nearest pairs of pictures, as near as copies are, under any flip.

    Args:
        thumbnails: Pictures in grey, each squeezed to a square.
    """
    if len(thumbnails) < 2:
        return Candidates(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0))
    space = _Space.fitted(thumbnails)
    parts = [torch.cat(part) for part in zip(*map(space, _chunks(thumbnails)), strict=True)]
    found = [
        members[_nearest_pairs([part[members] for part in parts], space.limit)]
        for members in _neighbourhoods(parts[0])
    ]
    count = len(thumbnails)
    low, high = torch.cat(found).sort(1).values.T
    numbers = torch.unique(low * count + high)
    pairs = torch.stack([numbers // count, numbers % count], 1)
    flips, distances = _best_flip(*([part[side] for part in parts] for side in pairs.T))
    return Candidates(pairs.numpy(), flips.numpy(), distances.double().numpy())


def _neighbourhoods(even: Float[Tensor, "n d"]) -> Iterator[Tensor]:
    """Positions of pictures to be compared with each other: all of few, of many those that are near.

    Each picture belongs to the two nearest of some that are taken as centres. Copies have much the
    same descriptors and so share a centre; the number of comparisons grows as that of the pictures.

    Args:
        even: The descriptors that no flip changes.
    """
    count = len(even)
    if count <= _COMPARED_WITH_ALL:
        yield torch.arange(count)
        return
    centres = even[::_PICTURES_A_CENTRE]
    near = torch.cat(
        [torch.cdist(rows, centres).topk(2, largest=False).indices for rows in _chunks(even)]
    )
    order = near.flatten().argsort(stable=True)
    sizes = near.flatten().bincount(minlength=len(centres)).tolist()
    for members in torch.split(order // 2, sizes):
        if len(members) > 1:
            yield members.sort().values


def _nearest_pairs(parts: list[Tensor], limit: float) -> Int64[Tensor, "pairs 2"]:
    """Positions of near pictures among some, a pair once or twice.

    Half the sum of squares is taken off on both sides of the products of the part that no flip
    changes, so that they are minus half of the distances.
    """
    halves = torch.stack([part.square().sum(1) for part in parts]).sum(0)[:, None] / 2
    ones = torch.ones_like(halves)
    own = [torch.cat([parts[0], -halves, ones], 1), *parts[1:]]
    others = [torch.cat([parts[0], ones, -halves], 1), *parts[1:]]
    found = []
    for start in range(0, len(halves), _ROWS):
        rows = [part[start : start + _ROWS] for part in own]
        nearest = _Nearest(len(rows[0]), -limit / 2)
        for first in range(0, len(halves), _COLUMNS):
            columns = [part[first : first + _COLUMNS] for part in others]
            nearest.add(_largest_products(rows, columns), start, first)
        found.append(nearest.pairs(start))
    return torch.cat(found)


@dataclass(frozen=True, kw_only=True)
class _Space:
    """Descriptors of four parities, and the squared distance within which copies lie."""

    bases: tuple[Float[Tensor, "f d"], ...]
    limit: float

    @classmethod
    def fitted(cls, thumbnails: UInt8[Tensor, "n t t"]) -> _Space:
        """The space in which copies are near and other pictures of this data set are far."""
        sample = thumbnails[:: -(-len(thumbnails) // _MAX_SAMPLE)].float()
        generator = torch.Generator().manual_seed(0)
        own = _frequencies(sample)
        changes = [_frequencies(_cropped(sample, generator)) - own for _ in range(2)]
        bases = []
        for parity in range(4):
            inside = _parities() == parity
            values = own[:, inside] - (own[:, inside].mean(0) if parity == 0 else 0)
            between = 2 * values.T @ values / len(values)
            within = torch.cat([change[:, inside] for change in changes])
            bases.append(_discriminant(between, within.T @ within / len(within), inside))
        moved = torch.cat([sum(((change @ b).square().sum(1) for b in bases), torch.zeros(1)) for change in changes])  # fmt: skip
        return cls(bases=tuple(bases), limit=_SLACK * float(torch.quantile(moved, _COPIES_KEPT)))

    def __call__(self, thumbnails: UInt8[Tensor, "n t t"]) -> tuple[Tensor, ...]:
        """The descriptors of some pictures, those of each parity apart."""
        frequencies = _frequencies(thumbnails.float())
        return tuple(frequencies @ basis for basis in self.bases)


def _discriminant(between: Tensor, within: Tensor, inside: Tensor) -> Float[Tensor, "f d"]:
    """Directions in which pictures differ more than copies, weighted by how much more."""
    count = len(within)
    within = within + (1e-3 * within.diagonal().mean() + 1e-12) * torch.eye(count)
    inverse = torch.linalg.inv(torch.linalg.cholesky(within.double()))
    ratios, vectors = torch.linalg.eigh(inverse @ between.double() @ inverse.T)
    told = ratios > _LEAST_RATIO
    basis = torch.zeros(len(inside), int(told.sum()))
    basis[inside] = (inverse.T @ vectors[:, told] * (1 - 1 / ratios[told]).sqrt()).float()
    return basis


def _parities() -> Tensor:
    """(frequencies,) Twice whether a frequency is odd downwards, and once whether it is across."""
    odd = torch.arange(_FREQUENCIES) % 2
    return (2 * odd[:, None] + odd).flatten()[1:]


def _frequencies(pictures: Float[Tensor, "n t t"]) -> Float[Tensor, "n f"]:
    """The lowest frequencies of pictures of mean 0 and length 1, without the constant one."""
    side = pictures.shape[1]
    places = torch.arange(side) + 0.5
    cosines = torch.cos(torch.pi / side * torch.arange(_FREQUENCIES)[:, None] * places)
    flat = F.normalize((pictures - pictures.mean((1, 2), keepdim=True)).flatten(1))
    return (cosines @ flat.view_as(pictures) @ cosines.T).flatten(1)[:, 1:] * (2 / side)


def _cropped(
    pictures: Float[Tensor, "n t t"], generator: torch.Generator
) -> Float[Tensor, "n t t"]:
    """Random parts of pictures, 90 to 100 % of each side, with a little noise."""
    count, side, _ = pictures.shape
    kept = _LEAST_KEPT + (1 - _LEAST_KEPT) * torch.rand(count, 2, generator=generator)
    shift = (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - kept)
    maps = torch.cat([torch.diag_embed(kept), shift[:, :, None]], 2)
    grid = F.affine_grid(maps, [count, 1, side, side], align_corners=False)
    parts = F.grid_sample(pictures[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    noise = torch.randn(parts.shape, generator=generator)
    return (parts + _NOISE * noise).clamp(0, 255)


def _largest_products(rows: list[Tensor], columns: list[Tensor]) -> Float[Tensor, "r c"]:
    """The largest product of descriptors under any flip.

    The products of the four parities are summed: all as they are, or with the sign of two changed.
    What is computed here is computed for all pairs of pictures, so it is done in place.
    """
    even, across, down, both = (r @ c.T for r, c in zip(rows, columns, strict=True))
    straight = (across + both).abs_().add_(down)
    mirrored = across.sub_(both).abs_().sub_(down)
    return even.add_(torch.maximum(straight, mirrored, out=straight))


def _best_flip(first: list[Tensor], second: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The flip under which each pair is nearest, and its squared distance.

    Args:
        first: The four parts, (pairs, d) each, of each pair's first picture.
        second: The same of its second.
    """
    even, across, down, both = ((a * b).sum(1).double() for a, b in zip(first, second, strict=True))
    products = torch.stack([even + across + down + both, even - across + down - both, even + across - down - both, even - across - down + both])  # fmt: skip
    largest, flips = products.max(0)
    squares = [sum(part.square().sum(1).double() for part in side) for side in (first, second)]
    return flips, squares[0] + squares[1] - 2 * largest


class _Nearest:
    """The nearest columns of some rows, kept while blocks of columns come by."""

    def __init__(self, count: int, least: float) -> None:
        self._nearness = torch.full((count, NEIGHBOURS), least)
        self._columns = torch.full((count, NEIGHBOURS), -1)

    def add(self, nearness: Tensor, start: int, first: int) -> None:
        """Take account of a block whose first row and column are these of all."""
        own = torch.arange(len(nearness)) + start - first
        inside = (own >= 0) & (own < nearness.shape[1])
        nearness[inside.nonzero()[:, 0], own[inside]] = -float("inf")
        rows = (nearness.amax(1) > self._nearness[:, -1]).nonzero()[:, 0]
        if not len(rows):
            return
        values, places = nearness[rows].topk(min(NEIGHBOURS, nearness.shape[1]))
        all_values = torch.cat([self._nearness[rows], values], 1)
        all_columns = torch.cat([self._columns[rows], places + first], 1)
        self._nearness[rows], order = all_values.topk(NEIGHBOURS)
        self._columns[rows] = all_columns.gather(1, order)

    def pairs(self, start: int) -> Int64[Tensor, "pairs 2"]:
        """Row and column of each that is near enough."""
        rows, places = (self._columns >= 0).nonzero(as_tuple=True)
        return torch.stack([rows + start, self._columns[rows, places]], 1)


def _chunks(thumbnails: Tensor) -> Iterator[Tensor]:
    yield from torch.split(thumbnails, _PICTURES_AT_ONCE)
