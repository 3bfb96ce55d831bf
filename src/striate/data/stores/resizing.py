"""Images of other sizes: to be stored, looked at, or compared.

All of them are (channels, height, width), and are resized as torch resizes, antialiased.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

MAX_ASPECT: Final = 8
"""The longer side of a stored item is at most so many times the requested size of its shorter side."""

_VIEWED: Final = (1, 99)


def colour_squares(pictures: UInt8[Tensor, "n c h w"], side: int) -> UInt8[Tensor, "n 3 side side"]:
    """Pictures of one shape squeezed to squares of red, green and blue, which are grey of others."""
    if pictures.shape[1] != 3:
        return grey_squares(pictures, side)[:, None].expand(-1, 3, -1, -1)
    return F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)


def grey_squares(pictures: UInt8[Tensor, "n c h w"], side: int) -> UInt8[Tensor, "n side side"]:
    """Pictures of one shape in grey, squeezed to squares."""
    small = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
    return small.float().mean(1).round().to(torch.uint8)


def viewable(array: NDArray[Any]) -> NDArray[np.uint8]:
    """(channels, height, width) as uint8, to be looked at: uint8 as it is, other values scaled.

    Of each channel the values between the percentiles 1 and 99 take the range 0 to 255.
    """
    if array.dtype == np.uint8:
        return array
    low, high = np.percentile(array, _VIEWED, axis=(1, 2), keepdims=True)
    scaled = (array - low) * (255 / np.where(high > low, high - low, 1.0))
    return np.asarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def resize_shorter(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Resize (channels, height, width) to a shorter side of `size`, antialiased.

    The cache and prediction both call this, so that a network sees the same pixels in both. The
    aspect is kept, and nothing is cropped. Small items are enlarged; very long ones are reduced
    until their longer side is `MAX_ASPECT` times the size.
    """
    _, height, width = array.shape
    shorter, longer = sorted((height, width))
    wanted, given = (size, shorter)
    if longer > MAX_ASPECT * shorter:
        wanted, given = MAX_ASPECT * size, longer
    target = tuple(max(1, round(side * wanted / given)) for side in (height, width))
    if target == (height, width):
        return np.ascontiguousarray(array)
    if not array.flags.writeable or min(array.strides) < 0:  # torch takes neither
        array = array.copy()
    deep = array.dtype != np.uint8
    pixels = torch.from_numpy(array.astype(np.float32) if deep else array)
    result: NDArray[Any] = resized(pixels, target).contiguous().numpy()
    if array.dtype.kind == "f" or not deep:
        return result
    bounds = np.iinfo(array.dtype)
    rounded: NDArray[Any] = np.rint(result).clip(bounds.min, bounds.max).astype(array.dtype)
    return rounded


def resized(pixels: Shaped[Tensor, "c h w"], target: tuple[int, ...]) -> Shaped[Tensor, "c H W"]:
    """An image of another height and width, antialiased; itself where they are the same.

    Pixels stay uint8 all the way: torch resizes them in integers, the same on any number of
    threads.

    Args:
        pixels: Values in uint8 or float32.
        target: The height and the width wanted.
    """
    if pixels.shape[1:] == target:
        return pixels
    return F.interpolate(pixels[None], size=target, mode="bilinear", antialias=True)[0]


def center_crop(pixels: Shaped[Tensor, "c h w"], size: int) -> Shaped[Tensor, "c size size"]:
    """A view of the square of that side about an image's centre."""
    top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
    return pixels[:, top : top + size, left : left + size]
