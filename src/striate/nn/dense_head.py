"""Fully connected layers between the last feature maps and the classifier, in any rank."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from striate.nn.ranks import Conv, layers


class HiddenLayers(nn.Sequential):
    """Maps resized by averaging, then two fully connected layers, as early networks end.

    The parts are `resize`, `layer1`, `act1`, `flatten`, `dropout`, `layer2`, `act2`. `layer1` is a
    convolution as large as its input, which is the same as flattening before a linear layer, but
    keeps the axes of the weights, so that they can be inflated to other ranks.

    Args:
        rank: number of spatial axes.
        in_channels: of the maps.
        size: side to which maps of any size are resized.
        features: given by the first and the second layer.
        activation: makes the activation after each layer.
        dropout: probability that a feature is dropped between the layers while training.
    """

    layer1: Conv
    layer2: nn.Linear

    def __init__(
        self,
        rank: int,
        in_channels: int,
        size: int,
        features: tuple[int, int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        first, second = features
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            resize=layers(rank).adaptive_avg_pool(size),
            layer1=layers(rank).conv(in_channels, first, size),
            act1=activation(),
            flatten=nn.Flatten(1),
            dropout=nn.Dropout(dropout),
            layer2=nn.Linear(first, second),
            act2=activation(),
        )
        super().__init__(parts)
