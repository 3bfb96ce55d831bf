"""The depthwise convolution and its gradients in plain torch: any rank, any type, always right."""

from __future__ import annotations

from itertools import product
from math import prod

import torch.nn.functional as F
from torch import Tensor

from striate.depthwise.problem import Bias, Input, Output, Problem, Weight


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """The sum over the taps of each window, written with `unfold`."""
    taps = weight.flatten(1).unsqueeze(0)
    y = (_windows(x, problem) * taps.unsqueeze(2)).sum(-1).reshape(problem.y_shape)
    return y if bias is None else y + bias.view(-1, *(1,) * problem.rank)


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """Every tap's share, added where the tap read."""
    total = grad.new_zeros(*grad.shape[:2], *problem.padded_space)
    for index, tap in enumerate(product(*map(range, problem.kernel_size))):
        reads = tuple(_reads(problem, axis, t) for axis, t in enumerate(tap))
        share = grad * weight[:, 0].flatten(1)[:, index].view(-1, *(1,) * problem.rank)
        total[(slice(None), slice(None), *reads)] += share
    return total[problem.inside]


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """The sum over items and positions of every window times its output's gradient."""
    total = (_windows(x, problem) * grad.flatten(2).unsqueeze(-1)).sum((0, 2))
    return total.view(problem.weight_shape)


def _windows(x: Tensor, problem: Problem) -> Tensor:
    """The input as (n, c, outputs, taps)."""
    x = F.pad(x, problem.pads)
    for axis, window in enumerate(problem.windows):
        x = x.unfold(2 + axis, window.extent, window.stride)[..., :: window.dilation]
    return x.reshape(*x.shape[:2], prod(problem.out_space), prod(problem.kernel_size))


def _reads(problem: Problem, axis: int, tap: int) -> slice:
    """Positions of the padded input that one tap reads along one axis."""
    window = problem.windows[axis]
    start = tap * window.dilation
    return slice(start, start + (problem.out_space[axis] - 1) * window.stride + 1, window.stride)
