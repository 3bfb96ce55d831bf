"""The 1-D depthwise convolution on NVIDIA GPUs, as a product with a banded matrix (Triton).

A row of length L is cut into segments of SEGMENT outputs. With x[m, j] the input that segment m
reads at its position j, and band[j, o] = w[j - o], the outputs are x @ band: a small matrix product
on the tensor cores, of which all but the band is zero. The gradient of the weight is x.T @ g, whose
diagonals add up to its taps.

Sums are in float32; the gradient of the weight adds partial sums in a fixed order. An Inf or NaN
reaches no output that does not read it: the zeros of the band times an Inf or NaN would be NaN, so a
tile that has one is computed a tap at a time.

Not verified on a GPU yet: it is tested in Triton's interpreter.
"""

# Triton's decorator and its language carry no types.
# mypy: disable-error-code="untyped-decorator, no-untyped-call, no-untyped-def"

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from striate.depthwise.problem import Bias, Input, Output, Problem, Weight

ROWS: Final = 64
"""Segments of a tile."""

PARTS: Final = 32
"""Shares of the items, at most, that are summed apart in the gradient of the weight."""


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """The convolution."""
    y = x.new_empty(problem.y_shape)
    _convolve(x, weight, y, problem.windows[0].low, flip=False)
    return y if bias is None else y.add_(bias.unsqueeze(-1))


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """The convolution of the output's gradient with the taps in reverse order."""
    total = grad.new_empty(problem.x_shape)
    window = problem.windows[0]
    _convolve(grad, weight, total, window.kernel_size - 1 - window.low, flip=True)
    return total


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """The diagonal sums of the input times the output's gradient."""
    window = problem.windows[0]
    parts = min(PARTS, problem.batch)
    sums = torch.zeros(parts, problem.channels, window.kernel_size, device=x.device)
    correlate[(problem.channels, parts)](
        x.contiguous(), grad.contiguous(), sums, problem.batch, problem.channels, x.shape[2],
        grad.shape[2], window.low, **_tile(window.kernel_size),
    )  # fmt: skip
    return sums.sum(0).to(x.dtype).view(problem.weight_shape)


def _convolve(x: Tensor, weight: Tensor, y: Tensor, low: int, *, flip: bool) -> None:
    tile = _tile(weight.shape[2])
    segments = -(-y.shape[2] // tile["SEGMENT"])
    convolve[(x.shape[0] * x.shape[1], -(-segments // ROWS))](
        x.contiguous(), weight.contiguous(), y, x.shape[1], x.shape[2], y.shape[2], low, flip, **tile
    )  # fmt: skip


def _tile(taps: int) -> dict[str, int]:
    """Sizes of a tile: 16 or 32 outputs, and twice as many positions, which hold what they read."""
    segment = 16 if taps <= 17 else 32
    assert taps <= segment + 1
    return {"TAPS": taps, "SEGMENT": segment, "READ": 2 * segment, "ROWS": ROWS}


@triton.jit
def has_infinite(tile):
    """Whether an element is an Inf or NaN."""
    difference = tile.to(tl.float32) - tile.to(tl.float32)
    return tl.max(tl.max(tl.where(difference == 0, 0, 1), axis=1), axis=0) != 0


@triton.jit
def convolve(
    x_ptr, w_ptr, y_ptr, channels, length, out_length, low, flip,
    TAPS: tl.constexpr, SEGMENT: tl.constexpr, READ: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """ROWS segments of one item's channel; `flip` takes the taps in reverse order."""
    row = tl.program_id(0).to(tl.int64)
    channel = row % channels
    segment = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    j = tl.arange(0, READ)
    o = tl.arange(0, SEGMENT)
    position = segment[:, None] * SEGMENT + j[None, :] - low
    inside = (position >= 0) & (position < length) & (j[None, :] < SEGMENT + TAPS - 1)
    x = tl.load(x_ptr + row * length + position, mask=inside, other=0.0)
    tap = j[:, None] - o[None, :]
    in_band = (tap >= 0) & (tap < TAPS)
    tap = tl.where(flip, TAPS - 1 - tap, tap)
    band = tl.load(w_ptr + channel * TAPS + tap, mask=in_band, other=0.0)
    y = tl.dot(x, band, input_precision="ieee")
    if has_infinite(x):
        y = tl.zeros((ROWS, SEGMENT), tl.float32)
        for t in range(TAPS):
            place = segment[:, None] * SEGMENT + o[None, :] + t - low
            reads = (place >= 0) & (place < length)
            value = tl.load(x_ptr + row * length + place, mask=reads, other=0.0).to(tl.float32)
            weight = tl.load(w_ptr + channel * TAPS + tl.where(flip, TAPS - 1 - t, t))
            y += tl.where(reads, value * weight.to(tl.float32), 0.0)
    at = segment[:, None] * SEGMENT + o[None, :]
    y_at = y_ptr + row * out_length + at
    tl.store(y_at, y.to(y_ptr.dtype.element_ty), mask=at < out_length)


@triton.jit
def correlate(
    x_ptr, g_ptr, sums_ptr, items, channels, length, out_length, low,
    TAPS: tl.constexpr, SEGMENT: tl.constexpr, READ: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """One channel's share of the gradient of the weight, over every PARTS-th of its items."""
    channel = tl.program_id(0).to(tl.int64)
    part, parts = tl.program_id(1), tl.num_programs(1)
    j = tl.arange(0, READ)
    o = tl.arange(0, SEGMENT)
    total = tl.zeros((READ, SEGMENT), tl.float32)
    for item in range(part, items, parts):
        row = item * channels + channel
        for first in range(0, tl.cdiv(out_length, SEGMENT), ROWS):
            segment = first + tl.arange(0, ROWS)
            position = segment[None, :] * SEGMENT + j[:, None] - low
            inside = (position >= 0) & (position < length)
            x = tl.load(x_ptr + row * length + position, mask=inside, other=0.0)
            at = segment[:, None] * SEGMENT + o[None, :]
            g = tl.load(g_ptr + row * out_length + at, mask=at < out_length, other=0.0)
            if has_infinite(x) | has_infinite(g):
                for t in range(TAPS):
                    place = at + t - low
                    reads = (place >= 0) & (place < length) & (at < out_length)
                    read = tl.load(x_ptr + row * length + place, mask=reads, other=0.0)
                    products = tl.where(reads, read.to(tl.float32) * g.to(tl.float32), 0.0)
                    of_tap = (j[:, None] == t) & (o[None, :] == 0)
                    of_tile = tl.sum(tl.sum(products, axis=1), axis=0)
                    total = tl.where(of_tap, total + of_tile, total)
            else:
                total += tl.dot(x, g, input_precision="ieee")
    diagonal = j[:, None] - o[None, :]
    for tap in range(TAPS):
        value = tl.sum(tl.sum(tl.where(diagonal == tap, total, 0.0), axis=1), axis=0)
        tl.store(sums_ptr + (part * channels + channel) * TAPS + tap, value)
