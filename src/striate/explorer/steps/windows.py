"""How a layer with a window computes one of its numbers: convolution, pooling, dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.analysis import Calculation
from striate.explorer.grid import values_of
from striate.explorer.numbers import packed
from striate.geometry import Window, per_axis
from striate.nn.conv import padding_of
from striate.nn.ranks import CONV_TYPES, Conv, layers

_RANKS: Final = tuple(layers(rank) for rank in (1, 2, 3))
POOLS: Final = tuple(pool for each in _RANKS for pool in (each.max_pool, each.avg_pool))
"""Torch's pooling layers with a window of their own size."""


def sliding(module: Any, space: Sequence[int]) -> tuple[Window, ...] | None:
    """The window of a layer along each axis; None where it has none, or does not pad with zeros.

    Args:
        module: The layer.
        space: Positions of its input along each axis; padding by name depends on them.
    """
    rank = len(space)
    if isinstance(module, CONV_TYPES):
        if module.padding_mode != "zeros":
            return None
        padding = padding_of(module, tuple(space))
    elif isinstance(module, POOLS):
        padding = tuple((low, low) for low in per_axis("padding", module.padding, rank))
    else:
        return None
    sizes = per_axis("kernel_size", module.kernel_size, rank)
    strides = per_axis("stride", module.stride or module.kernel_size, rank)
    dilations = per_axis("dilation", getattr(module, "dilation", 1), rank)
    return tuple(
        Window(kernel_size=size, stride=stride, dilation=dilation, low=low, high=high)
        for size, stride, dilation, (low, high) in zip(
            sizes, strides, dilations, padding, strict=True
        )
    )


def taken(
    array: NDArray[np.float32],
    start: Sequence[int],
    size: Sequence[int],
    step: Sequence[int],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What a window holds, 0 in the padding, and which of its taps are inside the map.

    Args:
        array: The map.
        start: Position of the first tap along each axis; negative in the padding.
        size: Number of taps along each axis.
        step: Positions from one tap to the next along each axis.
    """
    axes = [s + d * np.arange(n) for s, n, d in zip(start, size, step, strict=True)]
    inside = np.ones(tuple(size), bool)
    clipped = []
    for axis, (indices, length) in enumerate(zip(axes, array.shape[1:], strict=True)):
        shape = [-1 if other == axis else 1 for other in range(len(axes))]
        inside &= ((indices >= 0) & (indices < length)).reshape(shape)
        clipped.append(indices.clip(0, length - 1))
    values = array[np.ix_(np.arange(len(array)), *clipped)]
    return np.where(inside, values, np.float32(0)), inside


def convolution(
    calculation: Calculation, conv: Conv, channel: int, position: Sequence[int]
) -> dict[str, Any]:
    """The window in every input channel of the group, the kernel, the sum and the bias."""
    array = values_of(calculation.operands[0])
    found = sliding(conv, array.shape[1:])
    if found is None:
        return {"form": "none", "why": f"padding by {conv.padding_mode} is not shown step by step"}
    start = [p * window.stride - window.low for p, window in zip(position, found, strict=True)]
    taps, steps = [w.kernel_size for w in found], [w.dilation for w in found]
    count = conv.in_channels // conv.groups
    first = channel // (conv.out_channels // conv.groups) * count
    window, _ = taken(array[first : first + count], start, taps, steps)
    kernel = conv.weight[channel].detach().float().cpu().numpy()
    return {
        **_products(window, kernel, None if conv.bias is None else conv.bias[channel].item()),
        "start": start,
        "step": steps,
        "space": list(array.shape[1:]),
        "channels": [first, count],
    }


def dense(
    calculation: Calculation, linear: nn.Linear, channel: int, position: Sequence[int]
) -> dict[str, Any]:
    """All inputs at this place, the weights of one output, the sum and the bias."""
    window = values_of(calculation.operands[0])[tuple(position)]
    kernel = linear.weight[channel].detach().float().cpu().numpy()
    bias = None if linear.bias is None else linear.bias[channel].item()
    return _products(window, kernel, bias)


def _products(window: NDArray[Any], kernel: NDArray[Any], bias: float | None) -> dict[str, Any]:
    total = float((window.astype(np.float64) * kernel).sum())
    return {
        "form": "products",
        "window": packed(window),
        "kernel": packed(kernel),
        "sum": total,
        "bias": bias,
        "result": total + (bias or 0.0),
    }


def pooling(
    calculation: Calculation, pool: Any, channel: int, position: Sequence[int]
) -> dict[str, Any]:
    """The window of one channel and its maximum or mean."""
    array = values_of(calculation.operands[0])
    found = sliding(pool, array.shape[1:]) or ()
    start = [p * window.stride - window.low for p, window in zip(position, found, strict=True)]
    size, steps = [w.kernel_size for w in found], [w.dilation for w in found]
    if not hasattr(pool, "count_include_pad"):
        return _pooled(array, channel, start, size, steps, "maximum")
    # A window that runs over the high padding in ceil mode counts only what padding covers.
    spans = [
        min(s + w.kernel_size, length + w.high) - s
        for s, w, length in zip(start, found, array.shape[1:], strict=True)
    ]
    divisor = getattr(pool, "divisor_override", None)
    if divisor is None and pool.count_include_pad:
        divisor = prod(spans)
    return _pooled(array, channel, start, size, steps, "mean", divisor)


def resizing(
    calculation: Calculation, operation: str, channel: int, position: Sequence[int]
) -> dict[str, Any]:
    """The window of an adaptive pooling: output o of m takes floor(o n / m) to ceil((o + 1) n / m)."""
    array, sizes = values_of(calculation.operands[0]), calculation.output.shape[2:]
    pairs = list(zip(position, array.shape[1:], sizes, strict=True))
    start = [p * n // m for p, n, m in pairs]
    size = [-(-(p + 1) * n // m) - s for (p, n, m), s in zip(pairs, start, strict=True)]
    return _pooled(array, channel, start, size, (1,) * len(size), operation)


def whole(
    calculation: Calculation, operation: str, channel: int, position: Sequence[int]
) -> dict[str, Any]:
    """The mean, the maximum or the variance of all of one channel."""
    array = values_of(calculation.operands[0])
    start, size = (0,) * (array.ndim - 1), array.shape[1:]
    return _pooled(array, channel, start, size, (1,) * len(size), operation)


def _pooled(
    array: NDArray[Any],
    channel: int,
    start: Sequence[int],
    size: Sequence[int],
    steps: Sequence[int],
    operation: str,
    divisor: int | None = None,
) -> dict[str, Any]:
    window, inside = taken(array[channel : channel + 1], start, size, steps)
    values = window[0][inside].astype(np.float64)
    count = divisor or int(inside.sum())
    mean = float(values.mean()) if operation == "variance" else None
    total = float(values.sum() if mean is None else np.square(values - mean).sum())
    return {
        "form": "window",
        "operation": operation,
        "window": packed(window),
        "start": list(start),
        "step": list(steps),
        "space": list(array.shape[1:]),
        "channels": [channel, 1],
        "sum": total,
        "count": count,
        "mean": mean,
        "result": float(values.max()) if operation == "maximum" else total / count,
    }
