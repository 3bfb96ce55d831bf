"""How an image of any shape comes into the network's input: its middle alone, or all of it.

Of the three framings "crop" takes the central square; "pad" scales the whole image into a square,
and "rectangle" into an input that is as high and wide as most of the training images are. What the
whole image leaves free is filled with the mean colour, which is about zero once it is normalized,
as what convolutions see beyond the border is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from striate.data.stores.resizing import center_crop, resized

CROP, PAD, RECTANGLE = "crop", "pad", "rectangle"

FRAMINGS: Final = (CROP, PAD, RECTANGLE)
"""The names, the simplest first."""

STEP: Final = 32
"""The sides of a rectangle are multiples of so many pixels, the stride of most networks."""

CUT: Final = 0.15
"""An image is cut where the central square leaves out more than this share of its pixels."""

MAX_CUT: Final = 0.05
"""Share of cut images up to which the central square is taken without a comparison."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What is known of the heights and widths of some images.

    Attributes:
        aspect: Median of width over height.
        median: Share of an image's pixels that the central square shows, in the median.
        least: The smallest such share.
        cut: Share of the images of which the square leaves out more than `CUT`.
        count: Number of the images.
    """

    aspect: float = 1.0
    median: float = 1.0
    least: float = 1.0
    cut: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, sizes: Iterable[tuple[int, int]]) -> Shapes:
        """The shapes of images of these heights and widths."""
        aspects = np.array([width / height for height, width in sizes])
        if not len(aspects):
            return cls()
        shares = np.minimum(aspects, 1 / aspects)
        return cls(
            aspect=float(np.median(aspects)),
            median=float(np.median(shares)),
            least=float(shares.min()),
            cut=float((shares < 1 - CUT).mean()),
            count=len(aspects),
        )

    @property
    def square_enough(self) -> bool:
        """Whether the central square shows nearly all of nearly all images."""
        return self.cut <= MAX_CUT

    def seen(self, framing: str) -> str:
        """The share of the pixels that a framing shows, as text."""
        median, least = (self.median, self.least) if framing == CROP else (1.0, 1.0)
        return f"{median:.0%} in the median, {least:.0%} at least"


def frame_of(framing: str, size: int, aspect: float) -> tuple[int, int]:
    """Height and width of the input.

    Args:
        framing: One of `FRAMINGS`.
        size: Side of the square in pixels; a rectangle has about as many pixels.
        aspect: Width over height of the rectangle; one that is too long for sides of `STEP` pixels
            becomes shorter.
    """
    if framing != RECTANGLE or size < STEP:
        return size, size
    ratio = min(max(aspect, 1 / aspect), (size / STEP) ** 2)
    exact = size / math.sqrt(ratio) / STEP
    shorter_sides = {max(1, math.floor(exact)), max(1, math.ceil(exact))}
    pairs = [(shorter, max(shorter, round(shorter * ratio))) for shorter in sorted(shorter_sides)]
    area = (size / STEP) ** 2
    shorter, longer = min(pairs, key=lambda pair: abs(math.log(pair[0] * pair[1] / area)))
    sides = shorter * STEP, longer * STEP
    return sides if aspect >= 1 else (sides[1], sides[0])


def cropped(pixels: Shaped[Tensor, "c h w"], size: int) -> Shaped[Tensor, "c size size"]:
    """The central square of an image that is scaled to a shorter side of `size`."""
    shorter = min(pixels.shape[1:])
    if shorter != size:
        target = tuple(max(size, round(side * size / shorter)) for side in pixels.shape[1:])
        pixels = resized(pixels, target)
    return center_crop(pixels, size)


def fitted(
    pixels: Shaped[Tensor, "c h w"], frame: tuple[int, int], fill: Shaped[Tensor, " c"]
) -> Shaped[Tensor, "c height width"]:
    """The whole image scaled into a frame, in its middle.

    Args:
        pixels: Values in uint8 or float32.
        frame: Height and width of the result.
        fill: Value of each channel where there is no image, of the same type.
    """
    space = pixels.shape[1:]
    scale = min(side / own for side, own in zip(frame, space, strict=True))
    inner = tuple(
        min(side, max(1, round(own * scale))) for side, own in zip(frame, space, strict=True)
    )
    image = resized(pixels, inner)
    if inner == frame:
        return image
    top, left = (frame[0] - inner[0]) // 2, (frame[1] - inner[1]) // 2
    out = fill[:, None, None].repeat(1, *frame)
    out[:, top : top + inner[0], left : left + inner[1]] = image
    return out


def fill_of(mean: Iterable[float], dtype: torch.dtype) -> Shaped[Tensor, " c"]:
    """The mean of each channel as a value of this type."""
    values = torch.tensor(list(mean), dtype=torch.float64)
    return (values if dtype.is_floating_point else values.round()).to(dtype)
