"""How items must look before a network with given weights sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.errors import ArgumentError

ImageLike: TypeAlias = Image.Image | NDArray[np.uint8] | Tensor

CROP_MODES: Final = ("center", "squash")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The preparation that belongs to a set of weights.

    Attributes:
        mean: Mean of each channel, in units of the full scale.
        std: Standard deviation of each channel, in units of the full scale.
        size: Side of the square that the weights were trained at, in pixels.
        crop_fraction: Side of the evaluation crop over the side that the image is resized to.
        interpolation: How an image is resized: "bilinear", "bicubic" or another of Pillow's.
        crop_mode: Whether the shorter side is resized ("center") or each side ("squash").
        full_scale: The value that counts as 1: 255 of 8-bit pixels; 1 of other images, whose mean
            and deviation are in units of their own values.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int = 224
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    crop_mode: str = "center"
    full_scale: float = 255.0

    def normalize(self, pixels: Tensor) -> Tensor:
        """uint8 or float (N, C, *space) to float32 with the mean and the standard deviation."""
        shape = (1, -1) + (1,) * (pixels.ndim - 2)
        mean = torch.tensor(self.mean, device=pixels.device).view(shape)
        std = torch.tensor(self.std, device=pixels.device).view(shape)
        if pixels.is_floating_point():  # not in place, and exact also where the mean is large
            return (pixels.float() - mean * self.full_scale) / (std * self.full_scale)
        # (pixels / 255 - mean) / std, in two passes over memory in place of four.
        return pixels.float().mul_(1 / (self.full_scale * std)).sub_(mean / std)

    def transform(self, image: ImageLike) -> Float[Tensor, "c size size"]:
        """An image resized, cropped and normalized as timm and torchvision evaluate.

        Args:
            image: A PIL image, a uint8 array (height, width), (channels, height, width) or
                (height, width, channels), or such a tensor. Grey is repeated for three channels,
                colours are turned into grey for one.

        Raises:
            ArgumentError: The image has other channels or numbers, or the crop mode is unknown.
        """
        if self.crop_mode not in CROP_MODES:
            raise ArgumentError(f"crop_mode={self.crop_mode!r}", fix="choose center or squash")
        planes = _planes(image, len(self.mean))
        pixels = np.stack([np.asarray(self._cropped(plane)) for plane in planes])
        return self.normalize(torch.from_numpy(pixels)[None])[0]

    def _cropped(self, plane: Image.Image) -> Image.Image:
        side = math.floor(self.size / self.crop_fraction)
        shorter = min(plane.size)
        width, height = (
            side if self.crop_mode == "squash" else int(side * length / shorter)
            for length in plane.size
        )
        resized = plane.resize((width, height), Image.Resampling[self.interpolation.upper()])
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return resized.crop((left, top, left + self.size, top + self.size))

    def for_channels(self, num_channels: int) -> Preprocessing:
        """The same for another number of channels: averaged for one, repeated in turn for more."""

        def spread(values: tuple[float, ...]) -> tuple[float, ...]:
            if num_channels == 1:
                return (sum(values) / len(values),)
            return tuple(values[channel % len(values)] for channel in range(num_channels))

        return replace(self, mean=spread(self.mean), std=spread(self.std))


def _planes(image: ImageLike, channels: int) -> list[Image.Image]:
    """The channels of an image, each as a grey PIL image."""
    if isinstance(image, Image.Image):
        planes = list(image.convert("L" if channels == 1 else "RGB").split())
    else:
        planes = [Image.fromarray(plane) for plane in _channels_first(image, channels)]
    if channels == 1 and len(planes) == 3:
        planes = [Image.merge("RGB", planes).convert("L")]
    planes = planes * channels if len(planes) == 1 else planes
    if len(planes) != channels:
        raise ArgumentError(
            f"an image of {len(planes)} channels", why=f"the network takes {channels}"
        )
    return planes


def _channels_first(image: NDArray[np.uint8] | Tensor, channels: int) -> NDArray[np.uint8]:
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image)
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and len(array) not in (1, 3, channels):
        array = array.transpose(2, 0, 1)
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ArgumentError(
            f"an image of {array.dtype} with the shape {array.shape}",
            why="images are uint8 with two axes, and one for channels first or last",
        )
    return np.ascontiguousarray(array)


IMAGENET: Final = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""torchvision's and most of timm's ImageNet preparation."""

INCEPTION: Final = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""From -1 to 1: the preparation of GoogLeNet, Inception and others first trained by Google."""
