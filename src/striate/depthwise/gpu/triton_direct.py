"""The depthwise convolution on GPUs, a tap at a time (Triton): every rank, type, stride and dilation.

It serves what the products with banded matrices do not: float32 in 2-D and 3-D, strides, dilations
and other GPUs. A tile is so many positions by so many channels, whatever their order in memory: steps
along the axes are arguments. Sums are in float32; what lies outside a tensor is not read, and adds
nothing. The gradient of the weight holds a sum for each tap along the last axis, and adds partial sums
in a fixed order.

Not verified on a GPU yet: it is tested in Triton's interpreter.
"""

# Triton's decorator and its language carry no types.
# mypy: disable-error-code="untyped-decorator, no-untyped-call, no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from striate.depthwise.problem import Bias, Input, Output, Problem, Weight

TILE: Final = 1024
"""Outputs of a tile of the convolution; sums of a tile of the gradient of the weight are twice as many."""

MAX_CHANNELS: Final = 64
"""Channels of a tile, at most, where they are last."""

MAX_SHARES: Final = 128
"""Shares of the positions, at most, that are summed apart in the gradient of the weight."""


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """The convolution."""
    y = x.new_empty(problem.y_shape).to(memory_format=problem.memory_format)
    return _convolve(x, weight, bias, y, problem, backward=False)


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """For each input, the sum over the outputs that read it."""
    total = grad.new_empty(problem.x_shape).to(memory_format=problem.memory_format)
    return _convolve(grad, weight, None, total, problem, backward=True)


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """For each tap, the sum over items and positions of what it reads times the gradient."""
    taps = _three(problem.kernel_size, 1)
    row = 1 << (taps[2] - 1).bit_length()
    positions, channels = _tile(problem, max(1, 2 * TILE // row))
    tiles = -(-problem.batch * prod(problem.out_space) // positions)
    shares = min(MAX_SHARES, tiles)
    sums = x.new_empty((shares, prod(taps), problem.channels), dtype=torch.float32)
    grid = -(-problem.channels // channels), taps[0] * taps[1], shares
    correlate[grid](
        x, grad, sums, problem.batch, problem.channels, *_walk(x, grad, problem), ROW=row,
        POSITIONS=positions, CHANNELS=channels, **_windows(problem),
    )  # fmt: skip
    return sums.sum(0).t().to(x.dtype).reshape(problem.weight_shape)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, problem: Problem, *, backward: bool
) -> Tensor:
    positions, channels = _tile(problem, TILE)
    tiles = problem.batch * -(-prod(y.shape[2:]) // positions)
    convolve[(tiles, -(-problem.channels // channels))](
        x, weight.flatten(1).t().contiguous(), bias, y, problem.channels, *_walk(x, y, problem),
        BACKWARD=backward, POSITIONS=positions, CHANNELS=channels, **_windows(problem),
    )  # fmt: skip
    return y


def _tile(problem: Problem, size: int) -> tuple[int, int]:
    """Positions and channels of a tile, powers of two: most along what is innermost in memory."""
    if not problem.channels_last:
        return size, 1
    channels = min(MAX_CHANNELS, size, 1 << (problem.channels - 1).bit_length())
    return size // channels, channels


def _walk(x: Tensor, y: Tensor, problem: Problem) -> Any:
    """Positions of both tensors, the elements from one to the next of each, and the padding.

    Elements are counted from one item, channel, plane, row and column to the next.
    """
    spaces = [_three(tensor.shape[2:], 1) for tensor in (x, y)]
    steps = [(*t.stride()[:2], *_three(t.stride()[2:], 0)) for t in (x, y)]
    return *spaces, *steps, _three([window.low for window in problem.windows], 0)


def _windows(problem: Problem) -> dict[str, tuple[int, ...]]:
    return {
        "TAPS": _three(problem.kernel_size, 1),
        "STRIDE": _three(problem.stride, 1),
        "DILATION": _three(problem.dilation, 1),
    }


def _three(values: Sequence[int], filler: int) -> tuple[int, ...]:
    """One value for each of three axes."""
    return (filler,) * (3 - len(values)) + tuple(values)


@triton.jit
def split(position, space):
    """Depth, row and column of a position."""
    column = position % space[2]
    rest = position // space[2]
    return rest // space[1], rest % space[1], column


@triton.jit
def convolve(
    x_ptr, w_ptr, bias_ptr, y_ptr, channels, x_space, y_space, x_steps, y_steps, low,
    TAPS: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, BACKWARD: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """A tile of one item; `BACKWARD` sums over the outputs that read each position."""
    size = y_space[0] * y_space[1] * y_space[2]
    tiles = tl.cdiv(size, POSITIONS)
    item = (tl.program_id(0) // tiles).to(tl.int64)
    position = tl.program_id(0) % tiles * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    depth, row, column = split(position, y_space)
    in_channel = channel < channels
    total = tl.zeros((POSITIONS, CHANNELS), tl.float32)
    if bias_ptr is not None:
        total += tl.load(bias_ptr + channel, mask=in_channel, other=0.0).to(tl.float32)[None, :]
    for t in range(TAPS[0] * TAPS[1]):
        z, z_in = source(depth, t // TAPS[1], low[0], x_space[0], STRIDE[0], DILATION[0], BACKWARD)
        y, y_in = source(row, t % TAPS[1], low[1], x_space[1], STRIDE[1], DILATION[1], BACKWARD)
        line = item * x_steps[0] + z * x_steps[2] + y * x_steps[3]
        for tap in tl.static_range(TAPS[2]):
            x, x_in = source(column, tap, low[2], x_space[2], STRIDE[2], DILATION[2], BACKWARD)
            inside = (z_in & y_in & x_in)[:, None] & in_channel[None, :]
            at = (line + x * x_steps[4])[:, None] + (channel * x_steps[1])[None, :]
            value = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
            w_at = w_ptr + (t * TAPS[2] + tap) * channels + channel
            weight = tl.load(w_at, mask=in_channel, other=0.0).to(tl.float32)
            total += tl.where(inside, value * weight[None, :], 0.0)
    at = item * y_steps[0] + depth * y_steps[2] + row * y_steps[3] + column * y_steps[4]
    y_at = y_ptr + at[:, None] + (channel * y_steps[1])[None, :]
    inside = (position < size)[:, None] & in_channel[None, :]
    tl.store(y_at, total.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def source(position, tap, low, size, STRIDE, DILATION, BACKWARD: tl.constexpr):
    """Where a tap reads for an output, or which output read a position by a tap; and whether."""
    if BACKWARD:
        at = position + low - tap * DILATION
        place = at // STRIDE
        return place, (at >= 0) & (at % STRIDE == 0) & (place < size)
    place = position * STRIDE + tap * DILATION - low
    return place, (place >= 0) & (place < size)


@triton.jit
def correlate(
    x_ptr, g_ptr, sums_ptr, items, channels, x_space, g_space, x_steps, g_steps, low,
    TAPS: tl.constexpr, STRIDE: tl.constexpr, DILATION: tl.constexpr, ROW: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """One row of the kernel's taps over every SHARES-th tile of the outputs; ROW is a power of 2."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    t, share, shares = tl.program_id(1), tl.program_id(2), tl.num_programs(2)
    tap = tl.arange(0, ROW)
    in_channel = channel < channels
    size = g_space[0] * g_space[1] * g_space[2]
    total = tl.zeros((ROW, POSITIONS, CHANNELS), tl.float32)
    for tile in range(share, tl.cdiv(items * size, POSITIONS), shares):
        index = tl.arange(0, POSITIONS).to(tl.int64) + tile * POSITIONS
        item = index // size
        depth, row, column = split(index % size, g_space)
        z, z_in = source(depth, t // TAPS[1], low[0], x_space[0], STRIDE[0], DILATION[0], False)
        y, y_in = source(row, t % TAPS[1], low[1], x_space[1], STRIDE[1], DILATION[1], False)
        x, x_in = source(
            column[None, :], tap[:, None], low[2], x_space[2], STRIDE[2], DILATION[2], False
        )
        reads = x_in & (tap < TAPS[2])[:, None] & (z_in & y_in & (item < items))[None, :]
        inside = reads[:, :, None] & in_channel[None, None, :]
        line = item * x_steps[0] + z * x_steps[2] + y * x_steps[3]
        at = (line[None, :] + x * x_steps[4])[:, :, None] + (channel * x_steps[1])[None, None, :]
        value = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        g_at = item * g_steps[0] + depth * g_steps[2] + row * g_steps[3] + column * g_steps[4]
        g_in = (item < items)[:, None] & in_channel[None, :]
        at = g_at[:, None] + (channel * g_steps[1])[None, :]
        grad = tl.load(g_ptr + at, mask=g_in, other=0.0).to(tl.float32)
        total += tl.where(inside, value * grad[None, :, :], 0.0)
    sums = tl.sum(total, axis=1)
    rows = (share * TAPS[0] * TAPS[1] + t) * TAPS[2] + tap
    at = rows[:, None] * channels + channel[None, :]
    tl.store(sums_ptr + at, sums, mask=(tap < TAPS[2])[:, None] & in_channel[None, :])
