"""Images in arrays, as 8-bit RGB or with their values as stored.

What the axes and the values of an array mean is decided once, of all its images together, by
`_decide`. A run keeps the decision, and arrays that it predicts are read by it: no image is read
otherwise for the company it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.readers.image import decode_image
from striate.data.readers.image_values import (
    GUESSED_RATIO,
    MAX_CHANNELS,
    OVERSHOOT,
    channel_axis,
    full_scale,
    to_eight_bit,
    values_reading,
)
from striate.data.readers.reader import ARRAYS, ArrayKind, Arrays, stored_item
from striate.data.source import Reading
from striate.errors import DataError, UnknownNameError

EIGHT_BIT: Final = "8-bit"
STORED: Final = "stored"
"""What `extras["values"]` of an array of images may demand."""

_AXES: Final = {"HW": None, "CHW": 0, "HWC": 2}
"""Where the channels of an image are, by the names of its axes."""

_ALPHA: Final = {2: "LA", 4: "RGBA"}
"""Pillow's names of images whose last channel is alpha."""

_MIXED: Final = 0.05
"""The largest share of images that may be of another range than the others."""

_BEYOND: Final = 0.05
"""The largest share of an image's floats that may lie beyond 0 and 1 where these are black and white."""

_BRIGHT: Final = 64
"""Floats up to 255 are taken for 8-bit values where the images' largest value is, in the median, no
less than this."""

_BLOCK_VALUES: Final = 1 << 22


def _decide(arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str) -> dict[str, Any]:
    """What axes and values of an array of images mean: "axes", "values" and "scales".

    Axes: where an axis of 1 or 3 is there it is the channels, the first before the last; otherwise
    see `striate.data.readers.image_values`.

    Values: images of 1 or 3 channels become 8-bit RGB where they are uint8, truth values, whole
    numbers from 0 to 255, or floats from 0 to 1 or from 0 to 255. A few floats may lie beyond, as
    resizing leaves them. All others keep their values. `extras` may say it instead.
    """
    images = np.asarray(arrays)
    if images.dtype.kind not in "buif":
        raise DataError(f"{name} holds {images.dtype}", why="images are numbers")
    asked = str(extras["values"]) if "values" in extras else ""
    axes = _axes_of(images, name, str(extras.get("axes", "")), asked)
    if asked not in ("", EIGHT_BIT, STORED):
        raise UnknownNameError(f"values of {name}", asked, (EIGHT_BIT, STORED))
    colours = _colours(images, axes)
    if asked == STORED or (not asked and colours not in (1, 3)):
        return {"axes": axes, "values": STORED}
    if "scales" in extras:
        return {
            "axes": axes,
            "values": asked,
            "scales": [float(scale) for scale in extras["scales"]],
        }
    scale = _scale_of(images, name, any_range=asked == EIGHT_BIT)
    if scale is None:
        return {"axes": axes, "values": STORED}
    scales = [0.0, 0.0]
    if images.dtype.name not in ("uint8", "bool"):
        scales[images.dtype.kind == "f"] = scale
    return {"axes": axes, "values": EIGHT_BIT, "scales": scales}


def _array_reader(
    arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str
) -> Callable[[int], Reading]:
    """Images in one array (N, C, H, W), (N, H, W, C) or (N, H, W), read as `extras` has it.

    Images of 2 and 4 channels that are to be 8-bit have alpha, and are composited as files are.
    """
    images = np.asarray(arrays)
    axis = _AXES[str(extras["axes"])]
    colours = _colours(images, str(extras["axes"]))
    photo = str(extras["values"]) == EIGHT_BIT and (colours in (1, 3) or colours in _ALPHA)
    scale = full_scale(images.dtype, *map(float, extras["scales"])) if photo else 0.0

    def read(index: int) -> Reading:
        image, sha256 = stored_item(images, index)
        image = image[None] if axis is None else np.moveaxis(image, axis, 0)
        where = f", at index {index}"
        if not photo:
            return values_reading(image, sha256, where=where)
        pixels = to_eight_bit(image, scale, where)
        if colours in _ALPHA:
            layer = Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
            pixels = decode_image(layer).array
        pixels = np.ascontiguousarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])))
        return Reading(array=pixels, sha256=sha256)

    return read


def _axes_of(images: NDArray[Any], name: str, known: str, values: str) -> str:
    """The names of an image's axes: the known ones, where they suit the array and its values."""
    if images.ndim == 3 and len(images):
        return "HW"
    if images.ndim == 4 and len(images):
        most = max(3, *_ALPHA) if values == EIGHT_BIT else MAX_CHANNELS
        if known in ("CHW", "HWC") and _colours(images, known) <= most:
            return known
        for axis in (1, 3):
            if images.shape[axis] in (1, 3):
                return "CHW" if axis == 1 else "HWC"
        axis_of_item = channel_axis(images.shape[1:])
        if axis_of_item is not None:
            return "CHW" if axis_of_item == 0 else "HWC"
    raise DataError(
        f"{name} has the shape {images.shape}",
        why="images are (N, C, H, W), (N, H, W, C) or (N, H, W), where C is at most "
        f"{MAX_CHANNELS} and the shortest of the axes",
    )


def _colours(images: NDArray[Any], axes: str) -> int:
    axis = _AXES[axes]
    return 1 if axis is None else images.shape[axis + 1]


def _scale_of(images: NDArray[Any], name: str, *, any_range: bool) -> float | None:
    """The value that becomes 255; None where the values are not those of 8-bit images.

    Args:
        images: The images.
        name: The data's name in messages.
        any_range: Whether they are to become 8-bit whatever they are, from 0 to 65535 too.

    Raises:
        DataError: Some images go from 0 to 1 and some to 255, or `any_range` finds no range.
    """
    if images.dtype.name in ("uint8", "bool"):
        return full_scale(images.dtype)
    lows, highs, fit = _ranges(images)
    low, high = float(lows.min(initial=0)), float(highs.max(initial=0))
    scale: float | None = None
    if images.dtype.kind == "f":
        seen = (highs > 0) | (lows < 0)
        bright = highs >= _BRIGHT
        ones = float(fit[seen].mean()) if seen.any() else 1.0
        of_two_ranges = bool((fit | bright)[seen].all())
        if ones == 1 or (of_two_ranges and ones >= 1 - _MIXED):
            scale = 1.0
        elif of_two_ranges and ones > _MIXED:
            raise DataError(
                f"{round(ones * seen.sum())} images of {name} have values up to 1 and others up to "
                f"{high:g}",
                fix="bring all to one range",
            )
        elif np.median(highs[seen]) >= _BRIGHT and _is_within(low, high, 255):
            scale = 255.0
    elif low >= 0 and high <= 255:
        scale = 255.0
    if scale is None and any_range:
        if low < 0 or high > 65535:
            raise DataError(
                f"{name} has values from {low:g} to {high:g}",
                why="8-bit images are 0 to 1, 0 to 255 or 0 to 65535",
                fix="scale them to 0..255, or leave them as stored",
            )
        scale = 255.0 if high <= 255 else 65535.0
    return scale


def _ranges(
    images: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Of each image the smallest and the largest value, 0 among them, and whether it is 0 to 1.

    It is where few values lie beyond, and none far. What is not finite does not count.
    """
    step = max(1, _BLOCK_VALUES // max(1, images[0].size))
    found = []
    for start in range(0, len(images), step):
        block = np.asarray(images[start : start + step]).reshape(-1, images[0].size)
        finite = np.isfinite(block)
        low = block.min(axis=1, where=finite, initial=0).astype(np.float64)
        high = block.max(axis=1, where=finite, initial=0).astype(np.float64)
        beyond = (((block < 0) | (block > 1)) & finite).mean(axis=1)
        found.append((low, high, (beyond <= _BEYOND) & _is_within(low, high, 1)))
    lows, highs, fit = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return lows, highs, fit


def _is_within(low: Any, high: Any, scale: float) -> Any:
    """Whether values are from 0 to `scale`, or a little beyond."""
    return (low >= -OVERSHOOT * scale) & (high <= (1 + OVERSHOOT) * scale)


def _is_one_image(shape: tuple[int, ...], channels: int, axes: str = "") -> bool:
    """Whether an array is one image.

    It is where it has two axes, or channels behind (grey, colours, alpha), or channels in front, as
    many as the network takes or one, unless the arrays trained on had no axis of channels.
    """
    if len(shape) != 3:
        return len(shape) == 2
    if shape[2] in (1, *_ALPHA, 3, channels):
        return True
    return axes != "HW" and shape[0] in (1, channels)


def _is_ambiguous(shape: tuple[int, ...], channels: int, alone: bool) -> bool:
    """Whether an array is one image with channels in front, or as many grey images.

    In a list, three axes with three channels in front are one image of the list.
    """
    first = (3, 4) if alone else (4,)
    behind = (1, *_ALPHA, 3)
    return len(shape) == 3 and channels == 3 and shape[0] in first and shape[2] not in behind


def _may_be_signals(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """What (N, height, width) of numbers may be: signals whose channels are last, as in Keras."""
    if len(shape) != 3 or dtype.kind != "f" or shape[1] < GUESSED_RATIO * shape[2]:
        return ""
    return f"signals of {shape[2]} channels; give those as (N, channels, samples)"


ARRAYS.add(
    "image",
    ArrayKind(
        lambda shape, dtype: True,
        _is_one_image,
        _array_reader,
        last=True,
        is_batch=lambda shape, channels: not _is_one_image(shape, channels),
        decide=_decide,
        is_item_as=_is_one_image,
        is_ambiguous=_is_ambiguous,
        doubt=_may_be_signals,
    ),
)
