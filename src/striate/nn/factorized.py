"""(2+1)-D convolution: within the slices, then across them.

Tran, Wang, Torresani, Ray, LeCun and Paluri, A Closer Look at Spatiotemporal Convolutions for Action
Recognition, CVPR 2018, arXiv:1711.11248, section 3.5. A norm and an activation lie between the two.

Axes: (n, c, depth, height, width); depth is time in a clip.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

from striate.errors import ArgumentError
from striate.nn.ranks import layers


def inner_channels(in_channels: int, out_channels: int, kernel_size: int) -> int:
    """Number of channels between the two convolutions that keeps the parameters of a full one.

    It is the paper's M = floor(t d^2 N' N / (d^2 N' + t N)) with t = d = `kernel_size`.

    >>> inner_channels(64, 64, 3)
    144
    """
    slice_taps = kernel_size**2
    full = kernel_size * slice_taps * in_channels * out_channels
    return full // (slice_taps * in_channels + kernel_size * out_channels)


class FactorizedConvolution(nn.Sequential):
    """1 x k x k, batch norm, activation, k x 1 x 1: `slices`, `norm`, `act`, `across`.

    Args:
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Size of the kernel along every axis; odd.
        stride: Step of the kernel along every axis.
        norm_eps: Number added to the variance in batch norm.
        activation: Makes the activation between.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        norm_eps: float = 1e-5,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        conv: Any = layers(3).conv  # to the checker a layer of any rank, with sizes of one length
        inner, half = inner_channels(in_channels, out_channels, kernel_size), kernel_size // 2
        size = (1, kernel_size, kernel_size)
        strides, padding = (1, stride, stride), (0, half, half)
        slices = conv(in_channels, inner, size, stride=strides, padding=padding, bias=False)
        size, strides, padding = (kernel_size, 1, 1), (stride, 1, 1), (half, 0, 0)
        across = conv(inner, out_channels, size, stride=strides, padding=padding, bias=False)
        norm = layers(3).batch_norm(inner, eps=norm_eps)
        parts: OrderedDict[str, nn.Module] = OrderedDict(slices=slices, norm=norm)
        super().__init__(parts | OrderedDict(act=activation(), across=across))


def check_factorized(rank: int, groups: int) -> None:
    """Refuse what (2+1)-D convolutions are not defined for.

    Raises:
        ArgumentError: The rank is not 3, or there are groups.
    """
    if rank != 3:
        raise ArgumentError(
            f"factorized=True with rank={rank}", why="slices and what lies across need three axes"
        )
    if groups != 1:
        raise ArgumentError(
            f"factorized=True with groups={groups}", why="the paper's layout has none"
        )
