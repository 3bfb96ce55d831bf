"""GoogLeNet: blocks of parallel convolutions of several sizes, in one, two or three dimensions.

Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842, table 1 and section 5,
with batch norm in place of response normalization, as in all published weights. The paper tells no
initialization. Inputs are scaled to -1..1; torchvision's `transform_input` turns inputs with
ImageNet's mean and deviation into such, so that its weights need no option here.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.auxiliary import AuxiliaryNetwork
from striate.models.catalog import register
from striate.models.network import NetworkConfig
from striate.nn.blocks import ClassifierHead, ConvNormAct, Style
from striate.nn.ranks import layers
from striate.weights.preprocessing import INCEPTION

AUXILIARY_SIZE: Final = 4
AUXILIARY_CHANNELS: Final = 128
AUXILIARY_FEATURES: Final = 1024


class Widths(NamedTuple):
    """Output channels of a block's convolutions: a row of the paper's table 1."""

    direct: int
    reduce_middle: int
    middle: int
    reduce_large: int
    large: int
    pooled: int

    @property
    def total(self) -> int:
        """Channels of the block's output."""
        return self.direct + self.middle + self.large + self.pooled


STAGES: Final = (
    (Widths(64, 96, 128, 16, 32, 32), Widths(128, 128, 192, 32, 96, 64)),
    (
        Widths(192, 96, 208, 16, 48, 64),
        Widths(160, 112, 224, 24, 64, 64),
        Widths(128, 128, 256, 24, 64, 64),
        Widths(112, 144, 288, 32, 64, 64),
        Widths(256, 160, 320, 32, 128, 128),
    ),
    (Widths(256, 160, 320, 32, 128, 128), Widths(384, 192, 384, 48, 128, 128)),
)


@dataclass(frozen=True, kw_only=True)
class GoogLeNetConfig(NetworkConfig):
    """GoogLeNet.

    Attributes:
        large_kernel: of the third branch: 5 in the paper, 3 in all published weights.
        auxiliary_dropout: probability that a feature of the classifiers on the way is dropped.
        norm_eps: added to the variance in batch norm.
    """

    large_kernel: int = 3
    dropout: float = 0.4
    auxiliary_dropout: float = 0.7
    norm_eps: float = 1e-3

    def style(self) -> Style:
        """What all convolutions of the network have in common."""
        return Style(rank=self.rank, norm_eps=self.norm_eps)


class InceptionBlock(nn.Module):
    """Convolutions of three sizes and a pooling side by side (the paper's figure 2b).

    Args:
        config: the network's.
        in_channels: of the input.
        widths: of the branches.
        pool: halves the maps before; None where nothing does.
    """

    def __init__(
        self,
        config: GoogLeNetConfig,
        in_channels: int,
        widths: Widths,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        style = config.style()
        self.pool = pool or nn.Identity()
        self.branches = nn.ModuleList(
            [
                ConvNormAct(style, in_channels, widths.direct),
                nn.Sequential(
                    ConvNormAct(style, in_channels, widths.reduce_middle),
                    ConvNormAct(style, widths.reduce_middle, widths.middle, 3),
                ),
                nn.Sequential(
                    ConvNormAct(style, in_channels, widths.reduce_large),
                    ConvNormAct(style, widths.reduce_large, widths.large, config.large_kernel),
                ),
                nn.Sequential(
                    layers(config.rank).max_pool(3, stride=1, padding=1),
                    ConvNormAct(style, in_channels, widths.pooled),
                ),
            ]
        )

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """All branches' maps, one behind the other."""
        x = self.pool(x)
        return torch.cat([branch(x) for branch in self.branches], 1)


def auxiliary_classifier(config: GoogLeNetConfig, in_channels: int) -> nn.Sequential:
    """Maps of any size to logits (the paper's section 5): `project`, `hidden`, `head` in the end.

    `hidden` is a convolution as large as its input, for the reason told in `HiddenLayers`.
    """
    of_rank = layers(config.rank)
    return nn.Sequential(
        OrderedDict(
            resize=of_rank.adaptive_avg_pool(AUXILIARY_SIZE),
            project=ConvNormAct(config.style(), in_channels, AUXILIARY_CHANNELS),
            hidden=of_rank.conv(AUXILIARY_CHANNELS, AUXILIARY_FEATURES, AUXILIARY_SIZE),
            act=nn.ReLU(),
            flatten=nn.Flatten(1),
            head=ClassifierHead(AUXILIARY_FEATURES, config.num_classes, config.auxiliary_dropout),
        )
    )


class GoogLeNet(AuxiliaryNetwork):
    """GoogLeNet of any rank."""

    config: GoogLeNetConfig
    least_size = 15

    def __init__(self, config: GoogLeNetConfig) -> None:
        style = config.style()
        max_pool = layers(config.rank).max_pool
        first = ConvNormAct(style, config.in_channels, 64, 7, stride=2)
        pool = max_pool(3, stride=2, ceil_mode=True)
        stem = nn.Sequential(OrderedDict([*first.named_children(), ("pool", pool)]))
        stages: list[list[nn.Module]] = [
            [ConvNormAct(style, 64, 64), ConvNormAct(style, 64, 192, 3)]
        ]
        channels = 192
        for index, stage in enumerate(STAGES):
            last = index == len(STAGES) - 1
            blocks: list[nn.Module] = []
            for block, widths in enumerate(stage):
                halve = max_pool(2 if last else 3, stride=2, ceil_mode=True)
                blocks.append(
                    InceptionBlock(config, channels, widths, halve if block == 0 else None)
                )
                channels = widths.total
            stages.append(blocks)
        auxiliary = {
            f"stages.2.{block}": auxiliary_classifier(config, STAGES[1][block].total)
            for block in (0, 3)
        }
        super().__init__(
            config, stem=stem, stages=stages, num_features=channels, auxiliary=auxiliary
        )
        self.preprocessing = replace(INCEPTION, size=config.input_size).for_channels(
            config.in_channels
        )


VARIANTS: Final = {"googlenet": GoogLeNetConfig()}

register("googlenet", VARIANTS, GoogLeNet)
