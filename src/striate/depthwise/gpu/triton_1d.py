"""The 1-D depthwise convolution on NVIDIA GPUs, as a product with a banded matrix (Triton).

Sums are in float32; the gradient of the weight adds partial sums in a fixed order. An Inf or NaN
reaches no output that does not read it.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from striate.depthwise.problem import Problem

ROWS: Final = 64
"""Segments of a tile."""

MOST_TAPS: Final = 33
"""Taps that the widest tile holds."""

PARTS: Final = 32
"""Shares of the items, at most, that are summed apart in the gradient of the weight."""


def forward(
    x: Float[Tensor, "n c length"],
    weight: Float[Tensor, "c 1 taps"],
    bias: Float[Tensor, " c"] | None,
    problem: Problem,
) -> Float[Tensor, "n c out"]:
    """The convolution."""
    y = x.new_empty(problem.y_shape)
    _convolve(x, weight, y, problem.windows[0].low, flip=False)
    return y if bias is None else y.add_(bias.unsqueeze(-1))


def input_gradient(
    grad: Float[Tensor, "n c out"], weight: Float[Tensor, "c 1 taps"], problem: Problem
) -> Float[Tensor, "n c length"]:
    """The convolution of the output's gradient with the taps in reverse order."""
    total = grad.new_empty(problem.x_shape)
    window = problem.windows[0]
    _convolve(grad, weight, total, window.kernel_size - 1 - window.low, flip=True)
    return total


def weight_gradient(
    grad: Float[Tensor, "n c out"], x: Float[Tensor, "n c length"], problem: Problem
) -> Float[Tensor, "c 1 taps"]:
    """The diagonal sums of the input times the output's gradient."""
    from striate.depthwise.gpu import triton_bands

    window = problem.windows[0]
    parts = min(PARTS, problem.batch)
    sums = torch.zeros(parts, problem.channels, window.kernel_size, device=x.device)
    triton_bands.correlate[(problem.channels, parts)](
        x.contiguous(), grad.contiguous(), sums, problem.batch, problem.channels, x.shape[2],
        grad.shape[2], window.low, **_tile(window.kernel_size),
    )  # fmt: skip
    return sums.sum(0).to(x.dtype).view(problem.weight_shape)


def _convolve(x: Tensor, weight: Tensor, y: Tensor, low: int, *, flip: bool) -> None:
    from striate.depthwise.gpu import triton_bands

    tile = _tile(weight.shape[2])
    segments = -(-y.shape[2] // tile["SEGMENT"])
    triton_bands.convolve[(x.shape[0] * x.shape[1], -(-segments // ROWS))](
        x.contiguous(),
        weight.contiguous(),
        y,
        x.shape[1],
        x.shape[2],
        y.shape[2],
        low,
        flip,
        **tile,
    )


def _tile(taps: int) -> dict[str, int]:
    """Sizes of a tile: 16 or 32 outputs, and a power of two that holds what they read."""
    assert taps <= MOST_TAPS
    segment = 16 if taps <= 17 else 32
    return {"TAPS": taps, "SEGMENT": segment, "READ": 2 * segment, "ROWS": ROWS}
