"""Images in one array in memory, as scikit-learn and the Python API hand them over."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.folder_walk import check_classes
from striate.data.source import Item, Listing, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.typing import SplitName


class ArraySource(Source):
    """Images held in one array.

    uint8 is taken as it is, booleans as 0 and 1; other numbers are taken as 0..1, 0..255 or
    0..65535, whichever is the first range that holds the whole array.

    Args:
        arrays: (N, C, H, W), (N, H, W, C) or (N, H, W), with C 1 or 3. Where both axes could be
            the channels, the first is.
        labels: (N,) strings or whole numbers, or None for images to predict.
        splits: (N,) the part of each image, where the user gave it.
        groups: (N,) the group of each image.
        name: for messages and the run folder.

    Raises:
        DataError: shapes or values that are no images or labels.
    """

    kind = "image"

    def __init__(
        self,
        arrays: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        splits: Sequence[SplitName | None] | None = None,
        groups: Sequence[str] | None = None,
        name: str = "arrays",
    ) -> None:
        images = np.asarray(arrays)
        self.name = name
        self._channel_axis = _channel_axis(images, name)
        self._images = images
        self._scale = _scale(images, name)
        names = [None] * len(images) if labels is None else class_names(labels, name)
        for what, column in (("labels", names), ("splits", splits), ("groups", groups)):
            if column is not None and len(column) != len(images):
                raise DataError(f"{name} has {len(images)} images and {len(column)} {what}")
        items = tuple(
            Item(
                id=str(index),
                label=label,
                split=None if splits is None else splits[index],
                group=None if groups is None else groups[index],
            )
            for index, label in enumerate(names)
        )
        notes = () if labels is None else tuple(check_classes(items, name))
        self.listing = Listing(items=items, notes=notes)

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The item as uint8 (3, H, W), at full size; raises UnreadableItem for NaN and Inf."""
        image = np.ascontiguousarray(self._images[int(item.id)])
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            raise UnreadableItem(f"values that are not finite, at index {item.id}")
        sha256 = hashlib.sha256(image.data).hexdigest()
        if image.dtype != np.uint8:
            image = np.rint(image.astype(np.float32) * (255 / self._scale)).astype(np.uint8)
        if self._channel_axis is None:
            image = image[None]
        channels_first = np.moveaxis(image, (self._channel_axis or 1) - 1, 0)
        pixels = np.broadcast_to(channels_first, (3, *channels_first.shape[1:]))
        return Reading(array=np.ascontiguousarray(pixels), sha256=sha256)


def _channel_axis(images: NDArray[Any], name: str) -> int | None:
    """Which axis holds the channels; None where there is none."""
    if images.ndim == 3 and len(images):
        return None
    for axis in (1, 3):
        if images.ndim == 4 and len(images) and images.shape[axis] in (1, 3):
            return axis
    raise DataError(
        f"{name} has the shape {images.shape}",
        why="images are (N, C, H, W), (N, H, W, C) or (N, H, W), with C 1 or 3",
    )


def _scale(images: NDArray[Any], name: str) -> float:
    """The value that becomes 255."""
    if images.dtype.kind not in "buif":
        raise DataError(f"{name} holds {images.dtype}", why="images are numbers")
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


def class_names(labels: ArrayLike, name: str) -> list[str]:
    """The classes of (N,) or (N, 1) labels as text; whole numbers may be stored as floats.

    Raises:
        DataError: another shape, or values that are no classes.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"the labels of {name} have the shape {array.shape}", why="they are (N,)")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array == np.rint(array)).all()):
            raise DataError(
                f"the labels of {name} are not whole", why="classes are counted or named"
            )
        array = array.astype(np.int64)
    if array.dtype.kind not in "biuUSO":
        raise DataError(f"the labels of {name} hold {array.dtype}")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist()]
