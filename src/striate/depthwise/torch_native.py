"""The depthwise convolution by torch's own convolution: what runs where nothing of ours is faster.

torch pads both ends of an axis alike; unequal ends are padded first, and cropped in the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.depthwise.problem import Bias, Input, Output, Problem, Weight

_CONVOLVE: Final = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """`F.conv1d`, `F.conv2d` or `F.conv3d`, one group for each channel."""
    padding = _padding(problem)
    return convolve(_padded(x, problem), weight, bias, problem.stride, padding, problem.dilation)


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """torch's gradient with respect to the input."""
    space = problem.space if problem.pads_alike else problem.padded_space
    # torch asks for an input only for its shape, type and layout.
    x = grad.new_empty((*grad.shape[:2], *space)).to(memory_format=problem.memory_format)
    total = _backward(grad, x, weight, problem, wants_input=True)
    return total if problem.pads_alike else total[problem.inside]


def errs(problem: Problem) -> bool:
    """Whether torch's gradient of the weight is wrong with channels innermost.

    So it is, with torch 2.14.1, in bfloat16 on processors with AVX512-BF16, where the kernel is
    dilated or larger than the map: off by more than its own size, or not finite.
    """
    narrow = problem.device_type == "cpu" and problem.dtype == torch.bfloat16
    sizes = zip(problem.space, problem.kernel_size, strict=True)
    odd = max(problem.dilation) > 1 or any(size < taps for size, taps in sizes)
    return narrow and problem.channels_last and odd


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """torch's gradient with respect to the weight, in float32 where its own would be wrong."""
    dtype = x.dtype
    if errs(problem):
        grad, x = grad.float(), x.float()
    weight = x.new_empty(problem.weight_shape)
    return _backward(grad, _padded(x, problem), weight, problem, wants_input=False).to(dtype)


def bias_gradient(grad: Output) -> Bias:
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
    grad: Tensor, x: Tensor, weight: Tensor, problem: Problem, *, wants_input: bool
) -> Tensor:
    """One of the two gradients of torch's convolution."""
    gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, problem.stride, _padding(problem), problem.dilation, False,
        (0,) * problem.rank, problem.channels, (wants_input, not wants_input, False),
    )  # fmt: skip
    return gradients[0] if wants_input else gradients[1]


def _padded(x: Tensor, problem: Problem) -> Tensor:
    """The input padded where torch cannot."""
    return x if problem.pads_alike else F.pad(x, problem.pads)


def _padding(problem: Problem) -> tuple[int, ...]:
    """What is left for torch to pad, at both ends of each axis."""
    return tuple(window.low if problem.pads_alike else 0 for window in problem.windows)
