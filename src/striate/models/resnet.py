"""ResNet: stages of residual blocks, in one, two or three dimensions.

He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385,
table 1. In a bottleneck the stride is in the 3x3 convolution, as in every checkpoint for PyTorch.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import Network, NetworkConfig
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.ranks import layers

STEM_CHANNELS: Final = 64


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(NetworkConfig):
    """One ResNet.

    Attributes:
        block: `basic`, two 3x3 convolutions; `bottleneck`, 1x1, 3x3 and 1x1.
        num_blocks: of each stage.
        norm_eps: added to the variance in batch norm.
    """

    block: Literal["basic", "bottleneck"]
    num_blocks: tuple[int, ...]
    norm_eps: float = 1e-5


class ResidualBlock(nn.Module):
    """A branch of convolutions added to its input, then the activation (the paper's figure 5).

    Args:
        config: the network's.
        in_channels: of the input.
        width: channels inside.
        stride: of the first 3x3 convolution.
    """

    def __init__(self, config: ResNetConfig, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        style = Style(rank=config.rank, norm_eps=config.norm_eps)
        out_channels = block_channels(config, width)
        if config.block == "basic":
            self.branch = nn.Sequential(
                ConvNormAct(style, in_channels, width, 3, stride=stride),
                ConvNormAct(style, width, out_channels, 3, activate=False),
            )
        else:
            self.branch = nn.Sequential(
                ConvNormAct(style, in_channels, width),
                ConvNormAct(style, width, width, 3, stride=stride),
                ConvNormAct(style, width, out_channels, activate=False),
            )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = ConvNormAct(
                style, in_channels, out_channels, stride=stride, activate=False
            )
        self.act = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """Branch plus shortcut, activated."""
        y: Tensor = self.act(self.branch(x) + self.shortcut(x))
        return y


def block_channels(config: ResNetConfig, width: int) -> int:
    """Channels that a block of that width gives."""
    return width if config.block == "basic" else 4 * width


class ResNet(Network):
    """ResNet of any rank."""

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        style = Style(rank=config.rank, norm_eps=config.norm_eps)
        first = ConvNormAct(style, config.in_channels, STEM_CHANNELS, 7, stride=2)
        pool = layers(config.rank).max_pool(3, stride=2, padding=1)
        stem = nn.Sequential(OrderedDict([*first.named_children(), ("pool", pool)]))
        channels = STEM_CHANNELS
        stages: list[list[ResidualBlock]] = []
        for index, num_blocks in enumerate(config.num_blocks):
            width = STEM_CHANNELS * 2**index
            blocks = []
            for block in range(num_blocks):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(ResidualBlock(config, channels, width, stride))
                channels = block_channels(config, width)
            stages.append(blocks)
        super().__init__(config, stem=stem, stages=stages, num_features=channels)


VARIANTS: Final = {
    "resnet18": ResNetConfig(block="basic", num_blocks=(2, 2, 2, 2)),
    "resnet34": ResNetConfig(block="basic", num_blocks=(3, 4, 6, 3)),
    "resnet50": ResNetConfig(block="bottleneck", num_blocks=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(block="bottleneck", num_blocks=(3, 4, 23, 3)),
    "resnet152": ResNetConfig(block="bottleneck", num_blocks=(3, 8, 36, 3)),
}

register("resnet", VARIANTS, ResNet)
