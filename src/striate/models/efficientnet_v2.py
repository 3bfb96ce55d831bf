"""EfficientNetV2: fused blocks where channels are few, in one, two or three dimensions.

Tan and Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021, arXiv:2104.00298,
table 4; M and L are the authors' published sizes.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from torch import nn

from striate.models.catalog import register
from striate.models.efficientnet import FINAL_CHANNELS, Stage, build_stages, mbconv
from striate.models.network import Network, NetworkConfig
from striate.nn.blocks import ConvNormAct, Style
from striate.nn.conv import PaddingStyle
from striate.nn.mbconv import FusedInvertedResidual

STAGES: Final = {
    "s": (
        Stage(2, 3, 1, 1, 24, fused=True),
        Stage(4, 3, 2, 4, 48, fused=True),
        Stage(4, 3, 2, 4, 64, fused=True),
        Stage(6, 3, 2, 4, 128),
        Stage(9, 3, 1, 6, 160),
        Stage(15, 3, 2, 6, 256),
    ),
    "m": (
        Stage(3, 3, 1, 1, 24, fused=True),
        Stage(5, 3, 2, 4, 48, fused=True),
        Stage(5, 3, 2, 4, 80, fused=True),
        Stage(7, 3, 2, 4, 160),
        Stage(14, 3, 1, 6, 176),
        Stage(18, 3, 2, 6, 304),
        Stage(5, 3, 1, 6, 512),
    ),
    "l": (
        Stage(4, 3, 1, 1, 32, fused=True),
        Stage(7, 3, 2, 4, 64, fused=True),
        Stage(7, 3, 2, 4, 96, fused=True),
        Stage(10, 3, 2, 4, 192),
        Stage(19, 3, 1, 6, 224),
        Stage(25, 3, 2, 6, 384),
        Stage(7, 3, 1, 6, 640),
    ),
}


@dataclass(frozen=True, kw_only=True)
class EfficientNetV2Config(NetworkConfig):
    """One EfficientNetV2.

    Attributes:
        size: the row of `STAGES`.
        stochastic_depth: rate at the last block; it rises linearly from zero at the first.
        padding: belongs to the weights; those from TensorFlow want `same`.
        norm_eps: belongs to the weights; all that were published want 1e-3.
    """

    size: Literal["s", "m", "l"]
    stochastic_depth: float = 0.2
    padding: PaddingStyle = "symmetric"
    norm_eps: float = 1e-3


class EfficientNetV2(Network):
    """EfficientNetV2 of any rank."""

    config: EfficientNetV2Config

    def __init__(self, config: EfficientNetV2Config) -> None:
        style = Style(
            rank=config.rank,
            padding=config.padding,
            norm_eps=config.norm_eps,
            activation=nn.SiLU,
        )
        plan = STAGES[config.size]
        channels = plan[0].channels
        stem = ConvNormAct(style, config.in_channels, channels, 3, stride=2)
        stages = build_stages(plan, channels, config.stochastic_depth, partial(_block, style))
        final = ConvNormAct(style, plan[-1].channels, FINAL_CHANNELS)
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=FINAL_CHANNELS)


def _block(style: Style, in_channels: int, stage: Stage, drop_rate: float) -> nn.Module:
    if not stage.fused:
        return mbconv(style, True, in_channels, stage, drop_rate)
    return FusedInvertedResidual(
        style,
        in_channels,
        in_channels * stage.expansion,
        stage.channels,
        kernel_size=stage.kernel_size,
        stride=stage.stride,
        drop_rate=drop_rate,
    )


VARIANTS: Final = {
    "efficientnet_v2_s": EfficientNetV2Config(size="s", input_size=384, dropout=0.2),
    "efficientnet_v2_m": EfficientNetV2Config(size="m", input_size=480, dropout=0.3),
    "efficientnet_v2_l": EfficientNetV2Config(size="l", input_size=480, dropout=0.4),
}

register("efficientnet_v2", VARIANTS, EfficientNetV2)
