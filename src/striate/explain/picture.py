"""Heat maps as pictures a person can read."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from striate.errors import ArgumentError

_COLOURS: Final = np.array(
    [
        (41, 0, 116), (75, 12, 128), (109, 27, 131), (143, 40, 129), (176, 54, 121), (205, 72, 109),
        (230, 94, 93), (249, 119, 74), (255, 151, 69), (254, 183, 85), (255, 212, 100), (254, 242, 87),
    ]
)  # fmt: skip
"""Violet over red to yellow, sRGB: CIELAB lightness rises from 14 to 94 in equal steps."""

_OPACITY: Final = 0.75


def colourize(heat: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours of values from 0 to 1; equal steps look equally large, also in grey."""
    positions = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(heat, positions, _COLOURS[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def overlay(image: UInt8[np.ndarray, "3 h w"], heat: Float[np.ndarray, "h w"]) -> Image.Image:
    """The picture in grey with the heat map laid over it, more opaque where it is hotter.

    Args:
        image: RGB.
        heat: values from 0 to 1, of the image's size.

    Raises:
        ArgumentError: the sizes differ.
    """
    if image.shape[1:] != heat.shape:
        raise ArgumentError(
            f"a heat map of {heat.shape} for an image of {image.shape[1:]}",
            fix="bring it to the image's size",
        )
    grey = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L").convert("RGB"))
    opacity = _OPACITY * heat[..., None]
    blended = (1 - opacity) * grey + opacity * colourize(heat)
    return Image.fromarray(blended.round().astype(np.uint8))
