"""The 8 symmetries of a square image, and the sets of them under which labels may not change.

The first 4 are those of any rectangle.
"""

from __future__ import annotations

from typing import Final

from jaxtyping import Shaped
from torch import Tensor

from striate.errors import UnknownNameError

SYMMETRIES: Final = {
    "identity": (0,),
    "mirror": (0, 1),
    "flips": (0, 1, 2, 3),
    "dihedral": tuple(range(8)),
}
"""Numbers by set. Bit 0: mirror left and right; bit 1: top and bottom; bit 2: then transpose."""


def apply_symmetry(
    images: Shaped[Tensor, "*batch h w"], number: int
) -> Shaped[Tensor, "*batch H W"]:
    """The images under symmetry `number` (0 to 7); an exact index operation."""
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if number & bit]
    images = images.flip(axes) if axes else images
    return images.transpose(-1, -2) if number & 4 else images


def views_of(images: Shaped[Tensor, "*batch h w"], symmetry: str) -> list[Tensor]:
    """The images under every member of a set of symmetries.

    Raises:
        UnknownNameError: There is no such set.
    """
    if symmetry not in SYMMETRIES:
        raise UnknownNameError("set of symmetries", symmetry, SYMMETRIES)
    return [apply_symmetry(images, number) for number in SYMMETRIES[symmetry]]
