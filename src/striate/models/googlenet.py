"""GoogLeNet: blocks of parallel convolutions of several sizes, in one, two or three dimensions.

Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842, table 1 and section 5,
with batch norm in place of response normalization, as in all published weights. The paper gives no
initialization. Inputs are scaled to -1..1; torchvision's `transform_input` turns inputs with
ImageNet's mean and standard deviation into such, so that its weights need no option here.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from torch import nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import Branches, ConvNormAct, Style
from striate.nn.heads import ClassifierHead
from striate.nn.ranks import layers
from striate.weights.preprocessing import INCEPTION, Preprocessing

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
class GoogLeNetConfig(GridConfig):
    """GoogLeNet.

    Attributes:
        large_kernel: Size of the third branch's kernel: 5 in the paper, 3 in all published weights.
        auxiliary_dropout: Probability that a feature of the classifiers on the way is dropped.
        norm_eps: Number added to the variance in batch norm.
    """

    large_kernel: int = 3
    dropout: float = 0.4
    auxiliary_dropout: float = 0.7
    norm_eps: float = 1e-3

    def style(self) -> Style:
        """What all convolutions of the network have in common."""
        return Style(rank=self.rank, norm_eps=self.norm_eps)


def inception_block(
    config: GoogLeNetConfig, in_channels: int, widths: Widths, pool: nn.Module | None = None
) -> Branches:
    """Convolutions of three sizes and a pooling side by side (the paper's figure 2b).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
        widths: Numbers of channels of the branches.
        pool: What halves the maps before; None where nothing does.
    """
    style = config.style()
    return Branches(
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
        pool=pool,
    )


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


class GoogLeNet(GridNetwork):
    """GoogLeNet of any rank."""

    config: GoogLeNetConfig
    min_size = 15
    usual_preprocessing: ClassVar[Preprocessing] = INCEPTION

    def __init__(self, config: GoogLeNetConfig) -> None:
        style = config.style()
        max_pool = layers(config.rank).max_pool
        pool = max_pool(3, stride=2, ceil_mode=True)
        stem = ConvNormAct(style, config.in_channels, 64, 7, stride=2, pool=pool)
        stages: list[list[nn.Module]] = [
            [ConvNormAct(style, 64, 64), ConvNormAct(style, 64, 192, 3)]
        ]
        channels = 192
        for index, stage in enumerate(STAGES):
            last = index == len(STAGES) - 1
            blocks: list[nn.Module] = []
            for block, widths in enumerate(stage):
                halve = max_pool(2 if last else 3, stride=2, ceil_mode=True)
                before = None if block else halve
                blocks.append(inception_block(config, channels, widths, before))
                channels = widths.total
            stages.append(blocks)
        auxiliary = {
            f"stages.2.{block}": auxiliary_classifier(config, STAGES[1][block].total)
            for block in (0, 3)
        }
        super().__init__(
            config, stem=stem, stages=stages, num_features=channels, auxiliary=auxiliary
        )


VARIANTS: Final = {"googlenet": GoogLeNetConfig()}

register("googlenet", VARIANTS, GoogLeNet)
