"""EfficientNetV2: fused blocks where channels are few, in one, two or three dimensions.

Tan and Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021, arXiv:2104.00298,
table 4; M and L are the authors' published sizes.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from striate.models.catalog import register
from striate.models.efficientnets.efficientnet import (
    FINAL_CHANNELS,
    EfficientNet,
    MBConvConfig,
    Stage,
)

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
class EfficientNetV2Config(MBConvConfig):
    """One EfficientNetV2.

    Attributes:
        size: Row of `STAGES`.
    """

    size: Literal["s", "m", "l"]

    @property
    def ends(self) -> tuple[int, int]:
        """Number of channels of the stem, and of the last convolution."""
        return self.plan[0].channels, FINAL_CHANNELS

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages of this size."""
        return STAGES[self.size]


class EfficientNetV2(EfficientNet):
    """EfficientNetV2 of any rank."""


VARIANTS: Final = {
    "efficientnet_v2_s": EfficientNetV2Config(size="s", input_size=384, dropout=0.2),
    "efficientnet_v2_m": EfficientNetV2Config(size="m", input_size=480, dropout=0.3),
    "efficientnet_v2_l": EfficientNetV2Config(size="l", input_size=480, dropout=0.4),
}

register("efficientnet_v2", VARIANTS, EfficientNetV2)
