"""Parts that several families of networks share, in any rank."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.conv import PaddingStyle, convolution
from striate.nn.factorized import FactorizedConvolution
from striate.nn.ranks import Conv, layers

NORM_EPS: Final = 1e-6
"""Added to the variance in layer norm: the value of ConvNeXt and of ViT."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What every convolution of one network has in common.

    Attributes:
        rank: Number of spatial axes.
        padding: How convolutions pad.
        norm_eps: Number added to the variance in batch norm.
        activation: Makes the activation after a norm.
        factorized: Makes kernels over more than a point (2+1)-D; for rank 3 without groups.
    """

    rank: int
    padding: PaddingStyle = "symmetric"
    norm_eps: float = 1e-5
    activation: Callable[[], nn.Module] = nn.ReLU
    factorized: bool = False


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, activation: `conv`, `norm`, `act`.

    Args:
        style: What all convolutions of the network have in common.
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Size of the kernel along every axis; odd.
        stride: Step of the kernel along every axis.
        groups: Number of groups; as many as `in_channels` makes the convolution depthwise.
        activate: Whether the activation follows the norm.
        pool: A pooling after the activation, by the name of `pool`; None for none.
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
        pool: nn.Module | None = None,
    ) -> None:
        conv: nn.Module
        channels = in_channels, out_channels, kernel_size
        if style.factorized and kernel_size > 1:
            conv = FactorizedConvolution(
                *channels, stride=stride, norm_eps=style.norm_eps, activation=style.activation
            )
        else:
            conv = convolution(
                style.rank, *channels, stride=stride, groups=groups, padding=style.padding
            )
        norm = layers(style.rank).batch_norm(out_channels, eps=style.norm_eps)
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=norm)
        if activate:
            # Not in place: what a hook keeps of the norm's output must stay what it was.
            parts["act"] = style.activation()
        if pool is not None:
            parts["pool"] = pool
        super().__init__(parts)


class SqueezeExcite(nn.Module):
    """Channels scaled by gates computed from their means (Hu et al. 2018, arXiv:1709.01507).

    Args:
        rank: Number of spatial axes.
        channels: Number of channels of the input and the output.
        reduced_channels: Number of channels of the layer between.
        activation: Makes the activation of that layer.
        squash: Turns the last layer's outputs into gates between 0 and 1.
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
    """While training, whole items of a residual branch are dropped (Huang et al. 2016).

    What is kept is scaled up, so that the expectation stays (arXiv:1603.09382).

    Args:
        rate: Probability that an item's branch is dropped.
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
        """The rate, for the module's printed form."""
        return f"rate={self.rate}"


class Branches(nn.Module):
    """Modules side by side on one input, their maps one behind the other.

    Args:
        branches: Modules that give maps of equal size.
        pool: A pooling before the branches; None for none.
    """

    def __init__(self, *branches: nn.Module, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.pool = pool
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """Concatenate the branches' maps along the channels."""
        if self.pool is not None:
            x = self.pool(x)
        return torch.cat([branch(x) for branch in self.branches], 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place or token, channels first, in any rank.

    Args:
        channels: Number of channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Normalize; the output lies in memory with channels innermost."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GlobalResponseNorm(nn.Module):
    """Channels made to compete: each is scaled by its share of the energy over space.

    Woo et al., ConvNeXt V2, CVPR 2023, arXiv:2301.00808, section 3. It starts as the identity.

    Args:
        channels: Number of channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "n *space c"]) -> Float[Tensor, "n *space c"]:
        """Scale each channel; channels come last here."""
        energy = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + NORM_EPS)
        scaled: Tensor = self.weight * (x * share)
        return x + scaled + self.bias


def init_convolution(conv: Conv) -> None:
    """Draw normal weights with variance 2 / fan-out (He et al. 2015, arXiv:1502.01852); zero bias.

    The fan-out of a grouped convolution is that of one group: a depthwise filter's own taps.
    """
    if conv.weight.is_meta:  # nothing to fill, and drawing there makes torch load its compiler
        return
    fan_out = conv.weight[:, 0].numel() / conv.groups
    nn.init.normal_(conv.weight, std=(2 / fan_out) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_truncated_normal(layer: Conv | nn.Linear) -> None:
    """Draw weights from a normal of standard deviation 0.02, cut at two of them; zero bias."""
    if not layer.weight.is_meta:
        nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
