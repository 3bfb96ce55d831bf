"""Pictures laid over each other, compared piece by piece and colour by colour.

One strong edge can make two pictures correlate that agree in nothing else, and so can one letter in
two colours. A copy agrees with its original in every piece of it, and in its colours up to one
brightness of all.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from striate.data.duplicates.alignment import moved, smooth

_PIECE: Final = 8
_MIN_SEEN: Final = 0.95
_MIN_CONTRAST: Final = 2.5
_OF_COMPRESSION: Final = 3.0
_WORST: Final = 0.05
_MIN_COLOUR: Final = 2.0
_SQUARE: Final = 4
_MOST: Final = 0.95
_LEAST_STRENGTH: Final = 5.0
_TINY: Final = 1e-6


def agreement_of_pieces(
    first: Float[Tensor, "pairs side side"],
    second: Float[Tensor, "pairs side side"],
    maps: Float[Tensor, "pairs 4"],
) -> Float[Tensor, " pairs"]:
    """The correlation that all but the worst twentieth of the pieces of two pictures reach.

    Pieces are squares of an eighth of the side. Those without contrast say nothing; 1 where all do.
    What compression may change of a piece, a few grey levels, is no disagreement, so that pieces
    with a little contrast are judged as mildly as they deserve and those with much of it strictly.

    Args:
        first: Pictures in grey, from 0 to 255.
        second: Those that are laid over them.
        maps: See `alignment.aligned`.
    """
    laid, seen = moved(second[:, None], maps)
    one, other, there = (
        F.unfold(picture[:, None], _PIECE, stride=_PIECE).mT
        for picture in (smooth(first), smooth(laid[:, 0]), seen)
    )
    one, other = (pieces - pieces.mean(2, keepdim=True) for pieces in (one, other))
    variances = [pieces.square().mean(2) for pieces in (one, other)]
    allowed = _OF_COMPRESSION**2
    correlations = (one * other).mean(2) + allowed
    correlations = correlations / ((variances[0] * variances[1]).sqrt() + allowed)
    told = torch.maximum(*variances).sqrt() > _MIN_CONTRAST
    told &= there.mean(2) > _MIN_SEEN
    correlations = torch.where(told, correlations, torch.nan)
    return correlations.nanquantile(_WORST, dim=1).nan_to_num(1.0)


def difference_of_colours(
    first: Float[Tensor, "pairs 3 side side"],
    second: Float[Tensor, "pairs 3 side side"],
    maps: Float[Tensor, "pairs 4"],
) -> Float[Tensor, " pairs"]:
    """How much the colours of two pictures differ, as a share of how strong they are.

    A colour is what red, green and blue are beyond their mean, in squares of a few pixels, once the
    contrast of both pictures is the same. Compared is what 95 % of the squares do not exceed. 0 where
    one of the two is in grey.

    Args:
        first: Pictures in colour, from 0 to 255.
        second: Those that are laid over them.
        maps: See `alignment.aligned`.
    """
    laid, seen = moved(second, maps)
    greys = first.mean(1), laid.mean(1)
    gain = _spread(greys[0], seen) / _spread(greys[1], seen).clamp(min=_TINY)
    one = (first - greys[0][:, None]) * seen[:, None]
    other = (laid - greys[1][:, None]) * (gain * seen)[:, None]
    coloured = [side.square().mean((1, 2, 3)).sqrt() > _MIN_COLOUR for side in (one, other)]
    strength = torch.maximum(one.norm(dim=1), other.norm(dim=1))
    difference = F.avg_pool2d(one - other, _SQUARE).norm(dim=1)
    most = [
        of_squares.flatten(1).quantile(_MOST, dim=1)
        for of_squares in (difference, F.avg_pool2d(strength, _SQUARE))
    ]
    share = most[0] / most[1].clamp(min=_LEAST_STRENGTH)
    return torch.where(coloured[0] & coloured[1], share, 0.0)


def _spread(
    pictures: Float[Tensor, "pairs side side"], seen: Float[Tensor, "pairs side side"]
) -> Float[Tensor, "pairs 1 1"]:
    """The standard deviation of pictures where they are seen, times the root of their pixels."""
    mean = (pictures * seen).sum((1, 2), keepdim=True) / seen.sum((1, 2), keepdim=True).clamp(min=1)
    return ((pictures - mean) * seen).square().sum((1, 2), keepdim=True).sqrt()
