"""Convolution and transposed convolution of any rank, and windows with padding of any kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from striate.errors import ArgumentError
from striate.geometry import Padding, Window, check_groups, per_axis, plan_windows


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
        x: The input.
        weight: The filters; group_channels is in_channels / groups.
        bias: A number that is added to each output channel.
        stride: Positions from one output to the next, for all axes or for each.
        padding: See `striate.geometry.plan_windows`. Padded positions hold 0.
        dilation: Distance between taps, for all axes or for each.
        groups: Number of parts that the channels are split into; they do not mix.

    Raises:
        ArgumentError: The arguments do not fit each other, or the input is too small.
    """
    _check_ranks(x, weight)
    check_groups(x.shape[1], weight.shape[0], groups)
    if weight.shape[1] * groups != x.shape[1]:
        raise ArgumentError(
            f"weight of shape {tuple(weight.shape)}",
            why=f"its filters have {weight.shape[1]} channels and each of the {groups} groups "
            f"of the input has {x.shape[1] // groups}",
        )
    space = x.shape[2:]
    plan = plan_windows(space, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    for size, window in zip(space, plan, strict=True):
        window.output_size(size)
    widths, none = [w.low for w in plan], [0] * len(plan)
    if any(w.low != w.high for w in plan):
        x, widths = pad(x, plan), none
    strides, dilations = [w.stride for w in plan], [w.dilation for w in plan]
    return torch.convolution(x, weight, bias, strides, widths, dilations, False, none, groups)


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
        x: The input.
        weight: The filters; group_channels is out_channels / groups.
        bias: A number that is added to each output channel.
        stride: Output positions from the filter of one input position to that of the next.
        padding: Output positions that are taken off at both ends of each axis, or (low, high).
        dilation: Distance between taps, for all axes or for each.
        groups: Number of parts that the channels are split into; they do not mix.
        output_padding: Output positions that are added at the end of each axis.

    Raises:
        ArgumentError: The arguments do not fit each other, or no output is left.
    """
    _check_ranks(x, weight)
    if weight.shape[0] != x.shape[1]:
        raise ArgumentError(
            f"weight of shape {tuple(weight.shape)}",
            why=f"it takes {weight.shape[0]} channels and the input has {x.shape[1]}",
        )
    check_groups(x.shape[1], weight.shape[1] * groups, groups)
    space = x.shape[2:]
    plan = plan_windows(space, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    extra = per_axis("output_padding", output_padding, len(space))
    sizes = [w.transposed_output_size(n, e) for w, n, e in zip(plan, space, extra, strict=True)]
    strides, dilations = [w.stride for w in plan], [w.dilation for w in plan]
    none = [0] * len(plan)
    y = torch.convolution(x, weight, bias, strides, none, dilations, True, list(extra), groups)
    inner = [slice(w.low, w.low + n) for w, n in zip(plan, sizes, strict=True)]
    return y[(slice(None), slice(None), *inner)]


def pad(
    x: Shaped[Tensor, "n c *space"], windows: Sequence[Window], value: float = 0.0
) -> Shaped[Tensor, "n c *padded"]:
    """`x` with the padding of `windows` filled with `value`."""
    widths = [width for window in reversed(windows) for width in (window.low, window.high)]
    return functional.pad(x, widths, value=value) if any(widths) else x


def sliding_windows(
    x: Shaped[Tensor, "n c *space"], windows: Sequence[Window]
) -> Shaped[Tensor, "n c *space_taps"]:
    """Every window of `x` as (n, c, *output, *taps): a view where no padding is needed."""
    x = pad(x, windows)
    for axis, window in enumerate(windows, start=2):
        x = x.unfold(axis, window.extent, window.stride)[..., :: window.dilation]
    return x


def _check_ranks(x: Tensor, weight: Tensor) -> None:
    if x.ndim != weight.ndim:
        raise ArgumentError(
            f"weight of {weight.ndim} axes for an input of {x.ndim}",
            why="both have two axes before the spatial ones",
        )
