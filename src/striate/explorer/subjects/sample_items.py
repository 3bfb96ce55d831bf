"""Items to walk a network with where nothing else is given: drawn here, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

NAMES: Final = {1: "a built-in series", 2: "a built-in picture", 3: "a built-in volume"}
"""What a sample is called, by its number of axes."""

SIDES: Final = {1: 256, 2: 224, 3: 32}
"""Sides of items by number of axes, where a network leaves them open."""

SIDE: Final = 256


def sample(shape: Sequence[int]) -> NDArray[Any]:
    """A series, a picture or a volume.

    Args:
        shape: (channels, *space).

    Returns:
        An array of that shape: of a picture uint8, its colours in turn where there are more than
        three channels; of others float32 with a mean of 0 and a deviation of 1.
    """
    channels, *space = shape
    if len(space) == 1:
        return series(channels, space[0])
    if len(space) == 3:
        return volume(channels, space)
    return planes(picture(*space).transpose(2, 0, 1), channels)


def planes(array: NDArray[Any], channels: int) -> NDArray[Any]:
    """An item with that many channels: grey for one of colours, else those it has in turn."""
    if channels == 1 and len(array) > 1:
        return np.asarray(np.rint(array.mean(0, keepdims=True)), array.dtype)
    return np.ascontiguousarray(array[np.arange(channels) % len(array)])


def picture(height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """A still life of simple shapes: round and straight edges, stripes, shades and a texture."""
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    rng = np.random.default_rng(7)
    sky = np.stack([0.52 + 0.3 * y, 0.66 + 0.2 * y, 0.80 + 0.06 * y], -1)
    image = sky + 0.012 * rng.standard_normal((SIDE, SIDE, 1))
    table = y > 0.68
    grain = 0.05 * np.sin(60 * y + 3 * np.sin(7 * x))
    image[table] = (np.array([0.50, 0.34, 0.22]) + grain[..., None])[table]
    ball = (x - 0.32) ** 2 + (y - 0.55) ** 2
    light = np.clip(1.15 - 3.2 * np.hypot(x - 0.26, y - 0.46), 0.25, 1)[..., None]
    image = np.where((ball < 0.045)[..., None], np.array([0.86, 0.24, 0.18]) * light, image)
    box = (abs(x - 0.70) < 0.14) & (abs(y - 0.56) < 0.20)
    stripes = np.where(np.floor((x + y) * 26) % 2 == 0, 0.93, 0.16)[..., None]
    image = np.where(box[..., None], stripes * np.array([0.95, 0.93, 0.80]), image)
    leaf = (np.abs(y - 0.22 - 0.25 * (x - 0.55) ** 2) < 0.035 * np.sin(np.pi * x) ** 0.5) & (
        x > 0.1
    )
    image = np.where((leaf & (x < 0.9))[..., None], np.array([0.20, 0.46, 0.24]), image)
    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def series(channels: int, length: int) -> NDArray[np.float32]:
    """Beats over a slow wave with a little noise, each channel later than the one before."""
    rng = np.random.default_rng(7)
    time = np.arange(length)[None] / length - 0.03 * np.arange(channels)[:, None]
    phase = (5 * time) % 1 - 0.5
    beats = 2.4 * np.exp(-((phase / 0.045) ** 2)) - 0.7 * np.exp(-(((phase - 0.11) / 0.05) ** 2))
    values = beats + 0.5 * np.sin(2 * np.pi * time) + 0.05 * rng.standard_normal(time.shape)
    return standardized(values)


def volume(channels: int, space: Sequence[int]) -> NDArray[np.float32]:
    """A bright shell around a denser core and a rod beside it."""
    rng = np.random.default_rng(7)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in space), indexing="ij")
    shell = np.exp(-(((np.sqrt(x**2 + y**2 + z**2) - 0.65) / 0.12) ** 2))
    core = 0.8 * np.exp(-(((x + 0.15) ** 2 + y**2 + (z - 0.1) ** 2) / 0.05))
    rod = 0.9 * np.exp(-(((x - 0.4) ** 2 + (y - 0.3) ** 2) / 0.012))
    values = (shell + core + rod)[None] + 0.04 * rng.standard_normal((channels, *space))
    return standardized(values)


def standardized(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values with a mean of 0 and a deviation of 1."""
    return np.asarray((values - values.mean()) / values.std(), np.float32)
