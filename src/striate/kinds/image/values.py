"""The values of images: which ones a model takes, and what it computes with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from striate.data.readers.image_values import full_scale, to_eight_bit
from striate.data.source import UnreadableItem
from striate.kinds.image.survey import PHOTO, is_deep_grey
from striate.progress import counted


@dataclass(frozen=True, kw_only=True)
class ValueFormat:
    """Channels, type and range of the values of the images that a model learnt from.

    Attributes:
        channels: Channels of an image.
        dtype: Type of the values as stored: "uint8", "uint16", "int16" or "float32".
        value_range: Smallest and largest value of the training images; of photos 0 and 255.
        scales: Of photos, the value of white in whole numbers of more than 8 bits and in floats,
            where training items had such; 0 where none had, and the type decides.
    """

    channels: int
    dtype: str
    value_range: tuple[float, float]
    scales: tuple[float, float]

    @property
    def is_photo(self) -> bool:
        """Whether the images are 8-bit RGB."""
        return (self.channels, self.dtype) == PHOTO

    @property
    def computed(self) -> torch.dtype:
        """Type of the values as they are computed with."""
        return torch.uint8 if self.dtype == "uint8" else torch.float32

    def check(self, array: NDArray[np.generic]) -> None:
        """Refuse an image of another format.

        Args:
            array: (channels, height, width) as stored.

        Raises:
            UnreadableItem: It has another number of channels, 8-bit values where the model takes
                others or the other way around, or values on another scale.
        """
        if self.is_photo and is_deep_grey(array):
            return
        if len(array) != self.channels:
            raise UnreadableItem(
                f"{counted(len(array), 'channel')}, and the model takes {self.channels}"
            )
        if (array.dtype == np.uint8) != (self.dtype == "uint8"):
            raise UnreadableItem(f"{array.dtype} values, and the model takes {self.dtype}")
        low, high = self.value_range
        whole = self.dtype not in ("uint8", "float32") and low >= 0 and high > 255
        if whole and array.dtype.kind == "f" and array.min() >= 0 and 0 < array.max() <= 1:
            raise UnreadableItem(
                f"values from 0 to 1, and the model takes {self.dtype} from {low:g} to {high:g}"
            )

    def values(self, array: NDArray[np.generic]) -> Shaped[Tensor, "c h w"]:
        """An image of any height and width as its values are computed with.

        Args:
            array: (channels, height, width) as stored.

        Raises:
            UnreadableItem: See `check`.
        """
        self.check(array)
        if self.dtype != "uint8":
            return torch.from_numpy(array.astype(np.float32))
        if array.dtype != np.uint8:
            white = full_scale(array.dtype, *self.scales)
            array = np.repeat(to_eight_bit(array, white), self.channels, axis=0)
        return torch.from_numpy(np.require(array, requirements="W"))  # what is read-only is copied

    def as_text(self) -> list[str]:
        """Channels, type and range for a person, and what is white where the images say it."""
        low, high = self.value_range
        channels = (
            "8-bit RGB" if self.is_photo else f"{self.dtype} in {counted(self.channels, 'channel')}"
        )
        whites = [
            f"{scale:g} of {what} is white"
            for scale, what in zip(self.scales, ("whole numbers", "floats"), strict=True)
            if scale
        ]
        return [f"{channels} from {low:g} to {high:g}", *whites]
