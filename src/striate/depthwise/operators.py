"""The depthwise convolution as operators of torch's library: what torch.compile puts into a graph.

Windows are given as four lists, one number for each axis. The kernels are chosen when an operator
runs, so that a graph compiled once serves every size.
"""

# torch.library's decorators carry no types.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from striate.depthwise import torch_native as vendor
from striate.depthwise.dispatch import choose
from striate.depthwise.problem import MEMORY_FORMATS, Problem
from striate.geometry import Window

_WINDOWS: Final = "int[] stride, int[] low, int[] high, int[] dilation, str? implementation"

_custom_op: Final[Any] = torch.library.custom_op


def problem_of(
    x: Tensor,
    kernel_size: tuple[int, ...],
    stride: list[int],
    low: list[int],
    high: list[int],
    dilation: list[int],
) -> Problem:
    """The problem of an input and its windows.

    Raises:
        ArgumentError: a window is out of range.
    """
    axes = zip(kernel_size, stride, dilation, low, high, strict=True)
    return Problem(
        batch=x.shape[0],
        channels=x.shape[1],
        space=tuple(x.shape[2:]),
        windows=tuple(
            Window(kernel_size=k, stride=s, dilation=d, low=lo, high=hi) for k, s, d, lo, hi in axes
        ),
        dtype=x.dtype,
        device_type=x.device.type,
        channels_last=is_channels_last(x),
    )


def is_channels_last(x: Tensor) -> bool:
    """Whether channels are innermost in memory."""
    memory_format = MEMORY_FORMATS.get(x.ndim - 2)
    return memory_format is not None and x.is_contiguous(memory_format=memory_format)


@_custom_op(
    "striate::depthwise",
    mutates_args=(),
    schema=f"(Tensor x, Tensor weight, Tensor? bias, {_WINDOWS}) -> Tensor",
)
def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, *windows: Any) -> Tensor:
    """The convolution."""
    *sizes, implementation = windows
    problem = problem_of(x, tuple(weight.shape[2:]), *sizes)
    y = choose("forward", problem, implementation).run(x, weight, bias, problem)
    return _own(y, problem)


@_custom_op(
    "striate::depthwise_input_gradient",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, Tensor weight, {_WINDOWS}) -> Tensor",
)
def depthwise_input_gradient(grad: Tensor, x: Tensor, weight: Tensor, *windows: Any) -> Tensor:
    """Its gradient with respect to the input, of which only shape and layout are read."""
    *sizes, implementation = windows
    problem = problem_of(x, tuple(weight.shape[2:]), *sizes)
    grad = grad.contiguous(memory_format=problem.memory_format)
    kernel = choose("input_gradient", problem, implementation)
    return _own(kernel.run(grad, weight, problem), problem)


@_custom_op(
    "striate::depthwise_weight_gradient",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, int[] kernel_size, {_WINDOWS}) -> Tensor",
)
def depthwise_weight_gradient(
    grad: Tensor, x: Tensor, kernel_size: list[int], *windows: Any
) -> Tensor:
    """Its gradient with respect to the weight."""
    *sizes, implementation = windows
    problem = problem_of(x, tuple(kernel_size), *sizes)
    grad = grad.contiguous(memory_format=problem.memory_format)
    gradient: Tensor = choose("weight_gradient", problem, implementation).run(grad, x, problem)
    return gradient.contiguous()


@depthwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, *windows: Any) -> Tensor:
    problem = problem_of(x, tuple(weight.shape[2:]), *windows[:4])
    return x.new_empty(problem.y_shape).contiguous(memory_format=problem.memory_format)


@depthwise_input_gradient.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, *windows: Any) -> Tensor:
    problem = problem_of(x, tuple(weight.shape[2:]), *windows[:4])
    return grad.new_empty(problem.x_shape).contiguous(memory_format=problem.memory_format)


@depthwise_weight_gradient.register_fake
def _(grad: Tensor, x: Tensor, kernel_size: list[int], *windows: Any) -> Tensor:
    return x.new_empty((x.shape[1], 1, *kernel_size))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.windows = inputs
    ctx.save_for_backward(x, weight)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    grad_x = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        grad_x = depthwise_input_gradient(grad, x, weight, *ctx.windows)
    if ctx.needs_input_grad[1]:
        grad_weight = depthwise_weight_gradient(grad, x, list(weight.shape[2:]), *ctx.windows)
    if ctx.needs_input_grad[2]:
        grad_bias = vendor.bias_gradient(grad)
    return grad_x, grad_weight, grad_bias, *(None,) * len(ctx.windows)


depthwise.register_autograd(_gradients, setup_context=_keep)


def _own(result: Tensor, problem: Problem) -> Tensor:
    """The result in the layout of the input, whichever kernel made it."""
    return result.contiguous(memory_format=problem.memory_format)
