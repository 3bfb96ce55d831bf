"""DenseNet: every layer sees the maps of all before it, in one, two or three dimensions.

Huang, Liu, van der Maaten and Weinberger, Densely Connected Convolutional Networks, CVPR 2017,
arXiv:1608.06993, table 1 (DenseNet-BC: bottlenecks, and transitions that halve the channels).

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_rates
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.conv import convolution
from striate.nn.ranks import layers

BOTTLENECK: Final = 4
"""Channels of a layer's 1x1 convolution, in units of the growth."""


@dataclass(frozen=True, kw_only=True)
class DenseNetConfig(GridConfig):
    """One DenseNet.

    Attributes:
        num_layers: Number of layers of each dense block.
        growth: Number of channels that a layer adds.
        stem_channels: Number of channels of the first convolution.
        layer_dropout: Probability that an added value is dropped while training; 0.2 in the paper
            where the images are not augmented.

    Raises:
        ArgumentError: A value is out of range.
    """

    num_layers: tuple[int, ...]
    growth: int = 32
    stem_channels: int = 64
    layer_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_rates(self, "layer_dropout")


class DenseLayer(nn.Module):
    """Norm, activation and convolution, twice; the new maps are put behind the input's.

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
    """

    def __init__(self, config: DenseNetConfig, in_channels: int) -> None:
        super().__init__()
        hidden = BOTTLENECK * config.growth
        batch_norm = layers(config.rank).batch_norm
        self.branch = nn.Sequential(
            OrderedDict(
                norm1=batch_norm(in_channels),
                act1=nn.ReLU(),
                conv1=convolution(config.rank, in_channels, hidden, 1),
                norm2=batch_norm(hidden),
                act2=nn.ReLU(),
                conv2=convolution(config.rank, hidden, config.growth, 3),
                dropout=nn.Dropout(config.layer_dropout),
            )
        )

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *space"]:
        """The input's maps and the new ones."""
        return torch.cat([x, self.branch(x)], 1)


def transition(config: DenseNetConfig, in_channels: int) -> nn.Sequential:
    """Half the channels and half the size: `norm`, `act`, `conv`, `pool`."""
    of_rank = layers(config.rank)
    return nn.Sequential(
        OrderedDict(
            norm=of_rank.batch_norm(in_channels),
            act=nn.ReLU(),
            conv=convolution(config.rank, in_channels, in_channels // 2, 1),
            pool=of_rank.avg_pool(2),
        )
    )


class DenseNet(GridNetwork):
    """DenseNet of any rank; the transitions open the stages after the first."""

    config: DenseNetConfig
    min_size = 29

    def __init__(self, config: DenseNetConfig) -> None:
        of_rank = layers(config.rank)
        channels = config.stem_channels
        pool, style = of_rank.max_pool(3, stride=2, padding=1), Style(rank=config.rank)
        stem = ConvNormAct(style, config.in_channels, channels, 7, stride=2, pool=pool)
        stages: list[list[nn.Module]] = []
        for index, num_layers in enumerate(config.num_layers):
            blocks: list[nn.Module] = []
            if index > 0:
                blocks.append(transition(config, channels))
                channels //= 2
            for _ in range(num_layers):
                blocks.append(DenseLayer(config, channels))
                channels += config.growth
            stages.append(blocks)
        final = nn.Sequential(OrderedDict(norm=of_rank.batch_norm(channels), act=nn.ReLU()))
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=channels)


VARIANTS: Final = {
    "densenet121": DenseNetConfig(num_layers=(6, 12, 24, 16)),
    "densenet161": DenseNetConfig(num_layers=(6, 12, 36, 24), growth=48, stem_channels=96),
    "densenet169": DenseNetConfig(num_layers=(6, 12, 32, 32)),
    "densenet201": DenseNetConfig(num_layers=(6, 12, 48, 32)),
}

register("densenet", VARIANTS, DenseNet)
