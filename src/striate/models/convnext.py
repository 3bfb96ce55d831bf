"""ConvNeXt: a ResNet with the choices of vision transformers, in one, two or three dimensions.

V1: Liu et al., A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545, section 2 and table 9.
V2: Woo et al., ConvNeXt V2, CVPR 2023, arXiv:2301.00808: global response norm in the place of layer
scale, and smaller sizes.

Axes: (n, c, *space) between blocks; channels last inside a block.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import (
    NORM_EPS,
    ChannelNorm,
    GlobalResponseNorm,
    StochasticDepth,
    init_truncated_normal,
)
from striate.nn.conv import convolution, patch_convolution
from striate.nn.heads import GlobalAveragePool
from striate.nn.ranks import CONV_TYPES

EXPANSION: Final = 4


@dataclass(frozen=True, kw_only=True)
class ConvNeXtConfig(GridConfig):
    """One ConvNeXt.

    Attributes:
        num_blocks: Number of blocks of each stage.
        channels: Number of channels of each stage.
        stochastic_depth: Rate of stochastic depth at the last block; it rises linearly from zero.
        layer_scale: What the scales of the branches start from; 0 for no scales (V2).
        response_norm: Global response norm after the activation (V2).
    """

    num_blocks: tuple[int, ...]
    channels: tuple[int, ...]
    stochastic_depth: float = 0.1
    layer_scale: float = 1e-6
    response_norm: bool = False


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, norm, and a perceptron at each place, added to the input (figure 4 of V1).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input; not `channels` where the block begins a stage.
        channels: Number of channels of the output.
        drop_rate: Rate of stochastic depth.
    """

    def __init__(
        self, config: ConvNeXtConfig, in_channels: int, channels: int, drop_rate: float
    ) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if in_channels != channels:
            conv = patch_convolution(config.rank, in_channels, channels, 2)
            self.downsample = nn.Sequential(OrderedDict(norm=ChannelNorm(in_channels), conv=conv))
        hidden = EXPANSION * channels
        self.depthwise = convolution(config.rank, channels, channels, 7, groups=channels, bias=True)
        # A linear layer on the last axis is the 1x1 convolution without a change of layout after
        # the norm, which wants channels innermost.
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.expand = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.response: nn.Module = nn.Identity()
        if config.response_norm:
            self.response = GlobalResponseNorm(hidden)
        self.project = nn.Linear(hidden, channels)
        self.scale: nn.Parameter | None = None
        if config.layer_scale:
            self.scale = nn.Parameter(torch.full((channels,), config.layer_scale))
        self.drop = StochasticDepth(drop_rate)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """The branch, scaled, added to the input."""
        x = self.downsample(x)
        y = self.norm(self.depthwise(x).movedim(1, -1))
        y = self.project(self.response(self.act(self.expand(y))))
        if self.scale is not None:
            y = y * self.scale
        dropped: Tensor = self.drop(y.movedim(-1, 1))
        return x + dropped


class ConvNeXt(GridNetwork):
    """ConvNeXt of any rank."""

    config: ConvNeXtConfig
    min_size = 32

    def __init__(self, config: ConvNeXtConfig) -> None:
        channels = config.channels[0]
        conv = patch_convolution(config.rank, config.in_channels, channels, 4)
        stem = nn.Sequential(OrderedDict(conv=conv, norm=ChannelNorm(channels)))
        last = sum(config.num_blocks) - 1
        stages: list[list[ConvNeXtBlock]] = []
        index = 0
        for num_blocks, width in zip(config.num_blocks, config.channels, strict=True):
            blocks = []
            for _ in range(num_blocks):
                rate = config.stochastic_depth * index / max(last, 1)
                blocks.append(ConvNeXtBlock(config, channels, width, rate))
                channels, index = width, index + 1
            stages.append(blocks)
        super().__init__(config, stem=stem, stages=stages, num_features=channels)
        norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.pool = nn.Sequential(OrderedDict(average=GlobalAveragePool(), norm=norm))
        for part in (self.stem, self.stages):
            for module in part.modules():
                if isinstance(module, (nn.Linear, *CONV_TYPES)):
                    init_truncated_normal(module)


def _v1(depth: int, width: int, drop_rate: float) -> ConvNeXtConfig:
    return ConvNeXtConfig(
        num_blocks=(3, 3, depth, 3),
        channels=(width, 2 * width, 4 * width, 8 * width),
        stochastic_depth=drop_rate,
    )


def _v2(num_blocks: tuple[int, ...], width: int, drop_rate: float) -> ConvNeXtConfig:
    return ConvNeXtConfig(
        num_blocks=num_blocks,
        channels=(width, 2 * width, 4 * width, 8 * width),
        stochastic_depth=drop_rate,
        layer_scale=0.0,
        response_norm=True,
    )


VARIANTS: Final = {
    "convnext_tiny": _v1(9, 96, 0.1),
    "convnext_small": _v1(27, 96, 0.4),
    "convnext_base": _v1(27, 128, 0.5),
    "convnext_large": _v1(27, 192, 0.5),
    "convnext_xlarge": _v1(27, 256, 0.5),
    "convnextv2_atto": _v2((2, 2, 6, 2), 40, 0.1),
    "convnextv2_femto": _v2((2, 2, 6, 2), 48, 0.1),
    "convnextv2_pico": _v2((2, 2, 6, 2), 64, 0.1),
    "convnextv2_nano": _v2((2, 2, 8, 2), 80, 0.1),
    "convnextv2_tiny": _v2((3, 3, 9, 3), 96, 0.2),
    "convnextv2_small": _v2((3, 3, 27, 3), 96, 0.2),
    "convnextv2_base": _v2((3, 3, 27, 3), 128, 0.1),
    "convnextv2_large": _v2((3, 3, 27, 3), 192, 0.1),
    "convnextv2_huge": _v2((3, 3, 27, 3), 352, 0.3),
}

register("convnext", VARIANTS, ConvNeXt)
