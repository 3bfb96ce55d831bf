"""Thumbnet: a small network for small pictures, from eight positions a side on.

Its stem is fitted to the training items before the first step: filters along the axes in which
their patches vary, each scaled to a variance of one, and their negatives, so that the first
layer's outputs are white (the frozen patch whitening of Page, 2019, and of Jordan, 94% on CIFAR-10 in
3.29 Seconds on a Single GPU, 2024, arXiv:2404.00498). Stages of a convolution, a pooling and a
residual convolution follow, as many as it takes to bring the input's side to about four.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_counts
from striate.models.patches.patch_filters import drawn_patches
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.ranks import layers

STEM_SIZE: Final = 3
"""Side of the stem's filters."""

NUM_PATCHES: Final = 20_000
"""Patches by which the stem is fitted."""

LAST_SIDE: Final = 3.5
"""The smallest side of the last maps."""

EPSILON: Final = 5e-3
"""Is added to the variance along an axis, so that noise is not made as large as the picture."""


@dataclass(frozen=True, kw_only=True)
class ThumbnetConfig(GridConfig):
    """One Thumbnet.

    Attributes:
        stem_channels: Channels of the stem, half of them the negatives of the others.
        widths: Channels of the first and of the last stage; between them they double.
    """

    input_size: int = 32
    stem_channels: int = 24
    widths: tuple[int, int] = (32, 128)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "stem_channels")

    @property
    def made_for_size(self) -> bool:
        """The number of stages follows from the input's side."""
        return True

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each stage.

        >>> ThumbnetConfig(input_size=28).channels, ThumbnetConfig(input_size=8).channels
        ((32, 64, 128), (128,))
        """
        first, last = self.widths
        count = max(1, math.floor(math.log2(self.input_size / LAST_SIDE)))
        return tuple(max(first, last >> (count - 1 - stage)) for stage in range(count))


class WhiteStem(nn.Module):
    """A convolution to white outputs, and the part of them above zero.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: ThumbnetConfig) -> None:
        super().__init__()
        padding = STEM_SIZE // 2
        self.conv = layers(config.rank).conv(
            config.in_channels, config.stem_channels, STEM_SIZE, padding=padding
        )
        self.act = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *space"]:
        """Filter and rectify."""
        y: Tensor = self.act(self.conv(x))
        return y


class ResidualConv(nn.Module):
    """A convolution, norm and activation, added to its input.

    Args:
        style: What all convolutions of the network have in common.
        channels: Number of channels of the input and the output.
    """

    def __init__(self, style: Style, channels: int) -> None:
        super().__init__()
        self.branch = ConvNormAct(style, channels, channels, 3)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Input plus branch."""
        y: Tensor = x + self.branch(x)
        return y


class Thumbnet(GridNetwork):
    """Thumbnet of any rank."""

    fits_features = True

    config: ThumbnetConfig
    stem: WhiteStem

    def __init__(self, config: ThumbnetConfig) -> None:
        style = Style(rank=config.rank)
        stages = []
        channels = config.stem_channels
        for width in config.channels:
            pool = layers(config.rank).max_pool(2)
            stages.append(
                [ConvNormAct(style, channels, width, 3, pool=pool), ResidualConv(style, width)]
            )
            channels = width
        super().__init__(config, stem=WhiteStem(config), stages=stages, num_features=channels)
        self.min_size = 2 ** len(stages)

    def fit_features(self, inputs: Float[Tensor, "n c *space"], seed: int) -> None:
        """Set the stem so that its filters' outputs for training items are white.

        Args:
            inputs: Normalized inputs of training items.
            seed: Seed of the choice of patches.
        """
        conv = self.stem.conv
        patches = drawn_patches(
            inputs, STEM_SIZE, NUM_PATCHES, np.random.default_rng(seed)
        ).double()
        values, axes = torch.linalg.eigh(patches.T.cov())
        count = min(len(conv.weight) // 2, len(values))
        white = (axes[:, -count:] * (values[-count:].clamp(min=0) + EPSILON).rsqrt()).T
        with torch.no_grad():
            both = torch.cat([white, -white]).view(2 * count, *conv.weight.shape[1:])
            conv.weight[: 2 * count] = both.to(conv.weight)


VARIANTS: Final = {
    "thumbnet": ThumbnetConfig(),
    "thumbnet_narrow": ThumbnetConfig(stem_channels=12, widths=(16, 64)),
    "thumbnet_wide": ThumbnetConfig(widths=(64, 256)),
}

register("thumbnet", VARIANTS, Thumbnet)
