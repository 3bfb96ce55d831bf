"""Convolution of any rank, with padding by name: torch's layers, made to pad as TensorFlow does.

Every convolution of Striate's networks is made here, so that a faster operator for one kind of
convolution is switched on in one place. Each is an instance of torch's own layer of its rank.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.geometry import causal_padding, same_padding, symmetric_padding
from striate.nn.ranks import Conv, layers
from striate.ops import depthwise

PaddingStyle: TypeAlias = Literal["symmetric", "same", "causal"]
"""`symmetric`: half the kernel at both ends. `same`: TensorFlow's rule, ceil(size / stride) outputs
and the greater half of an odd total at the end; they differ where the stride is more than one or
the kernel even. `causal`: all at the beginning, so that no output sees what comes after it."""

PADDING_STYLES: Final = ("symmetric", "same", "causal")


class _DynamicPadding(nn.Module):
    """Mixed in before torch's layer: pads by the size of the input, then convolves."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def padding_for(self, space: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding (low, high) of each axis of an input with these sizes."""
        axes = zip(space, self.kernel_size, self.stride, self.dilation, strict=True)
        return tuple(same_padding(*axis) for axis in axes)

    def forward(self, x: Tensor) -> Any:
        """Convolve."""
        # F.pad wants the last axis first.
        pads = [end for axis in reversed(self.padding_for(tuple(x.shape[2:]))) for end in axis]
        return super().forward(F.pad(x, pads))


class _CausalPadding(_DynamicPadding):
    """Mixed in before torch's layer: pads before the first place alone."""

    def padding_for(self, space: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding (low, high) of each axis, whatever its size."""
        axes = zip(self.kernel_size, self.dilation, strict=True)
        return tuple(causal_padding(*axis) for axis in axes)


class _EachEndPadding(_DynamicPadding):
    """Mixed in before torch's layer: pads both ends of each axis by numbers of their own."""

    ends: tuple[tuple[int, int], ...]

    def padding_for(self, space: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Padding (low, high) of each axis, whatever its size."""
        return self.ends


class _FastDepthwise(nn.Module):
    """Mixed in before torch's layer: one filter a channel, by the fastest kernels there are."""

    weight: Tensor
    bias: Tensor | None
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    pads_by_size: bool

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        padding = "same" if self.pads_by_size else self.padding
        return depthwise(x, self.weight, self.bias, self.stride, padding, self.dilation)


def _mixed(mixin: type[nn.Module], rank: int, **attributes: bool) -> type[Any]:
    """Torch's layer of that rank with a forward of ours; checkpoints and hooks see no difference."""
    base = layers(rank).conv
    return type(base.__name__, (mixin, base), {"__doc__": base.__doc__, **attributes})


_SAME: Final = {rank: _mixed(_DynamicPadding, rank) for rank in (1, 2, 3)}
_CAUSAL: Final = {rank: _mixed(_CausalPadding, rank) for rank in (1, 2, 3)}
_EACH_END: Final = {rank: _mixed(_EachEndPadding, rank) for rank in (1, 2, 3)}
_DEPTHWISE: Final = {
    by_size: {rank: _mixed(_FastDepthwise, rank, pads_by_size=by_size) for rank in (1, 2, 3)}
    for by_size in (False, True)
}


def convolution(
    rank: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    padding: PaddingStyle = "symmetric",
) -> Conv:
    """A convolution of that rank, the same along every axis.

    Raises:
        ArgumentError: The rank or the padding style is unknown, or an even kernel is to be padded
            symmetrically.
    """
    if padding not in PADDING_STYLES:
        raise ArgumentError(f"padding={padding!r}", fix=f"choose {' or '.join(PADDING_STYLES)}")
    # With a stride of one an odd kernel needs the same at both ends, whatever the size.
    by_size = padding == "same" and (stride > 1 or kernel_size % 2 == 0)
    causal = padding == "causal"
    if causal:
        conv = _CAUSAL[rank]
    elif groups == in_channels == out_channels and groups > 1:
        conv = _DEPTHWISE[by_size][rank]
    else:
        conv = _SAME[rank] if by_size else layers(rank).conv
    made: Conv = conv(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=0 if by_size or causal else symmetric_padding(kernel_size, dilation),
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    return made


def unset_convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    padding: tuple[tuple[int, int], ...],
) -> Conv:
    """A convolution of any window, on the meta device: whoever makes it sets weight and bias.

    Args:
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Taps along each axis, which tell the rank.
        stride: Positions from one output to the next along each axis.
        dilation: Positions from one tap to the next along each axis.
        groups: Groups of channels that do not mix.
        padding: Positions of zeros (low, high) around each axis.

    Raises:
        ArgumentError: There are not 1, 2 or 3 axes.
    """
    rank = len(kernel_size)
    even = all(low == high for low, high in padding)
    layer: type[Any] = layers(rank).conv if even else _EACH_END[rank]
    made: Conv = layer(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=tuple(low for low, _ in padding) if even else 0,
        dilation=dilation,
        groups=groups,
        device="meta",
    )
    if isinstance(made, _EachEndPadding):
        made.ends = padding
    return made


def has_own_kernels(conv: Conv) -> bool:
    """Whether a convolution goes through `striate.ops.depthwise`, and not torch's own."""
    return isinstance(conv, _FastDepthwise)


def padding_of(conv: Conv, space: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Positions of padding (low, high) that a convolution puts around an input of these sizes.

    >>> padding_of(convolution(2, 3, 8, 3, stride=2, padding="same"), (224, 225))
    ((0, 1), (1, 1))
    """
    if isinstance(conv, _DynamicPadding):
        return conv.padding_for(space)
    by_size = isinstance(conv, _FastDepthwise) and conv.pads_by_size
    if by_size or conv.padding == "same":
        axes = zip(space, conv.kernel_size, conv.stride, conv.dilation, strict=True)
        return tuple(same_padding(*axis) for axis in axes)
    if isinstance(conv.padding, str):  # "valid"
        return ((0, 0),) * len(space)
    return tuple((width, width) for width in conv.padding)


def patch_convolution(rank: int, in_channels: int, out_channels: int, size: int) -> Conv:
    """A convolution with a bias whose windows tile the input; what is left at the end is not seen.

    Raises:
        ArgumentError: The rank is unknown.
    """
    return layers(rank).conv(in_channels, out_channels, size, stride=size)
