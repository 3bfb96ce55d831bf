"""AlexNet: large filters first and ReLU throughout, in one, two or three dimensions.

Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012, in the form for one device of Krizhevsky, One weird trick for parallelizing convolutional
neural networks, 2014, arXiv:1404.5997: no groups, no response normalization. Initialization and
dropout are those of the first paper, sections 4.2 and 5.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from torch import nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.conv import convolution
from striate.nn.heads import HiddenLayers
from striate.nn.ranks import Conv, convolutions, layers

CHANNELS: Final = (64, 192, 384, 256, 256)

WITH_UNIT_BIAS: Final = ("stages.0.0", "stages.1.1", "stages.1.2")
"""Blocks whose biases start at 1, as those of the hidden layers, so that the ReLUs have positive
inputs at first: convolutions 2, 4 and 5."""


@dataclass(frozen=True, kw_only=True)
class AlexNetConfig(GridConfig):
    """AlexNet.

    Attributes:
        pooled_size: Side to which the last maps are resized; 6 is what 224 samples give.
        hidden_features: Outputs of the two fully connected layers before the classifier.
    """

    pooled_size: int = 6
    hidden_features: tuple[int, int] = (4096, 4096)
    dropout: float = 0.5


class AlexNetBlock(nn.Sequential):
    """A convolution and its activation: `pool`, `conv`, `act`.

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Size of the convolution's kernel.
        pool: Whether a pooling halves the maps before.
    """

    def __init__(
        self,
        config: AlexNetConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        pool: bool = False,
    ) -> None:
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if pool:
            parts["pool"] = layers(config.rank).max_pool(3, stride=2)
        parts["conv"] = convolution(config.rank, in_channels, out_channels, kernel_size, bias=True)
        parts["act"] = nn.ReLU()
        super().__init__(parts)


class AlexNet(GridNetwork):
    """AlexNet of any rank."""

    config: AlexNetConfig
    min_size = 63

    def __init__(self, config: AlexNetConfig) -> None:
        of_rank = layers(config.rank)
        c1, c2, c3, c4, c5 = CHANNELS
        first = of_rank.conv(config.in_channels, c1, 11, stride=4, padding=2)
        stem = nn.Sequential(OrderedDict(conv=first, act=nn.ReLU()))
        stages = [
            [AlexNetBlock(config, c1, c2, 5, pool=True)],
            [
                AlexNetBlock(config, c2, c3, pool=True),
                AlexNetBlock(config, c3, c4),
                AlexNetBlock(config, c4, c5),
            ],
        ]
        final = of_rank.max_pool(3, stride=2)
        num_features = config.hidden_features[-1]
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=num_features)
        self.pool = hidden = HiddenLayers(
            config.rank, c5, config.pooled_size, config.hidden_features, dropout=config.dropout
        )
        for name, block in self.blocks():
            for conv in convolutions(block):
                _init(conv, bias=float(name in WITH_UNIT_BIAS))
        for layer in (hidden.layer1, hidden.layer2):
            _init(layer, bias=1.0)


def _init(layer: Conv | nn.Linear, bias: float) -> None:
    """Draw normal weights with a standard deviation of 0.01; set a constant bias."""
    if not layer.weight.is_meta and layer.bias is not None:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(layer.bias, bias)


VARIANTS: Final = {"alexnet": AlexNetConfig()}

register("alexnet", VARIANTS, AlexNet)
