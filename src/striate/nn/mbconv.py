"""Inverted residuals: wide inside, narrow between, as in MobileNet and EfficientNet; any rank."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.blocks import ConvNormAct, StochasticDepth, Style


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, gate, project (Sandler et al. 2018, arXiv:1801.04381).

    Args:
        style: the network's.
        in_channels: of the input.
        hidden_channels: between; as many as `in_channels` leaves the expansion out.
        out_channels: of the output.
        kernel_size: of the depthwise convolution.
        stride: of the depthwise convolution.
        gate: what follows the depthwise convolution; None for nothing.
        drop_rate: of stochastic depth.
    """

    def __init__(
        self,
        style: Style,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        gate: nn.Module | None = None,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if hidden_channels != in_channels:
            parts["expand"] = ConvNormAct(style, in_channels, hidden_channels)
        parts["depthwise"] = ConvNormAct(
            style,
            hidden_channels,
            hidden_channels,
            kernel_size,
            stride=stride,
            groups=hidden_channels,
        )
        if gate is not None:
            parts["gate"] = gate
        parts["project"] = ConvNormAct(style, hidden_channels, out_channels, activate=False)
        self.branch = nn.Sequential(parts)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(drop_rate if self.residual else 0.0)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """The projected features, added to the input where the shapes are the same."""
        y: Tensor = self.drop(self.branch(x))
        return x + y if self.residual else y


class FusedInvertedResidual(nn.Module):
    """The same with expansion and depthwise convolution in one, faster where channels are few.

    Tan and Le, EfficientNetV2, ICML 2021, arXiv:2104.00298, section 3.1.

    Args:
        style: the network's.
        in_channels: of the input.
        hidden_channels: between; as many as `in_channels` leaves the projection out.
        out_channels: of the output.
        kernel_size: of the first convolution.
        stride: of the first convolution.
        drop_rate: of stochastic depth.
    """

    def __init__(
        self,
        style: Style,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        projects = hidden_channels != in_channels
        first = hidden_channels if projects else out_channels
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            expand=ConvNormAct(style, in_channels, first, kernel_size, stride=stride)
        )
        if projects:
            parts["project"] = ConvNormAct(style, first, out_channels, activate=False)
        self.branch = nn.Sequential(parts)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(drop_rate if self.residual else 0.0)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """The projected features, added to the input where the shapes are the same."""
        y: Tensor = self.drop(self.branch(x))
        return x + y if self.residual else y
