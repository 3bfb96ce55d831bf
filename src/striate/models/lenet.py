"""LeNet-5, the first convolutional network in wide use, in one, two or three dimensions.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
Proceedings of the IEEE 86(11), 1998, section II.B. `lenet5_original` is the paper's network up to
its hidden layer F6, with a linear classifier in place of distances to drawn digits; `lenet5` has
the same widths with ReLU, maximum pooling and full connections.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.heads import HiddenLayers
from striate.nn.ranks import convolutions, layers

CHANNELS: Final = (6, 16)
KERNEL_SIZE: Final = 5

CONNECTIONS: Final = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that each of C3's sixteen sees (the paper's table I)."""


@dataclass(frozen=True, kw_only=True)
class LeNetConfig(GridConfig):
    """One LeNet-5.

    Attributes:
        original: Whether it is the network of 1998: tanh, trainable averages, a table of connections.
        pooled_size: Side to which the last maps are resized; 5 is what 32 samples give.
        hidden_features: Outputs of C5 and F6.
    """

    input_size: int = 32
    original: bool = False
    pooled_size: int = 5
    hidden_features: tuple[int, int] = (120, 84)

    def activation(self) -> nn.Module:
        """A fresh activation."""
        return ScaledTanh() if self.original else nn.ReLU()


class ScaledTanh(nn.Module):
    """1.7159 tanh(2 x / 3), which maps 1 to 1 and -1 to -1 (the paper's appendix A)."""

    def forward(self, x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        """Squash."""
        return 1.7159 * torch.tanh(2 / 3 * x)


class Subsample(nn.Module):
    """Sums of 2 along each axis, times a coefficient and plus a bias of each map.

    Args:
        rank: Number of spatial axes.
        channels: Number of channels of the input and the output.
    """

    def __init__(self, rank: int, channels: int) -> None:
        super().__init__()
        self.average = layers(rank).avg_pool(2)
        self.num_summed = 2**rank
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        _init_uniform(self.weight, self.num_summed)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *halved"]:
        """Reduce to half the size."""
        shape = (-1,) + (1,) * (x.ndim - 2)
        sums = self.average(x) * self.num_summed
        y: Tensor = sums * self.weight.view(shape) + self.bias.view(shape)
        return y


class ConnectedConv(nn.Module):
    """A convolution each of whose outputs sees some of the inputs, by a table.

    Outputs that see equally many are the groups of one convolution, so that no weight is there in
    vain.

    Args:
        rank: Number of spatial axes.
        connections: Inputs of each output, ordered by their number.
    """

    def __init__(self, rank: int, connections: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        by_count: dict[int, list[int]] = {}
        for inputs in connections:
            by_count.setdefault(len(inputs), []).extend(inputs)
        self.inputs = tuple(by_count.values())
        self.convs = nn.ModuleList(
            layers(rank).conv(len(ins), len(ins) // count, KERNEL_SIZE, groups=len(ins) // count)
            for count, ins in by_count.items()
        )

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """Convolve each output's inputs."""
        pairs = zip(self.inputs, self.convs, strict=True)
        maps = x.unbind(1)
        return torch.cat([conv(torch.stack([maps[i] for i in ins], 1)) for ins, conv in pairs], 1)


class LeNet(GridNetwork):
    """LeNet-5 of any rank."""

    config: LeNetConfig
    min_size = 16

    def __init__(self, config: LeNetConfig) -> None:
        of_rank = layers(config.rank)
        c1, c3 = CHANNELS
        conv: nn.Module = (
            ConnectedConv(config.rank, CONNECTIONS)
            if config.original
            else of_rank.conv(c1, c3, KERNEL_SIZE)
        )
        first = of_rank.conv(config.in_channels, c1, KERNEL_SIZE)
        stem = nn.Sequential(OrderedDict(conv=first, act=config.activation()))
        block = nn.Sequential(
            OrderedDict([*_pool(config, c1), ("conv", conv), ("act", config.activation())])
        )
        final = nn.Sequential(OrderedDict(_pool(config, c3)))
        features = config.hidden_features[-1]
        super().__init__(config, stem=stem, stages=[[block]], final=final, num_features=features)
        self.pool = hidden = HiddenLayers(
            config.rank, c3, config.pooled_size, config.hidden_features, config.activation
        )
        if config.original:
            for layer in (*convolutions(self), hidden.layer2):
                _init_uniform(layer.weight, layer.weight[0].numel())
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def fit_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Coefficients of sums over another number of axes made to fit.

        Twice as many values are summed with each axis, so that the coefficient is halved.
        """
        ratio = 2.0 ** (state["stem.conv.weight"].ndim - 2 - self.config.rank)
        sums = {
            f"{name}.weight" for name, part in self.named_modules() if isinstance(part, Subsample)
        }
        return {key: w * ratio if key in sums else w for key, w in state.items()}


def _pool(config: LeNetConfig, channels: int) -> list[tuple[str, nn.Module]]:
    """What halves the maps, by name."""
    if not config.original:
        return [("pool", layers(config.rank).max_pool(2))]
    return [("pool", Subsample(config.rank, channels)), ("squash", config.activation())]


def _init_uniform(weight: Tensor, fan_in: int) -> None:
    """Draw weights within 2.4 / fan-in (the paper's appendix A)."""
    nn.init.uniform_(weight, -2.4 / fan_in, 2.4 / fan_in)


VARIANTS: Final = {"lenet5": LeNetConfig(), "lenet5_original": LeNetConfig(original=True)}

register("lenet", VARIANTS, LeNet)
