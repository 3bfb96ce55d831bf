"""The depthwise convolution by torch's own convolution: what runs where nothing of ours is faster.

torch pads both ends of an axis alike; unequal ends are padded first, and cropped in the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.depthwise.problem import Problem

_CONVOLVE: Final = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def forward(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None,
    problem: Problem,
) -> Float[Tensor, "n c *out"]:
    """`F.conv1d`, `F.conv2d` or `F.conv3d`, one group for each channel."""
    x, padding = _padded(x, problem)
    return convolve(x, weight, bias, problem.stride, padding, problem.dilation)


def input_gradient(
    grad: Float[Tensor, "n c *out"], weight: Float[Tensor, "c 1 *kernel"], problem: Problem
) -> Float[Tensor, "n c *space"]:
    """torch's gradient with respect to the input."""
    sizes, padding = _padded_space(problem)
    # torch asks for an input only for its shape, type and layout.
    shape = (*grad.shape[:2], *sizes)
    x = grad.new_empty(shape).to(memory_format=problem.memory_format)
    total = _backward(grad, x, weight, problem.stride, padding, problem.dilation, wants_input=True)
    return total if problem.pads_alike else total[problem.inside]


def weight_gradient(
    grad: Float[Tensor, "n c *out"], x: Float[Tensor, "n c *space"], problem: Problem
) -> Float[Tensor, "c 1 *kernel"]:
    """torch's gradient with respect to the weight."""
    x, padding = _padded(x, problem)
    weight = x.new_empty(problem.weight_shape)
    return _backward(grad, x, weight, problem.stride, padding, problem.dilation, wants_input=False)


def bias_gradient(grad: Float[Tensor, "n c *out"]) -> Float[Tensor, " c"]:
    """The sum over items and positions, in float32."""
    axes = [0, *range(2, grad.ndim)]
    wide = torch.promote_types(grad.dtype, torch.float32)
    return grad.sum(axes, dtype=wide).to(grad.dtype)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """torch's convolution with one group for each channel, of the weight's rank."""
    run = _CONVOLVE[weight.ndim - 2]
    return run(x, weight, bias, stride, padding, dilation, weight.shape[0])


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    wants_input: bool,
) -> Tensor:
    """One of the two gradients of torch's convolution."""
    rank = weight.ndim - 2
    gradients = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, (0,) * rank, weight.shape[0],
        (wants_input, not wants_input, False),
    )  # fmt: skip
    result: Tensor = gradients[0] if wants_input else gradients[1]
    return result


def _padded(x: Tensor, problem: Problem) -> tuple[Tensor, tuple[int, ...]]:
    """The input padded where torch cannot, and what is left for torch to pad."""
    _, padding = _padded_space(problem)
    return x if problem.pads_alike else F.pad(x, problem.pads), padding


def _padded_space(problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the input that torch is given, and the padding that it adds to both ends."""
    if problem.pads_alike:
        return problem.space, tuple(window.low for window in problem.windows)
    return problem.padded_space, (0,) * problem.rank
