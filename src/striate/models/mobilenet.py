"""MobileNet: inverted residuals for small machines, in one, two or three dimensions.

V2: Sandler et al., MobileNetV2, CVPR 2018, arXiv:1801.04381, table 2. V3: Howard et al., Searching
for MobileNetV3, ICCV 2019, arXiv:1905.02244, tables 1 and 2.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import torch.nn.functional as F
from torch import nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import ConvNormAct, SqueezeExcite, Style
from striate.nn.heads import GlobalAveragePool
from striate.nn.mbconv import InvertedResidual, multiple_of_8


class Block(NamedTuple):
    """A row of the papers' tables: an inverted residual."""

    kernel_size: int
    stride: int
    hidden_channels: int
    channels: int
    gated: bool = False
    activation: Callable[[], nn.Module] = nn.Hardswish


class Design(NamedTuple):
    """A column of networks: what comes before, in and after the stages.

    `hidden_features` are of the layer between pooling and the classifier; 0 where there is none.
    """

    stem_channels: int
    activation: Callable[[], nn.Module]
    stages: tuple[tuple[Block, ...], ...]
    final_channels: int
    hidden_features: int


def _v2(
    num_blocks: int, expansion: int, stride: int, before: int, channels: int
) -> tuple[Block, ...]:
    first = Block(3, stride, before * expansion, channels, activation=nn.ReLU6)
    other = Block(3, 1, channels * expansion, channels, activation=nn.ReLU6)
    return (first, *[other] * (num_blocks - 1))


DESIGNS: Final = {
    "v2": Design(
        32,
        nn.ReLU6,
        (
            _v2(1, 1, 1, 32, 16),
            _v2(2, 6, 2, 16, 24),
            _v2(3, 6, 2, 24, 32),
            _v2(4, 6, 2, 32, 64),
            _v2(3, 6, 1, 64, 96),
            _v2(3, 6, 2, 96, 160),
            _v2(1, 6, 1, 160, 320),
        ),
        1280,
        0,
    ),
    "v3_small": Design(
        16,
        nn.Hardswish,
        (
            (Block(3, 2, 16, 16, True, nn.ReLU),),
            (Block(3, 2, 72, 24, False, nn.ReLU), Block(3, 1, 88, 24, False, nn.ReLU)),
            (Block(5, 2, 96, 40, True), Block(5, 1, 240, 40, True), Block(5, 1, 240, 40, True)),
            (Block(5, 1, 120, 48, True), Block(5, 1, 144, 48, True)),
            (Block(5, 2, 288, 96, True), Block(5, 1, 576, 96, True), Block(5, 1, 576, 96, True)),
        ),
        576,
        1024,
    ),
    "v3_large": Design(
        16,
        nn.Hardswish,
        (
            (Block(3, 1, 16, 16, False, nn.ReLU),),
            (Block(3, 2, 64, 24, False, nn.ReLU), Block(3, 1, 72, 24, False, nn.ReLU)),
            (Block(5, 2, 72, 40, True, nn.ReLU), *[Block(5, 1, 120, 40, True, nn.ReLU)] * 2),
            (Block(3, 2, 240, 80), Block(3, 1, 200, 80), *[Block(3, 1, 184, 80)] * 2),
            (Block(3, 1, 480, 112, True), Block(3, 1, 672, 112, True)),
            (Block(5, 2, 672, 160, True), Block(5, 1, 960, 160, True), Block(5, 1, 960, 160, True)),
        ),
        960,
        1280,
    ),
}


@dataclass(frozen=True, kw_only=True)
class MobileNetConfig(GridConfig):
    """One MobileNet.

    Attributes:
        design: Row of `DESIGNS`.
        norm_eps: Number added to the variance; weights of V3 from TensorFlow want 1e-3.
    """

    design: Literal["v2", "v3_small", "v3_large"]
    norm_eps: float = 1e-5
    dropout: float = 0.2


class MobileNet(GridNetwork):
    """MobileNet V2 or V3 of any rank."""

    config: MobileNetConfig

    def __init__(self, config: MobileNetConfig) -> None:
        design = DESIGNS[config.design]
        style = Style(rank=config.rank, norm_eps=config.norm_eps, activation=design.activation)
        channels = design.stem_channels
        stem = ConvNormAct(style, config.in_channels, channels, 3, stride=2)
        stages: list[list[nn.Module]] = []
        for rows in design.stages:
            blocks: list[nn.Module] = []
            for row in rows:
                blocks.append(_block(replace(style, activation=row.activation), channels, row))
                channels = row.channels
            stages.append(blocks)
        super().__init__(
            config,
            stem=stem,
            stages=stages,
            final=ConvNormAct(style, channels, design.final_channels),
            num_features=design.hidden_features or design.final_channels,
        )
        if design.hidden_features:
            # V3 widens after pooling, where it costs next to nothing (its section 5.1).
            hidden = nn.Linear(design.final_channels, design.hidden_features)
            self.pool = nn.Sequential(
                OrderedDict(average=GlobalAveragePool(), hidden=hidden, act=nn.Hardswish())
            )


def _block(style: Style, in_channels: int, row: Block) -> InvertedResidual:
    gate = None
    if row.gated:
        reduced = multiple_of_8(row.hidden_channels // 4)
        gate = SqueezeExcite(style.rank, row.hidden_channels, reduced, nn.ReLU, F.hardsigmoid)
    return InvertedResidual(
        style,
        in_channels,
        row.hidden_channels,
        row.channels,
        kernel_size=row.kernel_size,
        stride=row.stride,
        gate=gate,
    )


VARIANTS: Final = {
    "mobilenet_v2": MobileNetConfig(design="v2"),
    "mobilenet_v3_small": MobileNetConfig(design="v3_small", norm_eps=1e-3),
    "mobilenet_v3_large": MobileNetConfig(design="v3_large", norm_eps=1e-3),
}

register("mobilenet", VARIANTS, MobileNet)
