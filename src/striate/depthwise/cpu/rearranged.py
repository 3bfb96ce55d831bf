"""The CPU's convolutions through those cases for which oneDNN has fast code.

oneDNN computes most forward convolutions near the limit of the processor, and their gradients up
to 60 times slower. Each operator here is an exact rearrangement of one of its fast cases:

- A forward convolution in 1-D with many taps is the transposed one with the taps in reverse.
- The gradient of the input is a forward convolution of the output's gradient, with zeros put
  between its positions where the stride is more than one, and with the taps in reverse order.
- The gradient of the weight is fast in 2-D for kernels at most three taps wide, of any height. A
  wider kernel is cut into strips of two or three columns, each a gradient of its own; a 1-D kernel
  is one column; a 3-D kernel is one plane for each tap along the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.depthwise import torch_native
from striate.depthwise.problem import Bias, Input, Output, Problem, Weight
from striate.geometry import Window

WIDEST_STRIP = 3
"""Columns beyond which oneDNN's gradient of the weight falls off its fast path."""


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """A transposed convolution with the taps in reverse order, in 1-D with a stride of one."""
    (window,) = problem.windows
    margin = window.extent - 1
    # The transposed convolution makes `margin` outputs more than inputs; those to drop at each end:
    low, high = margin - window.low, margin - window.high
    x = F.pad(x, (max(-low, 0), max(-high, 0))) if min(low, high) < 0 else x
    low, high = max(low, 0), max(high, 0)
    both = min(low, high)
    y = F.conv_transpose1d(
        x, weight.flip(2), bias, padding=both, groups=problem.channels, dilation=window.dilation
    )
    return y if low == high else y[..., low - both : y.shape[-1] - (high - both)].contiguous()


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """A forward convolution with the taps in reverse order."""
    flipped = weight.flip(tuple(range(2, weight.ndim)))
    ones = (1,) * problem.rank
    margins = [window.extent - 1 - window.low for window in problem.windows]
    ends = [window.extent - 1 - window.high for window in problem.windows]
    if max(problem.stride) == 1 and margins == ends and min(margins) >= 0:
        return torch_native.convolve(grad, flipped, None, ones, margins, problem.dilation)
    spread = _spread(grad, problem)
    return torch_native.convolve(spread, flipped, None, ones, (0,) * problem.rank, problem.dilation)


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """The gradients of strips of the kernel, put together."""
    if problem.rank == 1:
        column = replace(
            problem,
            space=(*problem.space, 1),
            windows=(*problem.windows, Window(kernel_size=1)),
        )
        return _strips(grad.unsqueeze(-1), x.unsqueeze(-1), column).squeeze(-1)
    return _strips(grad, x, problem)


def strip_widths(kernel_size: int) -> list[int]:
    """The fewest strips of at most three columns, as equal as can be.

    >>> strip_widths(7), strip_widths(5), strip_widths(3)
    ([3, 2, 2], [3, 2], [3])
    """
    count = -(-kernel_size // WIDEST_STRIP)
    return [kernel_size // count + (i < kernel_size % count) for i in range(count)]


def _strips(grad: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """The gradient of the weight, a strip of columns at a time."""
    gradient = torch_native.weight_gradient if problem.rank == 2 else _planes
    columns = problem.windows[-1]
    starts = [-window.low for window in problem.windows]
    strips = []
    for width in strip_widths(columns.kernel_size):
        windows = tuple(
            Window(kernel_size=k, stride=w.stride, dilation=w.dilation)
            for k, w in zip((*problem.kernel_size[:-1], width), problem.windows, strict=True)
        )
        pairs = zip(windows, problem.out_space, strict=True)
        space = tuple((out - 1) * window.stride + window.extent for window, out in pairs)
        part = replace(problem, space=space, windows=windows)
        strips.append(gradient(grad, _section(x, starts, space), part))
        starts[-1] += width * columns.dilation
    return torch.cat(strips, dim=-1)


def _planes(grad: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """The gradient of a 3-D weight: for each tap along the depth, a 2-D one over all planes."""
    depth, *plane = problem.windows
    # Depth before items: what a tap reads is then a run of planes that needs no copy.
    x_dnchw, grad_dnchw = (t.permute(2, 0, 1, 3, 4).contiguous() for t in (x, grad))
    grad_planes = grad_dnchw.flatten(0, 1)
    part = replace(
        problem,
        batch=grad_planes.shape[0],
        space=problem.space[1:],
        windows=tuple(plane),
        channels_last=False,
    )
    taps = []
    for tap in range(depth.kernel_size):
        start = tap * depth.dilation
        stop = start + (problem.out_space[0] - 1) * depth.stride + 1
        planes = x_dnchw[start : stop : depth.stride].flatten(0, 1)
        taps.append(torch_native.weight_gradient(grad_planes, planes, part))
    return torch.stack(taps, dim=2)


def _section(x: Tensor, starts: Sequence[int], space: Sequence[int]) -> Tensor:
    """The box of `space` positions from `starts` on, with zeros outside the input."""
    inside = [slice(None)] * 2
    pads: list[int] = []
    for start, count, size in zip(starts, space, x.shape[2:], strict=True):
        begin = min(max(start, 0), size)
        end = max(min(start + count, size), begin)
        inside.append(slice(begin, end))
        before = max(0, min(-start, count))
        pads = [before, count - (end - begin) - before, *pads]
    section = x[tuple(inside)]
    return F.pad(section, pads) if any(pads) else section


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
