"""How items must look before a network with given weights sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The preparation that belongs to a set of weights.

    Attributes:
        mean: per channel, in units of a full scale of 1.
        std: per channel, in units of a full scale of 1.
        size: the shorter side the weights were trained at, in pixels.
        crop_fraction: side of the evaluation crop over the resized shorter side.
        interpolation: "bilinear" or "bicubic".
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int = 224
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"

    def normalize(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, *space) to float32 with the weights' mean and deviation."""
        shape = (1, -1) + (1,) * (pixels.ndim - 2)
        mean = torch.tensor(self.mean, device=pixels.device).view(shape)
        std = torch.tensor(self.std, device=pixels.device).view(shape)
        # (pixels / 255 - mean) / std, in two passes over memory in place of four.
        return pixels.float().mul_(1 / (255 * std)).sub_(mean / std)

    def for_channels(self, num_channels: int) -> Preprocessing:
        """The same for another number of channels: averaged for one, repeated in turn for more."""

        def spread(values: tuple[float, ...]) -> tuple[float, ...]:
            if num_channels == 1:
                return (sum(values) / len(values),)
            return tuple(values[channel % len(values)] for channel in range(num_channels))

        return replace(self, mean=spread(self.mean), std=spread(self.std))


IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""torchvision's and most of timm's ImageNet preparation."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""From -1 to 1: that of GoogLeNet, Inception and other networks first trained by Google."""
