"""Gradients on the CPU through the convolutions for which oneDNN has fast code.

oneDNN computes the forward convolution near the limit of the processor, and its gradients up to
60 times slower for some shapes. Both gradients are exact rearrangements of its fast cases:

- The gradient of the input is a forward convolution of the output's gradient, with zeros put
  between its positions where the stride is more than one, and with the taps in reverse order.
- The gradient of the weight is fast for kernels at most three taps wide, of any height. A wider
  kernel is cut into strips of two or three columns, each a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.geometry import Window
from striate.kernels import vendor
from striate.kernels.problem import Problem

WIDEST_STRIP = 3
"""Columns from which oneDNN's gradient of the weight falls off its fast path."""


def input_gradient(
    grad: Float[Tensor, "n c *out"], weight: Float[Tensor, "c 1 *kernel"], problem: Problem
) -> Float[Tensor, "n c *space"]:
    """A forward convolution with the taps in reverse order."""
    flipped = weight.flip(tuple(range(2, weight.ndim)))
    ones = (1,) * problem.rank
    margins = [window.extent - 1 - window.low for window in problem.windows]
    ends = [window.extent - 1 - window.high for window in problem.windows]
    if max(problem.stride) == 1 and margins == ends and min(margins) >= 0:
        return vendor.convolve(grad, flipped, None, ones, margins, problem.dilation)
    spread = _spread(grad, problem)
    return vendor.convolve(spread, flipped, None, ones, (0,) * problem.rank, problem.dilation)


def weight_gradient(
    grad: Float[Tensor, "n c *out"], x: Float[Tensor, "n c *space"], problem: Problem
) -> Float[Tensor, "c 1 *kernel"]:
    """The gradients of strips of the kernel, side by side."""
    starts = [-window.low for window in problem.windows]
    columns = problem.windows[-1]
    strips = []
    for width in strip_widths(columns.kernel_size):
        windows = tuple(
            Window(kernel_size=k, stride=w.stride, dilation=w.dilation)
            for k, w in zip((*problem.kernel_size[:-1], width), problem.windows, strict=True)
        )
        pairs = zip(windows, problem.out_space, strict=True)
        space = tuple((out - 1) * window.stride + window.extent for window, out in pairs)
        part = replace(problem, space=space, windows=windows)
        strips.append(vendor.weight_gradient(grad, _section(x, starts, space), part))
        starts[-1] += width * columns.dilation
    return torch.cat(strips, dim=-1)


def strip_widths(kernel_size: int) -> list[int]:
    """The fewest strips of at most three columns, as equal as can be.

    >>> strip_widths(7), strip_widths(5), strip_widths(3)
    ([3, 2, 2], [3, 2], [3])
    """
    count = -(-kernel_size // WIDEST_STRIP)
    return [kernel_size // count + (i < kernel_size % count) for i in range(count)]


def _section(x: Tensor, starts: Sequence[int], space: Sequence[int]) -> Tensor:
    """The box of `space` positions from `starts` on, with zeros outside the input."""
    inside = [slice(None)] * 2
    pads: list[int] = []
    for start, count, size in zip(starts, space, x.shape[2:], strict=True):
        begin = min(max(start, 0), size)
        end = max(min(start + count, size), begin)
        inside.append(slice(begin, end))
        pads = [max(0, min(-start, count)), 0, *pads]
        pads[1] = count - (end - begin) - pads[0]
    return F.pad(x[tuple(inside)], pads)


def _spread(grad: Tensor, problem: Problem) -> Tensor:
    """`grad` with zeros between its positions and around it, as the reversed taps will read it."""
    space = [size + w.extent - 1 for size, w in zip(problem.space, problem.windows, strict=True)]
    shape = (*grad.shape[:2], *space)
    spread = torch.empty(shape, dtype=grad.dtype, memory_format=problem.memory_format).zero_()
    target = [slice(None)] * 2
    source = [slice(None)] * 2
    for size, window, out in zip(space, problem.windows, problem.out_space, strict=True):
        # Output o lies at position `offset + o * stride`; those beyond either end reach no input.
        offset = window.extent - 1 - window.low
        begin = max(0, -(offset // window.stride))
        end = min(out, (size - 1 - offset) // window.stride + 1)
        source.append(slice(begin, max(end, begin)))
        start = offset + begin * window.stride
        target.append(slice(start, start + max(end - begin, 0) * window.stride, window.stride))
    spread[tuple(target)] = grad[tuple(source)]
    return spread
