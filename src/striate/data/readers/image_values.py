"""Images whose values are kept as they are stored: any number of channels, of any type.

Which axis of an array holds the channels: the shorter one of the first and the last, the first
where both are as long. It has `MAX_CHANNELS` places at most, and no more than the other two axes.
An array of two axes is one channel.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.readers.content import sha256_of
from striate.data.readers.npy import read_npy, shape_of
from striate.data.readers.reader import READERS, FileReader
from striate.data.source import FileContent, Note, Reading, TooLargeItem, UnreadableItem
from striate.progress import counted

MAX_CHANNELS: Final = 32
"""The most channels of an image."""

MIN_SIDE: Final = 4
"""The smallest shorter side of an image, in pixels."""

MAX_BYTES: Final = 2**31
"""The most bytes of an image's values."""

GUESSED_CHANNELS: Final = 16
"""The most channels of an array that is taken for an image where nobody says what it is; more may
be the slices of a volume."""

GUESSED_RATIO: Final = 4
"""An array of three axes is taken for an image where both sides are so many times the channels."""

GUESSED_SIDE: Final = 32
"""An array of two axes is taken for an image, and not for a signal of many channels, where both are
this long and neither is twice the other."""

OVERSHOOT: Final = 0.25
"""How far values may lie beyond black and white, in parts of the way from one to the other: resizing
leaves such values, and they are clipped."""

STRAYS: Final = 0.01
"""The largest share of an image's values that may lie further beyond, and are clipped too."""
POLARITY: Final = Note(
    code="polarity",
    message="the smallest value is white; turned around, so that it is black",
    severity="info",
)
"""The remark on an image or a volume whose polarity was turned."""

_KEPT: Final = {
    "uint8": np.uint8,
    "uint16": np.uint16,
    "int16": np.int16,
    "bool": np.uint8,
    "int8": np.int16,
}
"""Types that are kept, or that another holds exactly; all others become float32."""


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """The axis of the channels of one image, by the rule above; None where the shape is no image's.

    >>> channel_axis((64, 80, 5)), channel_axis((5, 64, 80)), channel_axis((64, 80))
    (2, 0, None)
    """
    if len(shape) != 3:
        return None
    axis = 0 if shape[0] <= shape[2] else 2
    return axis if 0 < shape[axis] <= min(MAX_CHANNELS, *shape) else None


def looks_like_image(shape: tuple[int, ...]) -> bool:
    """Whether an array of numbers, of which nothing else is known, is taken for one image.

    >>> [looks_like_image(s) for s in [(64, 64, 13), (480, 640), (24, 64, 64), (12, 5000)]]
    [True, True, False, False]
    """
    if len(shape) == 2:
        return min(shape) >= GUESSED_SIDE and max(shape) < 2 * min(shape)
    axis = channel_axis(shape)
    if axis is None or shape[axis] > GUESSED_CHANNELS:
        return False
    sides = [side for number, side in enumerate(shape) if number != axis]
    return min(sides) >= GUESSED_RATIO * shape[axis]


def channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """An image as (channels, height, width); a view.

    Raises:
        UnreadableItem: The array is no image.
    """
    if array.ndim == 2:
        return array[None]
    axis = channel_axis(array.shape)
    if axis is None:
        raise UnreadableItem(
            f"an array of shape {array.shape}; an image is (height, width), or has an axis of at "
            f"most {MAX_CHANNELS} channels first or last that is its shortest"
        )
    return np.moveaxis(array, axis, 0)


def values_reading(
    array: NDArray[Any], sha256: str, notes: tuple[Note, ...] = (), where: str = ""
) -> Reading:
    """A reading of an image with the values that are stored, checked.

    8- and 16-bit whole numbers keep their type; all other numbers become float32.

    Args:
        array: The image, (channels, height, width).
        sha256: The SHA-256 of what is stored.
        notes: Remarks on the item.
        where: What to add to a reason, such as ", at index 3".

    Raises:
        UnreadableItem: The image is too small or too large, holds no real numbers, or holds NaN or
            Inf; the reason names the first place.
    """
    if array.dtype.kind not in "buif":
        raise UnreadableItem(f"{array.dtype} values, not real numbers{where}")
    height, width = array.shape[1:]
    if min(height, width) < MIN_SIDE:
        raise UnreadableItem(
            f"under the minimum size: {width}x{height}, the shorter side must be {MIN_SIDE}{where}"
        )
    check_size(array.shape, array.dtype)
    dtype: np.dtype[Any] = np.dtype(_KEPT.get(array.dtype.name, np.float32))
    values: NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    if dtype.kind == "f":
        bad = ~np.isfinite(values)
        if bad.any():
            channel, row, column = (int(index) for index in np.argwhere(bad)[0])
            raise UnreadableItem(
                f"{counted(int(bad.sum()), 'value')} not finite, the first "
                f"{values[channel, row, column]} at row {row}, column {column} of channel "
                f"{channel}{where}"
            )
    return Reading(array=values, sha256=sha256, notes=notes)


def full_scale(dtype: np.dtype[Any], whole: float = 0.0, fraction: float = 0.0) -> float:
    """The value of white in images of a type.

    >>> [full_scale(np.dtype(t)) for t in ("uint8", "bool", "uint16", "int64", "float32")]
    [255.0, 1.0, 65535.0, 255.0, 1.0]

    Args:
        dtype: The type of the values.
        whole: The value of white in whole numbers of more than 8 bits; 0 where it is not known.
        fraction: The value of white in floats; 0 where it is not known.
    """
    if dtype.name in ("uint8", "bool"):
        return 255.0 if dtype.name == "uint8" else 1.0
    if dtype.kind == "f":
        return fraction or 1.0
    return whole or (65535.0 if dtype.name == "uint16" else 255.0)


def to_eight_bit(values: NDArray[Any], scale: float, where: str = "") -> NDArray[np.uint8]:
    """Values as 8-bit ones, `scale` becoming 255; what lies a little beyond is clipped.

    Args:
        values: The values of one image.
        scale: The value of white.
        where: What to add to a reason, such as ", at index 3".

    Raises:
        UnreadableItem: Values are not finite, or many are far from the range 0 to `scale`.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnreadableItem(f"values that are not finite{where}")
    levels = values.astype(np.float32) * (255 / scale)
    margin = 255 * OVERSHOOT
    if ((levels < -margin) | (levels > 255 + margin)).mean() > STRAYS:
        raise UnreadableItem(
            f"values from {float(values.min()):g} to {float(values.max()):g}, where 0 is black and "
            f"{scale:g} is white{where}; bring them to that range, or to uint8"
        )
    eight_bit: NDArray[np.uint8] = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return eight_bit


def min_is_black(values: NDArray[Any], bits: int = 0) -> NDArray[Any]:
    """Values whose smallest is white, so that their smallest is black.

    The rule is of the type and not of the image, so that two images keep their relation: unsigned
    values are taken from the largest of so many bits, signed ones become -1 - value, and floats
    change their sign.

    >>> min_is_black(np.array([0, 4095], np.uint16), bits=12).tolist()
    [4095, 0]

    Args:
        values: The values as stored.
        bits: The number of bits of unsigned values; 0 for all bits of their type.
    """
    if values.dtype.kind == "f":
        return -values
    if values.dtype.kind == "i":
        turned: NDArray[Any] = -1 - values
        return turned
    full = 2 ** (bits or 8 * values.dtype.itemsize) - 1
    return np.asarray(full - values.clip(max=full), values.dtype)


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an image of too many bytes before it is read; raises UnreadableItem."""
    needed = math.prod(shape) * dtype.itemsize
    if needed > MAX_BYTES:
        raise TooLargeItem(f"{needed} bytes of pixels, over the limit of {MAX_BYTES}")


def read_npy_image(data: FileContent) -> Reading:
    """An image from an .npy file, its values as stored; the header is checked first.

    Raises:
        UnreadableItem: The file cannot be read, holds objects, or is no image.
    """
    return values_reading(channels_first(read_npy(data)), sha256_of(data))


def _claims(data: FileContent) -> bool:
    shape = shape_of(data)
    return shape is not None and looks_like_image(shape)


READERS.add("image-npy", FileReader("image", (".npy",), read_npy_image, _claims))
