"""Near copies among pictures: the same picture stored again, and not one that looks alike.

A near copy is a picture scaled, compressed anew, mirrored, brighter or darker, or without a twentieth
of it. Things that merely look alike are none, and in some data (textures, parts from one line) all
look alike. So pairs that are near under some flip are laid over each other, at growing resolution,
and must correlate; and so must what is particular to the two: what is left when the components in
which pictures of this data set usually differ are taken away. In the end they must agree piece by
piece, and in their colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data.duplicates.alignment import aligned, inverse, overlap, smooth, unmoved
from striate.data.duplicates.candidates import FLIPS, candidates
from striate.data.duplicates.components import join
from striate.data.duplicates.detail import agreement_of_pieces, difference_of_colours

THUMBNAIL: Final = 32
"""The side of the grey thumbnails among which copies are looked for, in pixels."""

CLOSE: Final = 64
"""The side of the squares at which two pictures are compared in the end, in pixels."""

Look: TypeAlias = Callable[[NDArray[np.int64]], UInt8[Tensor, "n 3 64 64"]]
"""Gives the pictures at some positions in colour, as squares of side `CLOSE`."""

MIN_CORRELATION: Final = 0.97
"""The least correlation of two near copies that are laid over each other."""

MIN_PARTICULAR: Final = 0.93
"""The least correlation of what is particular to each of two near copies."""

MIN_PARTICULAR_SCALED: Final = 0.85
"""The same of two that agree only where one is scaled: things that merely look alike seldom do."""

MIN_PIECES: Final = 0.945
"""The least `agreement_of_pieces` of two near copies."""

MAX_COLOURS: Final = 0.55
"""The largest `difference_of_colours` of two near copies."""

LEAST_SHOWN: Final = 0.88
"""The least share of a picture's width and height that a near copy shows."""

MIN_CONTRAST: Final = 4.0
"""The standard deviation, in grey levels, under which a thumbnail is too plain to be compared."""

STORED_AGAIN: Final = 1.0
"""The squared distance, in units of what a random crop changes, of a picture merely stored again."""

MAX_IN_VAIN: Final = 2048
"""The search ends after so many pairs, the nearest first, of which none was one of copies.

In data that all look alike (digits, cells from one line) every picture has near neighbours, and to
look at all of them would take longer than to learn from them.
"""

MAX_PAIRS: Final = 8192
"""Pairs that are looked at closely, at most, the nearest first: half a minute's work."""

_COARSE: Final = 16
_MIN_COARSE: Final = 0.85
_MIN_MIDDLING: Final = 0.94
_STEPS: Final = 4
_MIN_MIDDLING_PARTICULAR: Final = 0.7
_MORE: Final = 0.02
_BEYOND: Final = 0.045
_PAIRS_AT_ONCE: Final = 128
_PICTURES_AT_ONCE: Final = 1 << 13
_MAX_COMPONENTS: Final = 256
_ITEMS_PER_COMPONENT: Final = 8
_MAX_SAMPLE: Final = 4096
_SPARE_DIRECTIONS: Final = 64
_ROUNDS: Final = 3


def near_pairs(
    thumbnails: UInt8[Tensor, "n 32 32"], look: Look, labels: Sequence[str | None] | None = None
) -> NDArray[np.int64]:
    """The positions of near copies, (pairs, 2), each pair once, ascending.

    Args:
        thumbnails: The pictures in grey, each squeezed to a small square.
        look: Gives larger ones in colour of those that are looked at more closely.
        labels: What each shows, where that is known: mirror images with two labels are no copies,
            for the side may be what tells them (b and d).
    """
    if len(thumbnails) < 2:
        return np.empty((0, 2), np.int64)
    contrast = torch.cat(
        [chunk.float().std((1, 2)) for chunk in torch.split(thumbnails, _PICTURES_AT_ONCE)]
    )
    told = np.flatnonzero(contrast.numpy() >= MIN_CONTRAST)
    pictures = thumbnails[torch.from_numpy(told)]
    pairs, flips, distances = candidates(pictures)
    if labels is not None:
        first, second = np.array([str(label) for label in labels])[told][pairs].T
        sound = (flips == 0) | (first == second)
        pairs, flips, distances = pairs[sound], flips[sound], distances[sound]
    if not len(pairs):
        return np.empty((0, 2), np.int64)
    # One of each cluster, so that many copies of a picture do not make it the usual one.
    same = join(len(pictures), pairs[distances < STORED_AGAIN])
    ones = np.unique(same, return_index=True)[1]
    verify = _Verification(pictures, lambda positions: look(told[positions]), ones)
    kept, in_vain = [np.empty((0, 2), np.int64)], 0
    nearest_first = np.argsort(distances, kind="stable")
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = nearest_first[start : start + _PAIRS_AT_ONCE]
        copies = verify(pairs[some], flips[some])
        kept.append(told[pairs[some][copies]])
        in_vain = 0 if len(copies) else in_vain + len(some)
        if in_vain >= MAX_IN_VAIN or start >= MAX_PAIRS:
            break
    return np.unique(np.concatenate(kept), axis=0)


class _Verification:
    """Looks at pairs closely, at growing resolution, and tells which are copies.

    Args:
        thumbnails: All pictures.
        look: Gives larger ones.
        ones: Positions of the pictures by which it is known what is usual.
    """

    def __init__(
        self, thumbnails: UInt8[Tensor, "n 32 32"], look: Look, ones: NDArray[np.int64]
    ) -> None:
        self._thumbnails = thumbnails
        self._look = look
        self._sample = ones[:: -(-len(ones) // _MAX_SAMPLE)]

    @cached_property
    def _usual(self) -> _Usual:
        return _Usual(self._thumbnails[torch.from_numpy(self._sample)])

    @cached_property
    def _usual_close(self) -> _Usual:
        return _Usual(_grey(self._look(self._sample)))

    def __call__(self, pairs: NDArray[np.int64], flips: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the pairs that are copies."""
        kept, maps = self._coarsely_alike(pairs, flips)
        if not len(kept):
            return kept
        colours = [self._look(side).float() for side in pairs[kept].T]
        colours[1] = _turned(colours[1], flips[kept])
        first, second = map(_grey, colours)
        maps = aligned(first, second, maps, _STEPS)
        alike = overlap(first, second, maps).correlations() >= MIN_CORRELATION
        alike &= _one_shows_the_other(maps)
        if not alike.any():
            return kept[:0]
        kept, first, second, maps = kept[alike.numpy()], first[alike], second[alike], maps[alike]
        least = torch.where(_scaled(maps), MIN_PARTICULAR_SCALED, MIN_PARTICULAR)
        same = self._usual_close.particular(first, second, maps) >= least
        maps = aligned(first, second, maps, _STEPS)
        same &= agreement_of_pieces(first, second, maps) >= MIN_PIECES
        colours = [side[alike] for side in colours]
        same &= difference_of_colours(colours[0], colours[1], maps) <= MAX_COLOURS
        copies: NDArray[np.int64] = kept[same.numpy()]
        return copies

    def _coarsely_alike(
        self, pairs: NDArray[np.int64], flips: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Float[Tensor, "kept 4"]]:
        """Which pairs correlate once they are laid over each other, and the maps that do it."""
        first, second = (self._thumbnails[torch.from_numpy(side)].float() for side in pairs.T)
        second = _turned(second, flips)
        maps, kept = unmoved(len(pairs)), torch.arange(len(pairs))
        for size, least in ((_COARSE, _MIN_COARSE), (THUMBNAIL, _MIN_MIDDLING)):
            factor = THUMBNAIL // size
            one, other = (smooth(F.avg_pool2d(x[kept], factor)) for x in (first, second))
            maps = aligned(one, other, maps, _STEPS)
            alike = overlap(one, other, maps).correlations() >= least
            kept, maps = kept[alike], maps[alike]
            if not len(kept):
                return kept.numpy(), maps
        particular = self._usual.particular(first[kept], second[kept], maps)
        alike = (particular >= _MIN_MIDDLING_PARTICULAR) | _scaled(maps)
        return kept[alike].numpy(), maps[alike]


def _scaled(maps: Float[Tensor, "pairs 4"]) -> Bool[Tensor, " pairs"]:
    """Whether pictures agree only where one of them is scaled."""
    return ((maps[:, 0::2] - 1).abs() > _MORE).any(1)


def _one_shows_the_other(maps: Float[Tensor, "pairs 4"]) -> Bool[Tensor, " pairs"]:
    """Whether one of two pictures shows all of the other and little more.

    Neighbouring parts of one picture overlap too, and each shows what the other does not.
    """
    found = torch.zeros(len(maps), dtype=torch.bool)
    for each in (maps, inverse(maps)):
        more, shifts = each[:, 0::2] - 1, each[:, 1::2]
        inside = (more >= -_BEYOND) & (more <= 1 / LEAST_SHOWN - 1)
        inside &= shifts.abs() <= more.clamp(min=0) + _BEYOND
        found |= inside.all(1)
    return found


def _turned(pictures: Tensor, flips: NDArray[np.int64]) -> Tensor:
    """Each picture under its flip."""
    turned = pictures.clone()
    for number, axes in enumerate(FLIPS):
        if axes:
            chosen = torch.from_numpy(flips == number)
            turned[chosen] = pictures[chosen].flip([axis - 3 for axis in axes])
    return turned


def _grey(pictures: Tensor) -> Float[Tensor, "n side side"]:
    """Pictures in colour, in grey."""
    return pictures.float().mean(1)


class _Usual:
    """What pictures of a data set have in common: the components that say most of them.

    Args:
        sample: Some of the pictures.
    """

    def __init__(self, sample: UInt8[Tensor, "n side side"]) -> None:
        flat = sample.flatten(1).float()
        flat = F.normalize(flat - flat.mean(1, keepdim=True))
        count = min(_MAX_COMPONENTS, len(flat) // _ITEMS_PER_COMPONENT)
        self._components = _components(flat, count)

    def particular(self, first: Tensor, second: Tensor, maps: Tensor) -> Float[Tensor, " pairs"]:
        """How alike two pictures are apart from what is usual, in the frame that shows more.

        A part of a picture lies elsewhere in its frame than whole pictures do, so that what is
        usual in it would not be known.
        """
        forward, backward = (
            self._left(first, second, maps),
            self._left(second, first, inverse(maps)),
        )
        area = maps[:, 0] * maps[:, 2]
        either = torch.where(area < 1 - _MORE, backward, torch.minimum(forward, backward))
        return torch.where(area > 1 + _MORE, forward, either)

    def _left(self, first: Tensor, second: Tensor, maps: Tensor) -> Tensor:
        laid = overlap(first, second, maps)
        seen = laid.seen
        sides = (laid.first, laid.second * seen + laid.first * (1 - seen))
        left = []
        for side in sides:
            flat = side.flatten(1)
            flat = F.normalize(flat - flat.mean(1, keepdim=True))
            flat = flat - (flat @ self._components.T) @ self._components
            left.append(flat * seen.flatten(1))
        return F.cosine_similarity(left[0], left[1])


def _components(rows: Float[Tensor, "n d"], count: int) -> Float[Tensor, "count d"]:
    """Orthonormal directions that hold the most of some rows (Halko, Martinsson and Tropp, 2011).

    A few products with a random block find them; all eigenvectors would take a hundred times as long.
    """
    block = min(count + _SPARE_DIRECTIONS, *rows.shape)
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(rows.shape[1], block, generator=generator)
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
    turned: Tensor = torch.linalg.svd(rows @ basis, full_matrices=False).Vh
    return turned[:count] @ basis.T
