"""EfficientNet: depth, width and resolution scaled together, in one, two or three dimensions.

B0 to B7: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
ICML 2019, arXiv:1905.11946, table 1 and section 4. Lite0 to Lite4: the variants for mobile devices
that the authors published in 2020: no squeeze-and-excitation, ReLU6, stem and ends not scaled.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from torch import nn

from striate.models.catalog import register
from striate.models.network import Network, NetworkConfig
from striate.nn.blocks import ConvNormAct, SqueezeExcite, Style
from striate.nn.conv import PaddingStyle
from striate.nn.mbconv import InvertedResidual

STEM_CHANNELS: Final = 32
FINAL_CHANNELS: Final = 1280


class Stage(NamedTuple):
    """A row of the paper's table 1; the second generation has fused blocks too."""

    num_blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int
    fused: bool = False


STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig(NetworkConfig):
    """One EfficientNet.

    Attributes:
        width: factor on the channels.
        depth: factor on the blocks of a stage.
        lite: the variant for mobile devices.
        stochastic_depth: rate at the last block; it rises linearly from zero at the first.
        padding: belongs to the weights; those from TensorFlow want `same`.
        norm_eps: belongs to the weights; those from TensorFlow want 1e-3.
    """

    width: float = 1.0
    depth: float = 1.0
    lite: bool = False
    stochastic_depth: float = 0.2
    padding: PaddingStyle = "symmetric"
    norm_eps: float = 1e-5

    def style(self) -> Style:
        """What all convolutions of the network have in common."""
        return Style(
            rank=self.rank,
            padding=self.padding,
            norm_eps=self.norm_eps,
            activation=nn.ReLU6 if self.lite else nn.SiLU,
        )


def scale_channels(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of 8 that loses no more than a tenth.

    >>> scale_channels(32, 1.1), scale_channels(16, 1.4)
    (32, 24)
    """
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def scaled_stages(config: EfficientNetConfig) -> Iterator[Stage]:
    """The stages of this width and depth; Lite keeps the depth of the first and the last."""
    for stage in STAGES:
        fixed = config.lite and stage in (STAGES[0], STAGES[-1])
        yield stage._replace(
            num_blocks=stage.num_blocks if fixed else math.ceil(stage.num_blocks * config.depth),
            channels=scale_channels(stage.channels, config.width),
        )


def mbconv(
    style: Style, gated: bool, in_channels: int, stage: Stage, drop_rate: float
) -> InvertedResidual:
    """A block of a stage: an inverted residual, gated unless Lite (the paper's section 4)."""
    hidden = in_channels * stage.expansion
    gate = None
    if gated:
        # The gate's width follows the block's input, not the expanded channels.
        gate = SqueezeExcite(style.rank, hidden, in_channels // 4, style.activation)
    return InvertedResidual(
        style,
        in_channels,
        hidden,
        stage.channels,
        kernel_size=stage.kernel_size,
        stride=stage.stride,
        gate=gate,
        drop_rate=drop_rate,
    )


def build_stages(
    plan: Sequence[Stage],
    channels: int,
    stochastic_depth: float,
    build: Callable[[int, Stage, float], nn.Module],
) -> list[list[nn.Module]]:
    """The blocks of each stage; only the first of a stage has its stride.

    Args:
        plan: the stages.
        channels: of the stem.
        stochastic_depth: what the rate of a block after the last would be; zero at the first.
        build: makes a block from its input channels, its stage and its rate.
    """
    total = sum(stage.num_blocks for stage in plan)
    stages: list[list[nn.Module]] = []
    index = 0
    for stage in plan:
        blocks = []
        for _ in range(stage.num_blocks):
            blocks.append(build(channels, stage, stochastic_depth * index / total))
            channels, stage, index = stage.channels, stage._replace(stride=1), index + 1
        stages.append(blocks)
    return stages


class EfficientNet(Network):
    """EfficientNet of any rank."""

    config: EfficientNetConfig

    def __init__(self, config: EfficientNetConfig) -> None:
        width = 1.0 if config.lite else config.width
        style = config.style()
        channels = scale_channels(STEM_CHANNELS, width)
        stem = ConvNormAct(style, config.in_channels, channels, 3, stride=2)
        plan = list(scaled_stages(config))
        build = partial(mbconv, style, not config.lite)
        stages = build_stages(plan, channels, config.stochastic_depth, build)
        num_features = scale_channels(FINAL_CHANNELS, width)
        final = ConvNormAct(style, plan[-1].channels, num_features)
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=num_features)


def _b(width: float, depth: float, size: int, dropout: float, eps: float) -> EfficientNetConfig:
    return EfficientNetConfig(
        width=width, depth=depth, input_size=size, dropout=dropout, norm_eps=eps
    )


def _lite(width: float, depth: float, size: int, dropout: float) -> EfficientNetConfig:
    return EfficientNetConfig(
        width=width,
        depth=depth,
        input_size=size,
        dropout=dropout,
        lite=True,
        padding="same",
        norm_eps=1e-3,
    )


# The eps of B0 to B7 is that of torchvision's checkpoints.
VARIANTS: Final = {
    "efficientnet_b0": _b(1.0, 1.0, 224, 0.2, 1e-5),
    "efficientnet_b1": _b(1.0, 1.1, 240, 0.2, 1e-5),
    "efficientnet_b2": _b(1.1, 1.2, 260, 0.3, 1e-5),
    "efficientnet_b3": _b(1.2, 1.4, 300, 0.3, 1e-5),
    "efficientnet_b4": _b(1.4, 1.8, 380, 0.4, 1e-5),
    "efficientnet_b5": _b(1.6, 2.2, 456, 0.4, 1e-3),
    "efficientnet_b6": _b(1.8, 2.6, 528, 0.5, 1e-3),
    "efficientnet_b7": _b(2.0, 3.1, 600, 0.5, 1e-3),
    "efficientnet_lite0": _lite(1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": _lite(1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": _lite(1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": _lite(1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": _lite(1.4, 1.8, 300, 0.3),
}

register("efficientnet", VARIANTS, EfficientNet)
