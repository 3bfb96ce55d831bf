"""EfficientNet: depth, width and resolution scaled together, in one, two or three dimensions.

B0 to B7: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
ICML 2019, arXiv:1905.11946, table 1 and section 4. Lite0 to Lite4: the variants for mobile devices
that the authors published in 2020: no squeeze-and-excitation, ReLU6, stem and ends not scaled.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from torch import nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import ConvNormAct, SqueezeExcite, Style
from striate.nn.conv import PaddingStyle
from striate.nn.mbconv import InvertedResidual, multiple_of_8

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
class MBConvConfig(GridConfig):
    """The part of a configuration that both generations share.

    Attributes:
        stochastic_depth: Rate of stochastic depth after the last block; it rises from zero.
        padding: How convolutions pad; it belongs to the weights, those from TensorFlow want `same`.
        norm_eps: Number added to the variance; weights from TensorFlow want 1e-3.
    """

    stochastic_depth: float = 0.2
    padding: PaddingStyle = "symmetric"
    norm_eps: float = 1e-3

    @property
    def is_lite(self) -> bool:
        """Whether blocks are without gates, and activations ReLU6."""
        return False

    @property
    def ends(self) -> tuple[int, int]:
        """Number of channels of the stem, and of the last convolution."""
        raise NotImplementedError

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig(MBConvConfig):
    """One EfficientNet of the first generation.

    Attributes:
        width: Factor on the channels.
        depth: Factor on the number of blocks of a stage.
        lite: Whether it is the variant for mobile devices.
    """

    width: float = 1.0
    depth: float = 1.0
    lite: bool = False
    norm_eps: float = 1e-5

    @property
    def is_lite(self) -> bool:
        """Whether it is the variant for mobile devices."""
        return self.lite

    @property
    def ends(self) -> tuple[int, int]:
        """Number of channels of the stem, and of the last convolution."""
        width = 1.0 if self.lite else self.width
        return multiple_of_8(STEM_CHANNELS * width), multiple_of_8(FINAL_CHANNELS * width)

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages of this width and depth; Lite keeps the depth of the first and the last."""
        return tuple(
            stage._replace(
                num_blocks=stage.num_blocks
                if self.lite and stage in (STAGES[0], STAGES[-1])
                else math.ceil(stage.num_blocks * self.depth),
                channels=multiple_of_8(stage.channels * self.width),
            )
            for stage in STAGES
        )


def _block(
    style: Style, gated: bool, in_channels: int, stage: Stage, drop_rate: float
) -> InvertedResidual:
    """A block of a stage: an inverted residual, gated unless Lite or fused (section 4 of V1)."""
    hidden = in_channels * stage.expansion
    gate = None
    if gated and not stage.fused:
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
        fused=stage.fused,
    )


class EfficientNet(GridNetwork):
    """EfficientNet of any rank."""

    config: MBConvConfig

    def __init__(self, config: MBConvConfig) -> None:
        style = Style(
            rank=config.rank,
            padding=config.padding,
            norm_eps=config.norm_eps,
            activation=nn.ReLU6 if config.is_lite else nn.SiLU,
        )
        channels, num_features = config.ends
        stem = ConvNormAct(style, config.in_channels, channels, 3, stride=2)
        total, index = sum(stage.num_blocks for stage in config.plan), 0
        stages: list[list[nn.Module]] = []
        for stage in config.plan:
            blocks: list[nn.Module] = []
            for _ in range(stage.num_blocks):
                rate = config.stochastic_depth * index / total
                blocks.append(_block(style, not config.is_lite, channels, stage, rate))
                # Only the first block of a stage has its stride.
                channels, stage, index = stage.channels, stage._replace(stride=1), index + 1
            stages.append(blocks)
        final = ConvNormAct(style, channels, num_features)
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=num_features)


def _b(width: float, depth: float, size: int, dropout: float, eps: float) -> EfficientNetConfig:
    return EfficientNetConfig(
        width=width, depth=depth, input_size=size, dropout=dropout, norm_eps=eps
    )


def _lite(width: float, depth: float, size: int, dropout: float) -> EfficientNetConfig:
    config = _b(width, depth, size, dropout, 1e-3)
    return replace(config, lite=True, padding="same")


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
