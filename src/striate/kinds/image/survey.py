"""What the images of a data set are: their channels, the type and the statistics of their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.readers.image import GREY_RANGES
from striate.data.readers.image_values import OVERSHOOT
from striate.errors import DataError
from striate.kinds.image.framing import Shapes

PHOTO: Final = (3, "uint8")
"""Channels and type of 8-bit RGB."""


def is_deep_grey(array: NDArray[Any]) -> bool:
    """Whether an image is grey of more than 8 bits, which may be made 8-bit among photos."""
    return len(array) == 1 and array.dtype != np.uint8


def common_format(counts: Mapping[tuple[int, str], int], name: str = "") -> tuple[int, str]:
    """The channels and the type of values that all images have, or are brought to.

    Grey images of more than 8 bits among 8-bit RGB images become 8-bit, and 16-bit whole numbers
    among others float32. No images at all are taken for photos.

    Args:
        counts: Number of images of each pair of channels and type.
        name: The data's name in messages.

    Raises:
        DataError: The images do not go together; the message has a table.
    """
    others = [key for key in counts if key != PHOTO]
    if PHOTO in counts and all(n == 1 and dtype != "uint8" for n, dtype in others):
        return PHOTO
    where = f"{name}: " if name else ""
    table = ", ".join(
        f"{channels} of {dtype} in {count} image{'s' if count > 1 else ''}"
        for (channels, dtype), count in sorted(counts.items())
    )
    if len({channels for channels, _ in counts}) > 1:
        raise DataError(
            f"{where}the images have different numbers of channels",
            why=table,
            fix="give all the same channels",
        )
    if len({dtype == "uint8" for _, dtype in counts}) > 1:
        raise DataError(
            f"{where}some images have 8-bit values and some have others",
            why=f"channels are {table}",
            fix="store all with the same type",
        )
    if not counts:
        return PHOTO
    return next(iter(counts)) if len(counts) == 1 else (min(counts)[0], "float32")


class Survey:
    """Counts, shapes, and moments and range of the values, of images that are seen one by one."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()
        self._sizes: list[tuple[int, int]] = []
        self._pixels = 0
        self._sums: NDArray[np.float64] = np.zeros(0)
        self._squares: NDArray[np.float64] = np.zeros(0)
        self._shift: NDArray[np.float64] = np.zeros(0)
        self._low, self._high = np.inf, -np.inf
        self._deep: dict[str, float] = {}

    def add(self, array: NDArray[Any]) -> None:
        """Take account of an image, (channels, height, width)."""
        key = (len(array), str(array.dtype))
        self._counts[key] += 1
        self._sizes.append((array.shape[1], array.shape[2]))
        if is_deep_grey(array):
            kind = "f" if array.dtype.kind == "f" else "i"
            self._deep[kind] = max(self._deep.get(kind, 0.0), float(array.max()))
        if key == PHOTO or len(array) != next(iter(self._counts))[0]:
            return  # its values are not asked for, or the format will be refused
        values = array.reshape(len(array), -1).astype(np.float64)
        if not self._pixels:  # near the mean, so that the squares stay small
            self._shift = values.mean(1)
            self._sums, self._squares = np.zeros((2, len(array)))
        shifted = values - self._shift[:, None]
        self._pixels += values.shape[1]
        self._sums += shifted.sum(1)
        self._squares += np.square(shifted).sum(1)
        self._low, self._high = min(self._low, values.min()), max(self._high, values.max())

    def format(self) -> tuple[int, str]:
        """Channels and type of values; see `common_format`."""
        return common_format(self._counts)

    def shapes(self) -> Shapes:
        """What is known of their heights and widths."""
        return Shapes.of(self._sizes)

    def deep_scales(self) -> tuple[float, float]:
        """The value of white in grey images of more than 8 bits: whole numbers, and floats.

        It is the full scale of the sensor, 8, 12 or 16 bits, that holds the largest value of all of
        them; 1 or 255 of floats. It is 0 where there are none.
        """
        whole, fraction = self._deep.get("i"), self._deep.get("f")
        white = next((s for s in GREY_RANGES if whole is not None and whole <= s), GREY_RANGES[-1])
        one = fraction is not None and fraction <= 1 + OVERSHOOT
        return (
            0.0 if whole is None else float(white),
            0.0 if fraction is None else 1.0 if one else 255.0,
        )

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel; 1 for a channel that is constant."""
        mean = self._sums / self._pixels
        std = np.sqrt(np.maximum(self._squares / self._pixels - mean**2, 0))
        constant = std <= 1e-6 * np.abs(mean + self._shift)
        std = np.where(constant, 1.0, std)
        return tuple((mean + self._shift).tolist()), tuple(std.tolist())

    def value_range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return float(self._low), float(self._high)
