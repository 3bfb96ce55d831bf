"""The depthwise convolution on GPUs, a tap at a time (Triton): every rank, type, stride and dilation.

It serves what the products with banded matrices do not: float32 in 2-D and 3-D, strides, dilations
and other GPUs. Sums are in float32; the gradient of the weight adds partial sums in a fixed order.

Not verified on a GPU yet: it is tested in Triton's interpreter.
"""

from __future__ import annotations

from math import prod
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from striate.depthwise.problem import Problem

MOST_TAPS: Final = 32
"""Taps along the last axis, at most: the gradient of the weight holds a sum for each."""

TILE: Final = 1024
"""Outputs of a tile of the convolution; sums of a tile of the gradient of the weight are twice as many."""

MOST_CHANNELS: Final = 64
"""Channels of a tile, at most, where they are last."""

MOST_SHARES: Final = 128
"""Shares of the positions, at most, that are summed apart in the gradient of the weight."""


def forward(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None,
    problem: Problem,
) -> Float[Tensor, "n c *out"]:
    """The convolution."""
    y = x.new_empty(problem.y_shape).to(memory_format=problem.memory_format)
    return _convolve(x, weight, bias, y, problem, backward=False)


def input_gradient(
    grad: Float[Tensor, "n c *out"], weight: Float[Tensor, "c 1 *kernel"], problem: Problem
) -> Float[Tensor, "n c *space"]:
    """For each input, the sum over the outputs that read it."""
    total = grad.new_empty(problem.x_shape).to(memory_format=problem.memory_format)
    return _convolve(grad, weight, None, total, problem, backward=True)


def weight_gradient(
    grad: Float[Tensor, "n c *out"], x: Float[Tensor, "n c *space"], problem: Problem
) -> Float[Tensor, "c 1 *kernel"]:
    """For each tap, the sum over items and positions of what it reads times the gradient."""
    from striate.depthwise.gpu import triton_taps

    taps = _three(problem.kernel_size, 1)
    row = 1 << (taps[2] - 1).bit_length()
    positions, channels = _tile(problem, max(1, 2 * TILE // row))
    tiles = -(-problem.batch * prod(problem.out_space) // positions)
    shares = min(MOST_SHARES, tiles)
    sums = x.new_empty((shares, prod(taps), problem.channels), dtype=torch.float32)
    grid = -(-problem.channels // channels), taps[0] * taps[1], shares
    triton_taps.correlate[grid](
        x, grad, sums, problem.batch, problem.channels, _three(x.shape[2:], 1),
        _three(grad.shape[2:], 1), _steps(x), _steps(grad), _low(problem), **_windows(problem),
        ROW=row, POSITIONS=positions, CHANNELS=channels,
    )  # fmt: skip
    return sums.sum(0).t().to(x.dtype).reshape(problem.weight_shape)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, problem: Problem, *, backward: bool
) -> Tensor:
    from striate.depthwise.gpu import triton_taps

    positions, channels = _tile(problem, TILE)
    tiles = problem.batch * -(-prod(y.shape[2:]) // positions)
    triton_taps.convolve[(tiles, -(-problem.channels // channels))](
        x, weight.flatten(1).t().contiguous(), bias, y, problem.channels, _three(x.shape[2:], 1),
        _three(y.shape[2:], 1), _steps(x), _steps(y), _low(problem), **_windows(problem),
        BACKWARD=backward, POSITIONS=positions, CHANNELS=channels,
    )  # fmt: skip
    return y


def _tile(problem: Problem, size: int) -> tuple[int, int]:
    """Positions and channels of a tile, powers of two: most along what is innermost in memory."""
    if not problem.channels_last:
        return size, 1
    channels = min(MOST_CHANNELS, size, 1 << (problem.channels - 1).bit_length())
    return size // channels, channels


def _windows(problem: Problem) -> dict[str, tuple[int, ...]]:
    return {
        "TAPS": _three(problem.kernel_size, 1),
        "STRIDE": _three(problem.stride, 1),
        "DILATION": _three(problem.dilation, 1),
    }


def _low(problem: Problem) -> tuple[int, ...]:
    return _three([window.low for window in problem.windows], 0)


def _three(values: tuple[int, ...] | list[int], filler: int) -> tuple[int, ...]:
    """One value for each of three axes."""
    return (filler,) * (3 - len(values)) + tuple(values)


def _steps(tensor: Tensor) -> tuple[int, ...]:
    """Elements from one item, channel, plane, row and column to the next."""
    items, channels, *space = tensor.stride()
    return (items, channels, *_three(space, 0))
