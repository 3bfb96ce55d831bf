"""Pooling of any rank: the maximum, mean or p-norm of every window, or of the whole map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from striate.errors import ArgumentError
from striate.geometry import Padding, Window, plan_windows
from striate.ops.convolve import convolve
from striate.ops.windows import pad

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
        x: the input, of any number type.
        kernel_size: taps of the window.
        stride: step of the window; None is the kernel's size.
        padding: see `striate.geometry.plan_windows`.
        dilation: distance between taps.
        ceil_mode: keep a last window that runs over the end.

    Raises:
        ArgumentError: a window would hold nothing but padding, or none fits.
    """
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_with_indices(x, plan)[0]


def max_pool_with_indices(
    x: Shaped[Tensor, "n c *space"],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> tuple[Shaped[Tensor, "n c *out_space"], Int[Tensor, "n c *out_space"]]:
    """`max_pool`, and where each maximum was: an index into the input's flattened space."""
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_with_indices(x, plan)


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
        x: the input.
        kernel_size: taps of the window.
        stride: step of the window; None is the kernel's size.
        padding: see `striate.geometry.plan_windows`.
        dilation: distance between taps.
        ceil_mode: keep a last window that runs over the end; what lies past the padding is never
            counted.
        count_include_pad: padded positions count as zeros instead of not at all.

    Raises:
        ArgumentError: a window would hold nothing but padding, or none fits.
    """
    asked = _plan(x, kernel_size, stride, padding, dilation)
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    ones = x.new_ones(1, 1, *x.shape[2:])
    if count_include_pad:
        ones = pad(ones, asked, 1.0)
        past = [replace(p, low=0, high=p.high - a.high) for p, a in zip(plan, asked, strict=True)]
        return _window_sums(x, plan) / _window_sums(ones, past)
    return _window_sums(x, plan) / _window_sums(ones, plan)


def lp_pool(
    x: Float[Tensor, "n c *space"],
    kernel_size: int | Sequence[int],
    *,
    p: int = 2,
    stride: int | Sequence[int] | None = None,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "n c *out_space"]:
    """The p-norm of every window; `p` 1 is the sum of magnitudes.

    Raises:
        ArgumentError: `p` is less than 1, a window would hold nothing but padding, or none fits.
    """
    if p < 1:
        raise ArgumentError(f"p={p}", why="a norm needs at least 1")
    plan = _plan(x, kernel_size, stride, padding, dilation, ceil_mode)
    return _window_sums(x.abs() ** p, plan) ** (1 / p)


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


def _max_with_indices(x: Tensor, plan: Sequence[Window]) -> tuple[Tensor, Tensor]:
    """Maxima and their indices; whole numbers pass through float64, exact to 53 bits."""
    numbers = x if x.is_floating_point() else x.double()
    padded = pad(numbers, plan, -torch.inf)
    values, indices = _MAX_POOL[x.ndim - 2](
        padded,
        [w.kernel_size for w in plan],
        [w.stride for w in plan],
        0,
        [w.dilation for w in plan],
        return_indices=True,
    )
    return values.to(x.dtype), _without_padding(indices, padded.shape[2:], x.shape[2:], plan)


def _without_padding(
    indices: Tensor, padded: Sequence[int], space: Sequence[int], plan: Sequence[Window]
) -> Tensor:
    """Flat indices into the padded space as flat indices into the space itself."""
    flat = torch.zeros_like(indices)
    for axis, window in enumerate(plan):
        coordinate = indices // prod(padded[axis + 1 :]) % padded[axis] - window.low
        flat += coordinate * prod(space[axis + 1 :])
    return flat
