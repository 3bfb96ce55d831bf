"""Images in arrays, as 8-bit RGB or with their values as stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.readers.image_values import MAX_CHANNELS, channel_axis, values_reading
from striate.data.readers.reader import ARRAYS, ArrayKind, Arrays, stored_item
from striate.data.source import Reading, UnreadableItem
from striate.errors import DataError

EIGHT_BIT: Final = "8-bit"
STORED: Final = "stored"
"""What `extras["values"]` of an array of images may demand."""


def _array_reader(
    arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str
) -> Callable[[int], Reading]:
    """Images in one array (N, C, H, W), (N, H, W, C) or (N, H, W).

    Where an axis of 1 or 3 is there it is the channels, the first before the last; otherwise see
    `striate.data.readers.image_values`. Of 1 or 3 channels, uint8 and booleans, and other numbers
    all of which are in 0..1 (floats) or 0..255, are 8-bit images and become RGB. All others keep
    their values. `extras["values"]` may demand either of 1 or 3 channels, "8-bit" or "stored"; 8-bit
    values may then be 0..65535 as well.
    """
    images = np.asarray(arrays)
    axis = _channel_axis(images, name)
    _check_numbers(images, name)
    asked = str(extras["values"]) if "values" in extras else ""
    colours = 1 if axis is None else images.shape[axis]
    scale = None
    if colours in (1, 3) and asked != STORED:
        scale = _full_scale(images, name) if asked == EIGHT_BIT else _eight_bit_scale(images)

    def read_stored(index: int) -> Reading:
        image, sha256 = stored_item(images, index)
        image = image[None] if axis is None else np.moveaxis(image, axis - 1, 0)
        return values_reading(image, sha256, where=f", at index {index}")

    if scale is None:
        return read_stored

    def read(index: int) -> Reading:
        image, sha256 = stored_item(images, index)
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise UnreadableItem(f"values that are not finite, at index {index}")
        if image.dtype != np.uint8:
            image = np.rint(image.astype(np.float32) * (255 / scale)).astype(np.uint8)
        image = image[None] if axis is None else np.moveaxis(image, axis - 1, 0)
        pixels = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])))
        return Reading(array=pixels, sha256=sha256)

    return read


def _channel_axis(images: NDArray[Any], name: str) -> int | None:
    """The axis of the channels; None where there is none."""
    if images.ndim == 3 and len(images):
        return None
    if images.ndim == 4 and len(images):
        for axis in (1, 3):
            if images.shape[axis] in (1, 3):
                return axis
        item_axis = channel_axis(images.shape[1:])
        if item_axis is not None:
            return item_axis + 1
    raise DataError(
        f"{name} has the shape {images.shape}",
        why="images are (N, C, H, W), (N, H, W, C) or (N, H, W), where C is at most "
        f"{MAX_CHANNELS} and the shortest of the axes",
    )


def _check_numbers(images: NDArray[Any], name: str) -> None:
    if images.dtype.kind not in "buif":
        raise DataError(f"{name} holds {images.dtype}", why="images are numbers")


def _eight_bit_scale(images: NDArray[Any]) -> float | None:
    """The value that becomes 255; None where the values are not those of 8-bit images."""
    if images.dtype == np.uint8:
        return 255.0
    if images.dtype == np.bool_:
        return 1.0
    finite = np.isfinite(images)
    low = float(images.min(where=finite, initial=0))
    high = float(images.max(where=finite, initial=0))
    scales = (1.0, 255.0) if images.dtype.kind == "f" else (255.0,)
    return next((s for s in scales if low >= 0 and high <= s), None)


def _full_scale(images: NDArray[Any], name: str) -> float:
    """The value that becomes 255, of values up to 65535."""
    if images.dtype == np.uint8:
        return 255.0
    if images.dtype == np.bool_:
        return 1.0
    finite = np.isfinite(images)
    low = float(images.min(where=finite, initial=0))
    high = float(images.max(where=finite, initial=0))
    scales = (1.0, 255.0, 65535.0) if images.dtype.kind == "f" else (255.0, 65535.0)
    scale = next((s for s in scales if high <= s), None)
    if low < 0 or scale is None:
        raise DataError(
            f"{name} has values from {low:g} to {high:g}",
            why=f"images are 0 to {' or 0 to '.join(f'{s:g}' for s in scales)}",
            fix="scale them to 0..255",
        )
    return scale


def _is_one_image(shape: tuple[int, ...], channels: int) -> bool:
    """Whether an array is one image: (H, W), or with an axis of 1, 3 or `channels` at an end."""
    return len(shape) == 2 or (len(shape) == 3 and bool({shape[0], shape[2]} & {1, 3, channels}))


ARRAYS.add(
    "image",
    ArrayKind(
        lambda shape, dtype: True,
        _is_one_image,
        _array_reader,
        last=True,
        is_batch=lambda shape, channels: not _is_one_image(shape, channels),
    ),
)
