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

_PIECE: Final = 16
_MIN_SEEN: Final = 0.95
_MIN_CONTRAST: Final = 2.5
_WORST: Final = 0.1
_MIN_COLOUR: Final = 2.0
_TINY: Final = 1e-6


def agreement_of_pieces(
    first: Float[Tensor, "pairs side side"],
    second: Float[Tensor, "pairs side side"],
    maps: Float[Tensor, "pairs 4"],
) -> Float[Tensor, " pairs"]:
    """The correlation that all but the worst tenth of the pieces of two pictures reach.

    Pieces are squares of a quarter of the side. Those without contrast say nothing; 1 where all do.

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
    correlations = (one * other).mean(2) / (variances[0] * variances[1]).sqrt().clamp(min=_TINY)
    told = torch.maximum(*variances).sqrt() > _MIN_CONTRAST
    told &= there.mean(2) > _MIN_SEEN
    correlations = torch.where(told, correlations, torch.nan)
    return correlations.nanquantile(_WORST, dim=1).nan_to_num(1.0)


def agreement_of_colours(
    first: Float[Tensor, "pairs 3 side side"],
    second: Float[Tensor, "pairs 3 side side"],
    maps: Float[Tensor, "pairs 4"],
) -> Float[Tensor, " pairs"]:
    """The correlation of red, green and blue together; 1 where one of two is in grey.

    Args:
        first: Pictures in colour, from 0 to 255.
        second: Those that are laid over them.
        maps: See `alignment.aligned`.
    """
    laid, seen = moved(second, maps)
    seen = seen[:, None]
    sides, coloured = [], []
    for picture in (first, laid):
        colours = (picture - picture.mean(1, keepdim=True)) * seen
        coloured.append(colours.square().mean((1, 2, 3)).sqrt() > _MIN_COLOUR)
        mean = (picture * seen).sum((1, 2, 3), keepdim=True) / (3 * seen.sum((1, 2, 3), keepdim=True)).clamp(min=1)  # fmt: skip
        sides.append(((picture - mean) * seen).flatten(1))
    return torch.where(coloured[0] & coloured[1], F.cosine_similarity(sides[0], sides[1]), 1.0)
