"""Common corruptions of images; see `striate.kinds.corruption`."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from striate.kinds.corruption import CONTRAST, NOISE, Corruption, Values, blur, brighter, gain

_ALIKE: Final = (1, 3)
"""Channels that a JPEG holds."""


def jpeg(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """Written as a JPEG of quality `level` and read again; channels by themselves but for 1 and 3."""
    if len(shares) not in _ALIKE:
        return np.concatenate([jpeg(channel[None], level, rng) for channel in shares])
    pixels = np.rint(255 * shares).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
        file, "JPEG", quality=int(level)
    )
    read = np.asarray(Image.open(file), np.float64) / 255
    return read.reshape(*pixels.shape).transpose(2, 0, 1)


def resolution(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """Reduced to `level` of its sides, and enlarged again."""
    sides = tuple(max(1, round(level * side)) for side in shares.shape[1:])
    pixels = torch.from_numpy(shares)[None]
    small = F.interpolate(pixels, size=sides, mode="bilinear", antialias=True)
    back = F.interpolate(small, size=shares.shape[1:], mode="bilinear", align_corners=False)
    return np.asarray(back[0].numpy())


CORRUPTIONS: Final = (
    NOISE,
    Corruption(
        name="blur",
        means="deviation of a Gaussian blur, as a share of the shorter side",
        levels=(0.005, 0.01, 0.015, 0.02, 0.03),
        change=blur,
    ),
    Corruption(
        name="darker",
        means="factor of every value",
        levels=(0.8, 0.65, 0.5, 0.35, 0.2),
        change=gain,
    ),
    Corruption(
        name="brighter",
        means="share of the range that is added to every value",
        levels=(0.1, 0.2, 0.3, 0.4, 0.5),
        change=brighter,
    ),
    CONTRAST,
    Corruption(name="jpeg", means="quality of a JPEG", levels=(50, 25, 15, 10, 7), change=jpeg),
    Corruption(
        name="resolution",
        means="share of its sides that it is reduced to and enlarged from",
        levels=(0.7, 0.5, 0.35, 0.25, 0.15),
        change=resolution,
    ),
)
