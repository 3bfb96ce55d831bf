"""Inception-v3: large kernels factorized into lines, in one, two or three dimensions.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016,
arXiv:1512.00567, table 1, figures 5 to 7 and 10; widths as in the published weights. The paper gives
no initialization. Inputs are scaled to -1..1; torchvision's `transform_input` turns inputs with
ImageNet's mean and standard deviation into such, so that its weights need no option here.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import Branches
from striate.nn.heads import ClassifierHead, GlobalAveragePool
from striate.nn.ranks import layers
from striate.weights.preprocessing import INCEPTION, Preprocessing

LEAST_FOR_AUXILIARY: Final = 17
"""Side of the maps that the paper's auxiliary pooling and convolution need."""


@dataclass(frozen=True, kw_only=True)
class InceptionConfig(GridConfig):
    """Inception-v3.

    Attributes:
        norm_eps: Number added to the variance in batch norm.
    """

    input_size: int = 299
    dropout: float = 0.2
    norm_eps: float = 1e-3


class PaddedAverage(nn.Module):
    """Average of 3 around each place, with zeros beyond the borders.

    torch's own padding does the same, but in three dimensions refuses maps smaller than the kernel.

    Args:
        rank: Number of spatial axes.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.average = layers(rank).avg_pool(3, stride=1)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Average."""
        y: Tensor = self.average(F.pad(x, [1, 1] * (x.ndim - 2)))
        return y


class AuxiliaryPool(nn.Module):
    """The paper's average of 5 with stride 3; maps too small for it are resized to 5.

    Args:
        rank: Number of spatial axes.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.average = layers(rank).avg_pool(5, stride=3)
        self.resize = layers(rank).adaptive_avg_pool(5)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *reduced"]:
        """Pool to a side of at least 5."""
        large = min(x.shape[2:]) >= LEAST_FOR_AUXILIARY
        pooled: Tensor = self.average(x) if large else self.resize(x)
        return pooled


class Parts:
    """Makes the convolutions and blocks of one network.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: InceptionConfig) -> None:
        self.config = config
        self.of_rank = layers(config.rank)

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padded: bool = True,
    ) -> nn.Sequential:
        """Convolution, batch norm, activation: `conv`, `norm`, `act`.

        Args:
            in_channels: Number of channels of the input.
            out_channels: Number of channels of the output.
            kernel: Size along every axis, or along all but the last and along the last. So a
                line across (1, 7) stays one in a series and a volume, and its counterpart (7, 1)
                sees what the line does not; weights of images fit.
            stride: Step of the kernel along every axis.
            padded: Whether half the kernel is padded at both ends, or nothing.
        """
        others, last = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        size = (*[others] * (self.config.rank - 1), last)
        padding = tuple(side // 2 if padded else 0 for side in size)
        make: Any = self.of_rank.conv  # whose types want tuples of a length known beforehand
        conv = make(in_channels, out_channels, size, stride=stride, padding=padding, bias=False)
        norm = self.of_rank.batch_norm(out_channels, eps=self.config.norm_eps)
        return nn.Sequential(OrderedDict(conv=conv, norm=norm, act=nn.ReLU()))

    def branch(
        self, in_channels: int, *convs: tuple[int, int | tuple[int, int]], halves: bool = False
    ) -> nn.Sequential:
        """Convolutions one after the other, of which the last may halve the maps.

        Args:
            in_channels: Number of channels of the input.
            convs: Output channels and kernel of each, as `conv` takes them.
            halves: Whether the last has stride 2 and no padding.
        """
        made = []
        for index, (channels, kernel) in enumerate(convs, start=1):
            step = 1 + (halves and index == len(convs))
            made.append(self.conv(in_channels, channels, kernel, stride=step, padded=step == 1))
            in_channels = channels
        return made[0] if len(made) == 1 else nn.Sequential(*made)

    def halve(self) -> nn.Module:
        """Maximum of 3 with stride 2, without padding."""
        return self.of_rank.max_pool(3, stride=2)

    def pooled(self, in_channels: int, out_channels: int) -> nn.Sequential:
        """Average of 3, then a 1x1 convolution."""
        return nn.Sequential(PaddedAverage(self.config.rank), self.conv(in_channels, out_channels))

    def fine(self, in_channels: int, pool_channels: int) -> Branches:
        """A block on the finest maps (figure 5; one 5x5 is left whole)."""
        return Branches(
            self.branch(in_channels, (64, 1)),
            self.branch(in_channels, (48, 1), (64, 5)),
            self.branch(in_channels, (64, 1), (96, 3), (96, 3)),
            self.pooled(in_channels, pool_channels),
        )

    def reduce_fine(self, in_channels: int) -> Branches:
        """Half the size after the finest maps (figure 10)."""
        return Branches(
            self.branch(in_channels, (384, 3), halves=True),
            self.branch(in_channels, (64, 1), (96, 3), (96, 3), halves=True),
            self.halve(),
        )

    def lines(self, in_channels: int, width: int) -> Branches:
        """A block with kernels of 7 factorized into lines (figure 6)."""
        across, along = (width, (1, 7)), (width, (7, 1))
        return Branches(
            self.branch(in_channels, (192, 1)),
            self.branch(in_channels, (width, 1), across, (192, (7, 1))),
            self.branch(in_channels, (width, 1), along, across, along, (192, (1, 7))),
            self.pooled(in_channels, 192),
        )

    def reduce_lines(self, in_channels: int) -> Branches:
        """Half the size after the blocks of lines."""
        lines = (192, (1, 7)), (192, (7, 1))
        return Branches(
            self.branch(in_channels, (192, 1), (320, 3), halves=True),
            self.branch(in_channels, (192, 1), *lines, (192, 3), halves=True),
            self.halve(),
        )

    def wide(self, in_channels: int) -> Branches:
        """A block on the coarsest maps, with lines side by side (figure 7)."""

        def pair() -> Branches:
            return Branches(self.conv(384, 384, (1, 3)), self.conv(384, 384, (3, 1)))

        return Branches(
            self.conv(in_channels, 320),
            nn.Sequential(self.conv(in_channels, 384), pair()),
            nn.Sequential(self.conv(in_channels, 448), self.conv(448, 384, 3), pair()),
            self.pooled(in_channels, 192),
        )

    def auxiliary(self, in_channels: int) -> nn.Sequential:
        """The classifier on the way: `pool`, `project`, `conv`, `average`, `head`."""
        return nn.Sequential(
            OrderedDict(
                pool=AuxiliaryPool(self.config.rank),
                project=self.conv(in_channels, 128),
                conv=self.conv(128, 768, 5, padded=False),
                average=GlobalAveragePool(),
                head=ClassifierHead(768, self.config.num_classes),
            )
        )


class Inception(GridNetwork):
    """Inception-v3 of any rank."""

    config: InceptionConfig
    min_size = 75
    usual_preprocessing: ClassVar[Preprocessing] = INCEPTION

    def __init__(self, config: InceptionConfig) -> None:
        parts = Parts(config)
        conv = parts.conv
        stages: list[list[nn.Module]] = [
            [conv(32, 32, 3, padded=False), conv(32, 64, 3)],
            [nn.Sequential(parts.halve(), conv(64, 80)), conv(80, 192, 3, padded=False)],
            [
                nn.Sequential(parts.halve(), parts.fine(192, 32)),
                *(parts.fine(c, 64) for c in (256, 288)),
            ],
            [parts.reduce_fine(288), *(parts.lines(768, width) for width in (128, 160, 160, 192))],
            [parts.reduce_lines(768), parts.wide(1280), parts.wide(2048)],
        ]
        super().__init__(
            config,
            stem=conv(config.in_channels, 32, 3, stride=2, padded=False),
            stages=stages,
            num_features=2048,
            auxiliary={"stages.3.4": parts.auxiliary(768)},
        )


VARIANTS: Final = {"inception_v3": InceptionConfig()}

register("inception", VARIANTS, Inception)
