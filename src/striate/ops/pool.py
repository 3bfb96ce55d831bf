"""Pooling of any rank: the maximum or the mean of every window, or of the whole map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from striate.errors import ArgumentError
from striate.geometry import Padding, Window, plan_windows
from striate.ops.convolution import convolve, pad

_MAX_POOL: Final = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def max_pool(
    x: Shaped[Tensor, "n c *space"],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Shaped[Tensor, "n c *out_space"]:
    """The maximum of every window; padding is never the maximum.

    Args:
        x: The input, of any number type. Whole numbers are exact up to 53 bits.
        kernel_size: Number of taps of the window, for all axes or for each.
        stride: Positions from one output to the next; None is the kernel's size.
        padding: See `striate.geometry.plan_windows`.
        dilation: Distance between taps, for all axes or for each.
        ceil_mode: Whether to keep a last window that runs over the end.

    Raises:
        ArgumentError: A window would hold nothing but padding, or none fits.
    """
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    numbers = x if x.is_floating_point() else x.double()
    values: Tensor = _MAX_POOL[x.ndim - 2](
        pad(numbers, plan, -torch.inf),
        [w.kernel_size for w in plan],
        [w.stride for w in plan],
        0,
        [w.dilation for w in plan],
    )
    return values.to(x.dtype)


def avg_pool(
    x: Float[Tensor, "n c *space"],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Tensor, "n c *out_space"]:
    """The mean of every window.

    Args:
        x: The input.
        kernel_size: Number of taps of the window, for all axes or for each.
        stride: Positions from one output to the next; None is the kernel's size.
        padding: See `striate.geometry.plan_windows`.
        dilation: Distance between taps, for all axes or for each.
        ceil_mode: Whether to keep a last window that runs over the end. What lies past the padding
            is never counted.
        count_include_pad: Whether padded positions count as zeros, instead of not at all.

    Raises:
        ArgumentError: A window would hold nothing but padding, or none fits.
    """
    asked = _plan(x, kernel_size, stride, padding, dilation)
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    ones = x.new_ones(1, 1, *x.shape[2:])
    if count_include_pad:
        ones = pad(ones, asked, 1.0)
        past = [replace(p, low=0, high=p.high - a.high) for p, a in zip(plan, asked, strict=True)]
        return _window_sums(x, plan) / _window_sums(ones, past)
    return _window_sums(x, plan) / _window_sums(ones, plan)


def global_max_pool(x: Shaped[Tensor, "n c *space"]) -> Shaped[Tensor, "n c *ones"]:
    """The maximum of each channel; the spatial axes stay, with one position."""
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def global_avg_pool(x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
    """The mean of each channel; the spatial axes stay, with one position."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _plan(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: Padding,
    dilation: int | Sequence[int],
    ceil_mode: bool = False,
) -> tuple[Window, ...]:
    """Windows for `x`; ceil mode becomes padding at the end that the last window needs."""
    step = kernel_size if stride is None else stride
    plan = plan_windows(x.shape[2:], kernel_size, stride=step, padding=padding, dilation=dilation)
    return tuple(_fit(size, w, ceil_mode) for size, w in zip(x.shape[2:], plan, strict=True))


def _fit(size: int, window: Window, ceil_mode: bool) -> Window:
    if max(window.low, window.high) >= window.extent:
        raise ArgumentError(
            f"padding=({window.low}, {window.high})",
            why=f"a window that spans {window.extent} would hold nothing but padding",
            fix=f"use at most {window.extent - 1}",
        )
    count = window.output_size(size, ceil_mode)
    past = (count - 1) * window.stride + window.extent - size - window.low - window.high
    return replace(window, high=window.high + max(past, 0))


def _window_sums(x: Tensor, plan: Sequence[Window]) -> Tensor:
    """The sum of every window: a depthwise convolution with ones."""
    channels = x.shape[1]
    ones = x.new_ones(channels, 1, *(w.kernel_size for w in plan))
    return convolve(
        x,
        ones,
        stride=[w.stride for w in plan],
        padding=[(w.low, w.high) for w in plan],
        dilation=[w.dilation for w in plan],
        groups=channels,
    )
