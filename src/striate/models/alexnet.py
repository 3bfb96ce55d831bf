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
from striate.models.network import Network, NetworkConfig
from striate.nn.conv import convolution
from striate.nn.dense_head import HiddenLayers
from striate.nn.ranks import CONV_TYPES, layers

CHANNELS: Final = (64, 192, 384, 256, 256)

WITH_UNIT_BIAS: Final = ("stages.0.0", "stages.1.1", "stages.1.2", "pool")
"""Where biases start at 1, so that the ReLUs have positive inputs at first: convolutions 2, 4 and 5
and the hidden layers."""


@dataclass(frozen=True, kw_only=True)
class AlexNetConfig(NetworkConfig):
    """AlexNet.

    Attributes:
        pooled_size: side to which the last maps are resized; 6 is what 224 samples give.
        hidden_features: of the two fully connected layers before the classifier.
    """

    pooled_size: int = 6
    hidden_features: tuple[int, int] = (4096, 4096)
    dropout: float = 0.5


class AlexNetBlock(nn.Sequential):
    """A convolution and its activation: `pool`, `conv`, `act`.

    Args:
        config: the network's.
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: of the convolution.
        pool: halve the maps before.
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


class AlexNet(Network):
    """AlexNet of any rank."""

    config: AlexNetConfig
    least_size = 63

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
        self.pool = HiddenLayers(
            config.rank, c5, config.pooled_size, config.hidden_features, dropout=config.dropout
        )
        for name, module in self.named_modules():
            if isinstance(module, CONV_TYPES) or module is self.pool.layer2:
                _init(module, bias=float(name.startswith(WITH_UNIT_BIAS)))


def _init(layer: nn.Module, bias: float) -> None:
    """Normal weights with a deviation of 0.01; a constant bias."""
    assert isinstance(layer, (*CONV_TYPES, nn.Linear)) and layer.bias is not None
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(layer.bias, bias)


VARIANTS: Final = {"alexnet": AlexNetConfig()}

register("alexnet", VARIANTS, AlexNet)
