"""InceptionTime: modules of parallel long convolutions, in one, two or three dimensions.

Fawaz et al., InceptionTime: Finding AlexNet for Time Series Classification, Data Mining and
Knowledge Discovery 34, 2020, arXiv:1909.04939, figures 1 and 2. Sizes as in the authors' published
code: kernels of 40, 20 and 10, a bottleneck wherever there is more than one channel, a shortcut
after every third module. What the paper calls InceptionTime is the mean of five such networks.

In two and three dimensions, of which the paper does not speak, kernels are shorter, for their
weights grow with the square and the cube; see `KERNEL_SIZES`.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_counts
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.conv import convolution
from striate.nn.ranks import CONV_TYPES, layers

KERNEL_SIZES: Final = {1: (40, 20, 10), 2: (13, 7, 3), 3: (7, 5, 3)}
"""Sizes of a module's kernels, by rank; the first row is the authors'."""

MODULES_PER_BLOCK: Final = 3


@dataclass(frozen=True, kw_only=True)
class InceptionTimeConfig(GridConfig):
    """One network of InceptionTime.

    Attributes:
        filters: Number of channels of each of a module's four branches.
        bottleneck: Channels to which a module's input is reduced before its long convolutions.
        num_blocks: Shortcuts; each spans three modules.
        kernel_sizes: Sizes of a module's kernels; those of `KERNEL_SIZES` where empty.
        norm_eps: Number added to the variance in batch norm.
    """

    filters: int = 32
    bottleneck: int = 32
    num_blocks: int = 2
    kernel_sizes: tuple[int, ...] = ()
    norm_eps: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "filters", "bottleneck", "num_blocks")

    @property
    def kernels(self) -> tuple[int, ...]:
        """The kernel sizes used."""
        return tuple(self.kernel_sizes) or KERNEL_SIZES[self.rank]

    @property
    def width(self) -> int:
        """Channels that a module gives."""
        return self.filters * (len(self.kernels) + 1)


class InceptionModule(nn.Module):
    """Long convolutions of the reduced input beside a pooling of the whole (the paper's figure 1).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
    """

    def __init__(self, config: InceptionTimeConfig, in_channels: int) -> None:
        super().__init__()
        rank, filters = config.rank, config.filters
        reduced = config.bottleneck if in_channels > 1 else in_channels
        self.bottleneck: nn.Module = nn.Identity()
        if in_channels > 1:
            self.bottleneck = convolution(rank, in_channels, reduced, 1)
        self.convs = nn.ModuleList(
            convolution(rank, reduced, filters, size, padding="same") for size in config.kernels
        )
        self.pool = layers(rank).max_pool(3, stride=1, padding=1)
        self.project = convolution(rank, in_channels, filters, 1)
        self.norm = layers(rank).batch_norm(config.width, eps=config.norm_eps)
        self.act = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *space"]:
        """All branches' maps, one behind the other, normalized and activated."""
        reduced = self.bottleneck(x)
        maps = [conv(reduced) for conv in self.convs]
        y: Tensor = self.act(self.norm(torch.cat([*maps, self.project(self.pool(x))], 1)))
        return y


class InceptionBlock(nn.Module):
    """Three modules and a shortcut over them (the paper's figure 2).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
    """

    def __init__(self, config: InceptionTimeConfig, in_channels: int) -> None:
        super().__init__()
        width = config.width
        self.branch = nn.Sequential(
            *(
                InceptionModule(config, width if index else in_channels)
                for index in range(MODULES_PER_BLOCK)
            )
        )
        style = Style(rank=config.rank, norm_eps=config.norm_eps)
        self.shortcut = ConvNormAct(style, in_channels, width, activate=False)
        self.act = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *space"]:
        """Modules plus shortcut, activated."""
        y: Tensor = self.act(self.branch(x) + self.shortcut(x))
        return y


class InceptionTime(GridNetwork):
    """One network of InceptionTime, of any rank; the stem is its first block."""

    config: InceptionTimeConfig

    def __init__(self, config: InceptionTimeConfig) -> None:
        width = config.width
        super().__init__(
            config,
            stem=InceptionBlock(config, config.in_channels),
            stages=[[InceptionBlock(config, width)] for _ in range(config.num_blocks - 1)],
            num_features=width,
        )
        for module in self.modules():
            if isinstance(module, InceptionModule):
                _init_glorot(module)


def _init_glorot(module: InceptionModule) -> None:
    """Uniform weights by fan-in and fan-out (Glorot and Bengio 2010), Keras' default."""
    for conv in (module.bottleneck, *module.convs, module.project):
        if isinstance(conv, CONV_TYPES) and not conv.weight.is_meta:
            nn.init.xavier_uniform_(conv.weight)


VARIANTS: Final = {
    "inception_time": InceptionTimeConfig(),
    "inception_time_small": InceptionTimeConfig(filters=8, bottleneck=8),
}

register("inception_time", VARIANTS, InceptionTime)
