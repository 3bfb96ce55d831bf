"""Convolution and transposed convolution of any rank, with padding of any kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError
from striate.geometry import Padding, check_groups, per_axis, plan_windows
from striate.ops.windows import pad


def convolve(
    x: Float[Tensor, "n in_channels *space"],
    weight: Float[Tensor, "out_channels group_channels *taps"],
    bias: Float[Tensor, " out_channels"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Tensor, "n out_channels *out_space"]:
    """Slide the filters of `weight` over `x` (cross-correlation, as in every network).

    Args:
        x: the input.
        weight: the filters; group_channels is in_channels / groups.
        bias: added to each output channel.
        stride: step of the window.
        padding: see `striate.geometry.plan_windows`; padded positions hold 0.
        dilation: distance between taps.
        groups: parts of the channels that do not mix.

    Raises:
        ArgumentError: the arguments do not fit each other or the input is too small.
    """
    rank = _check_ranks(x, weight)
    check_groups(x.shape[1], weight.shape[0], groups)
    if weight.shape[1] * groups != x.shape[1]:
        raise ArgumentError(
            f"weight of shape {tuple(weight.shape)}",
            why=f"its filters have {weight.shape[1]} channels and each of the {groups} groups "
            f"of the input has {x.shape[1] // groups}",
        )
    plan = plan_windows(
        x.shape[2:], weight.shape[2:], stride=stride, padding=padding, dilation=dilation
    )
    for size, window in zip(x.shape[2:], plan, strict=True):
        window.output_size(size)
    strides, dilations = [w.stride for w in plan], [w.dilation for w in plan]
    if all(w.low == w.high for w in plan):
        widths = [w.low for w in plan]
        return torch.convolution(
            x, weight, bias, strides, widths, dilations, False, [0] * rank, groups
        )
    return torch.convolution(
        pad(x, plan), weight, bias, strides, [0] * rank, dilations, False, [0] * rank, groups
    )


def convolve_transposed(
    x: Float[Tensor, "n in_channels *space"],
    weight: Float[Tensor, "in_channels group_channels *taps"],
    bias: Float[Tensor, " out_channels"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    output_padding: int | Sequence[int] = 0,
) -> Float[Tensor, "n out_channels *out_space"]:
    """The map whose matrix is the transpose of a convolution's: it enlarges where that shrinks.

    Args:
        x: the input.
        weight: the filters; group_channels is out_channels / groups.
        bias: added to each output channel.
        stride: output positions from one input position's filter to the next one's.
        padding: output positions taken off at both ends of each axis, or (low, high).
        dilation: distance between taps.
        groups: parts of the channels that do not mix.
        output_padding: output positions added at the end of each axis.

    Raises:
        ArgumentError: the arguments do not fit each other, or no output is left.
    """
    rank = _check_ranks(x, weight)
    if weight.shape[0] != x.shape[1]:
        raise ArgumentError(
            f"weight of shape {tuple(weight.shape)}",
            why=f"it takes {weight.shape[0]} channels and the input has {x.shape[1]}",
        )
    check_groups(x.shape[1], weight.shape[1] * groups, groups)
    space = x.shape[2:]
    plan = plan_windows(space, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    extra = per_axis("output_padding", output_padding, rank)
    sizes = [w.transposed_output_size(n, e) for w, n, e in zip(plan, space, extra, strict=True)]
    strides, dilations = [w.stride for w in plan], [w.dilation for w in plan]
    y = torch.convolution(
        x, weight, bias, strides, [0] * rank, dilations, True, list(extra), groups
    )
    inner = [slice(w.low, w.low + n) for w, n in zip(plan, sizes, strict=True)]
    return y[(slice(None), slice(None), *inner)]


def _check_ranks(x: Tensor, weight: Tensor) -> int:
    if x.ndim != weight.ndim:
        raise ArgumentError(
            f"weight of {weight.ndim} axes for an input of {x.ndim}",
            why="both have two axes before the spatial ones",
        )
    return x.ndim - 2
