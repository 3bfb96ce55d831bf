"""What turns the last feature maps into logits, in any rank: pools, hidden layers, classifiers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.ranks import Conv, layers

AUXILIARY_WEIGHT: Final = 0.3
"""Factor on the loss of each auxiliary classifier (Szegedy et al. 2015, arXiv:1409.4842)."""


class AuxiliaryLogits(NamedTuple):
    """Logits of the classifier and of the auxiliary classifiers, each (n, classes)."""

    logits: Tensor
    auxiliary: tuple[Tensor, ...]


class GlobalAveragePool(nn.Module):
    """The mean of each channel over space."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c"]:
        """Average over space."""
        return x.flatten(2).mean(-1)


class GlobalMaxPool(nn.Module):
    """The maximum of each channel over space."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c"]:
        """Take the maximum over space."""
        return x.flatten(2).amax(-1)


class Head(nn.Module, ABC):
    """What makes logits of pooled features; its last layer is `linear`."""

    linear: nn.Linear

    @abstractmethod
    def reset(self, num_classes: int) -> None:
        """Start afresh with another number of classes."""


class ClassifierHead(Head):
    """Dropout and a linear layer: `dropout`, `linear`.

    The bias starts at zero, the weights are uniform within 1 / sqrt(num_features): the logits are
    then small, whatever the number of classes. (EfficientNet's own 1 / sqrt(num_classes) is the
    same at a thousand classes, and at three classes starts from a loss of ten.)

    Args:
        num_features: Number of pooled features.
        num_classes: Number of logits.
        dropout: Probability that a feature is dropped while training.
    """

    def __init__(self, num_features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = _uniform_linear(num_features, num_classes)

    def reset(self, num_classes: int) -> None:
        """Put a fresh linear layer in place, on the device of the old one."""
        old = self.linear
        fresh = _uniform_linear(old.in_features, num_classes)
        self.linear = fresh.to(old.weight.device, old.weight.dtype).train(self.training)

    def forward(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Logits of pooled features."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits


def _uniform_linear(num_features: int, num_classes: int) -> nn.Linear:
    linear = nn.Linear(num_features, num_classes)
    nn.init.uniform_(linear.weight, -(num_features**-0.5), num_features**-0.5)
    nn.init.zeros_(linear.bias)
    return linear


class HiddenLayers(nn.Sequential):
    """Maps resized by averaging, then two fully connected layers, as early networks end.

    The parts are `resize`, `layer1`, `act1`, `flatten`, `dropout`, `layer2`, `act2`. `layer1` is a
    convolution as large as its input, which is the same as flattening before a linear layer, but
    keeps the axes of the weights, so that they can be inflated to other ranks.

    Args:
        rank: Number of spatial axes.
        in_channels: Number of channels of the maps.
        size: Side to which maps of any size are resized.
        features: Outputs of the first and of the second layer.
        activation: Makes the activation after each layer.
        dropout: Probability that a feature is dropped between the layers while training.
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
