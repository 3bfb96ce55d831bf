"""Inverted residuals: wide inside, narrow between, as in MobileNet and EfficientNet; any rank."""

from __future__ import annotations

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.blocks import ConvNormAct, StochasticDepth, Style


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that loses no more than a tenth.

    >>> multiple_of_8(32 * 1.1), multiple_of_8(16 * 1.4)
    (32, 24)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, gate, project (Sandler et al. 2018, arXiv:1801.04381).

    Fused blocks have expansion and depthwise convolution in one, which is faster where channels
    are few (Tan and Le, EfficientNetV2, ICML 2021, arXiv:2104.00298, section 3.1).

    Args:
        style: What all convolutions of the network have in common.
        in_channels: Number of channels of the input.
        hidden_channels: Number of channels between; as many as `in_channels` leaves the expansion
            out (of a fused block the projection).
        out_channels: Number of channels of the output.
        kernel_size: Size of the depthwise (or fused) convolution's kernel.
        stride: Step of that kernel.
        gate: A module after the depthwise convolution; None for none.
        drop_rate: Rate of stochastic depth.
        fused: Whether expansion and depthwise convolution are one.
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
        fused: bool = False,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        widens = hidden_channels != in_channels
        if fused:
            first = hidden_channels if widens else out_channels
            parts["expand"] = ConvNormAct(style, in_channels, first, kernel_size, stride=stride)
        else:
            if widens:
                parts["expand"] = ConvNormAct(style, in_channels, hidden_channels)
            channels = hidden_channels, hidden_channels, kernel_size
            parts["depthwise"] = ConvNormAct(
                style, *channels, stride=stride, groups=hidden_channels
            )
        if gate is not None:
            parts["gate"] = gate
        if widens or not fused:
            parts["project"] = ConvNormAct(style, hidden_channels, out_channels, activate=False)
        self.branch = nn.Sequential(parts)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(drop_rate if self.residual else 0.0)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *reduced"]:
        """The projected features, added to the input where the shapes are the same."""
        y: Tensor = self.drop(self.branch(x))
        return x + y if self.residual else y
