"""Parts that several families of networks share, in any rank."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.conv import PaddingStyle, convolution
from striate.nn.factorized import FactorizedConvolution
from striate.nn.ranks import layers


@dataclass(frozen=True, kw_only=True)
class Style:
    """What every convolution of one network has in common.

    Attributes:
        rank: number of spatial axes.
        padding: how convolutions pad.
        norm_eps: added to the variance in batch norm.
        activation: makes the activation after a norm.
        factorized: kernels over more than a point are (2+1)-D; rank 3 without groups only.
    """

    rank: int
    padding: PaddingStyle = "symmetric"
    norm_eps: float = 1e-5
    activation: Callable[[], nn.Module] = nn.ReLU
    factorized: bool = False


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, activation: `conv`, `norm`, `act`.

    Args:
        style: the network's.
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: along every axis; odd.
        stride: along every axis.
        groups: as many as `in_channels` makes the convolution depthwise.
        activate: end with the activation.
    """

    def __init__(
        self,
        style: Style,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        conv: nn.Module
        if style.factorized and kernel_size > 1:
            conv = FactorizedConvolution(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                norm_eps=style.norm_eps,
                activation=style.activation,
            )
        else:
            conv = convolution(
                style.rank,
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                groups=groups,
                padding=style.padding,
            )
        norm = layers(style.rank).batch_norm(out_channels, eps=style.norm_eps)
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=norm)
        if activate:
            # Not in place: what a hook keeps of the norm's output must stay what it was.
            parts["act"] = style.activation()
        super().__init__(parts)


class SqueezeExcite(nn.Module):
    """Channels scaled by gates computed from their means (Hu et al. 2018, arXiv:1709.01507).

    Args:
        rank: number of spatial axes.
        channels: of the input and output.
        reduced_channels: of the layer between.
        activation: makes the activation of that layer.
        squash: from the last layer to gates between 0 and 1.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        reduced_channels: int,
        activation: Callable[[], nn.Module],
        squash: Callable[[Tensor], Tensor] = torch.sigmoid,
    ) -> None:
        super().__init__()
        self.squash = squash
        self.reduce = convolution(rank, channels, reduced_channels, 1, bias=True)
        self.act = activation()
        self.expand = convolution(rank, reduced_channels, channels, 1, bias=True)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Scale each channel by its gate."""
        means = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        gates = self.squash(self.expand(self.act(self.reduce(means))))
        return x * gates


class StochasticDepth(nn.Module):
    """While training, drop whole items of a residual branch (Huang et al. 2016, arXiv:1603.09382).

    What is kept is scaled up, so that the expectation stays.

    Args:
        rate: probability that an item's branch is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Zero the items drawn; the identity outside training."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.empty((len(x),) + (1,) * (x.ndim - 1), device=x.device, dtype=x.dtype)
        return x * mask.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        """The rate, in the module's printed form."""
        return f"rate={self.rate}"


class GlobalAveragePool(nn.Module):
    """The mean of each channel over space."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c"]:
        """Average."""
        return x.flatten(2).mean(-1)


class ClassifierHead(nn.Sequential):
    """Dropout and a linear layer: `dropout`, `linear`.

    The bias starts at zero, the weights uniform within 1 / sqrt(num_features): the logits are then
    small, whatever the number of classes. (EfficientNet's own 1 / sqrt(num_classes) is the same at
    a thousand classes, and at three starts from a loss of ten.)

    Args:
        num_features: of the pooled input.
        num_classes: logits given.
        dropout: probability that a feature is dropped while training.
    """

    dropout: nn.Dropout
    linear: nn.Linear

    def __init__(self, num_features: int, num_classes: int, dropout: float = 0.0) -> None:
        linear = nn.Linear(num_features, num_classes)
        nn.init.uniform_(linear.weight, -(num_features**-0.5), num_features**-0.5)
        nn.init.zeros_(linear.bias)
        super().__init__(OrderedDict(dropout=nn.Dropout(dropout), linear=linear))


def init_convolution(conv: nn.Module) -> None:
    """Normal weights with variance 2 / fan-out (He et al. 2015, arXiv:1502.01852); zero bias.

    The fan-out of a grouped convolution is that of one group: a depthwise filter's own taps.
    """
    weight = conv.weight
    assert isinstance(weight, Tensor) and isinstance(conv.groups, int)
    if weight.is_meta:  # nothing to fill, and drawing there makes torch load its compiler
        return
    fan_out = weight[:, 0].numel() / conv.groups
    nn.init.normal_(weight, std=(2 / fan_out) ** 0.5)
    if isinstance(conv.bias, Tensor):
        nn.init.zeros_(conv.bias)


def init_truncated_normal(module: nn.Module) -> None:
    """Weights from a normal of deviation 0.02, cut at two; zero biases.

    For convolutions and linear layers; on the meta device nothing is drawn.
    """
    weight, bias = module.weight, module.bias
    assert isinstance(weight, Tensor)
    if weight.is_meta:
        return
    nn.init.trunc_normal_(weight, std=0.02, a=-0.04, b=0.04)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
