"""ResNet: stages of residual blocks, in one, two or three dimensions.

He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385,
table 1. In a bottleneck the stride is in the 3x3 convolution, as in every checkpoint for PyTorch.
ResNeXt: Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017,
arXiv:1611.05431. Wide: Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016, arXiv:1605.07146.
R(2+1)D, by `factorized`: see `striate.nn.factorized`; the stem is ResNet's own, factorized as well.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.factorized import check_factorized
from striate.nn.ranks import layers

STEM_CHANNELS: Final = 64


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(GridConfig):
    """One ResNet.

    Attributes:
        block: `basic`, two 3x3 convolutions; `bottleneck`, 1x1, 3x3 and 1x1.
        num_blocks: Number of blocks of each stage.
        groups: Number of groups of a bottleneck's 3x3 convolution; ResNeXt's cardinality.
        group_width: Channels of such a group in the first stage.
        norm_eps: Number added to the variance in batch norm.
        factorized: (2+1)-D convolutions; rank 3 without groups only.
    """

    block: Literal["basic", "bottleneck"]
    num_blocks: tuple[int, ...]
    groups: int = 1
    group_width: int = STEM_CHANNELS
    norm_eps: float = 1e-5
    factorized: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        wide = (self.groups, self.group_width) != (1, STEM_CHANNELS)
        if self.block == "basic" and wide:
            raise ArgumentError(
                f"groups={self.groups!r} and group_width={self.group_width!r} with block='basic'",
                why="only a bottleneck has groups",
                fix="choose block='bottleneck'",
            )
        if self.factorized:
            check_factorized(self.rank, self.groups)

    def style(self) -> Style:
        """What all convolutions of the network have in common."""
        return Style(rank=self.rank, norm_eps=self.norm_eps, factorized=self.factorized)


class ResidualBlock(nn.Module):
    """A branch of convolutions added to its input, then the activation (the paper's figure 5).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
        width: Channels inside, before groups and their width.
        stride: Step of the first 3x3 convolution.
    """

    def __init__(self, config: ResNetConfig, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        style = config.style()
        out_channels = block_channels(config, width)
        if config.block == "basic":
            self.branch = nn.Sequential(
                ConvNormAct(style, in_channels, width, 3, stride=stride),
                ConvNormAct(style, width, out_channels, 3, activate=False),
            )
        else:
            inner = width // STEM_CHANNELS * config.groups * config.group_width
            self.branch = nn.Sequential(
                ConvNormAct(style, in_channels, inner),
                ConvNormAct(style, inner, inner, 3, stride=stride, groups=config.groups),
                ConvNormAct(style, inner, out_channels, activate=False),
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


class ResNet(GridNetwork):
    """ResNet of any rank."""

    config: ResNetConfig

    def __init__(self, config: ResNetConfig) -> None:
        style = config.style()
        pool = layers(config.rank).max_pool(3, stride=2, padding=1)
        stem = ConvNormAct(style, config.in_channels, STEM_CHANNELS, 7, stride=2, pool=pool)
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


def _grouped(num_blocks: tuple[int, ...], groups: int, group_width: int) -> ResNetConfig:
    return ResNetConfig(
        block="bottleneck", num_blocks=num_blocks, groups=groups, group_width=group_width
    )


VARIANTS: Final = {
    "resnet18": ResNetConfig(block="basic", num_blocks=(2, 2, 2, 2)),
    "resnet34": ResNetConfig(block="basic", num_blocks=(3, 4, 6, 3)),
    "resnet26": ResNetConfig(block="bottleneck", num_blocks=(2, 2, 2, 2)),
    "resnet50": ResNetConfig(block="bottleneck", num_blocks=(3, 4, 6, 3)),
    "resnet101": ResNetConfig(block="bottleneck", num_blocks=(3, 4, 23, 3)),
    "resnet152": ResNetConfig(block="bottleneck", num_blocks=(3, 8, 36, 3)),
    "resnext50_32x4d": _grouped((3, 4, 6, 3), groups=32, group_width=4),
    "resnext101_32x8d": _grouped((3, 4, 23, 3), groups=32, group_width=8),
    "resnext101_64x4d": _grouped((3, 4, 23, 3), groups=64, group_width=4),
    "wide_resnet50_2": _grouped((3, 4, 6, 3), groups=1, group_width=128),
    "wide_resnet101_2": _grouped((3, 4, 23, 3), groups=1, group_width=128),
}

register("resnet", VARIANTS, ResNet)
