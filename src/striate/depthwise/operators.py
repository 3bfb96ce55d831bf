"""The depthwise convolution as operators of torch's library: what torch.compile puts into a graph.

Windows are given as four lists, one number for each axis. The kernels are chosen when an operator
runs, so that a graph compiled once serves every size.
"""

# torch.library's decorators carry no types.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from striate.depthwise.dispatch import choose
from striate.depthwise.problem import Problem, is_channels_last, problem_of
from striate.depthwise.torch_native import bias_gradient

_WINDOWS: Final = "int[] stride, int[] low, int[] high, int[] dilation, str? implementation"


def _operator(name: str, inputs: str) -> Any:
    """Make a function an operator of torch's library."""
    schema = f"({inputs}, {_WINDOWS}) -> Tensor"
    return torch.library.custom_op(f"striate::{name}", mutates_args=(), schema=schema)


def _problem(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: list[int],
    low: list[int],
    high: list[int],
    dilation: list[int],
) -> Problem:
    padding = tuple(zip(low, high, strict=True))
    shape, layout = (x.shape[1], 1, *kernel_size), is_channels_last(x)
    return problem_of(x.shape, shape, stride, padding, dilation, x.dtype, x.device.type, layout)


@_operator("depthwise", "Tensor x, Tensor weight, Tensor? bias")
def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, *windows: Any) -> Tensor:
    """The convolution."""
    *sizes, implementation = windows
    problem = _problem(x, weight.shape[2:], *sizes)
    y = choose("forward", problem, implementation).run(x, weight, bias, problem)
    return _own(y, problem)


@_operator("depthwise_input_gradient", "Tensor grad, Tensor x, Tensor weight")
def depthwise_input_gradient(grad: Tensor, x: Tensor, weight: Tensor, *windows: Any) -> Tensor:
    """Its gradient with respect to the input, of which only shape and layout are read."""
    *sizes, implementation = windows
    problem = _problem(x, weight.shape[2:], *sizes)
    grad = grad.contiguous(memory_format=problem.memory_format)
    kernel = choose("input_gradient", problem, implementation)
    return _own(kernel.run(grad, weight, problem), problem)


@_operator("depthwise_weight_gradient", "Tensor grad, Tensor x, int[] kernel_size")
def depthwise_weight_gradient(
    grad: Tensor, x: Tensor, kernel_size: list[int], *windows: Any
) -> Tensor:
    """Its gradient with respect to the weight."""
    *sizes, implementation = windows
    problem = _problem(x, kernel_size, *sizes)
    grad = grad.contiguous(memory_format=problem.memory_format)
    gradient: Tensor = choose("weight_gradient", problem, implementation).run(grad, x, problem)
    return gradient.contiguous()


@depthwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, *windows: Any) -> Tensor:
    problem = _problem(x, weight.shape[2:], *windows[:4])
    return x.new_empty(problem.y_shape).contiguous(memory_format=problem.memory_format)


@depthwise_input_gradient.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, *windows: Any) -> Tensor:
    problem = _problem(x, weight.shape[2:], *windows[:4])
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
        grad_bias = bias_gradient(grad)
    return grad_x, grad_weight, grad_bias, *(None,) * len(ctx.windows)


depthwise.register_autograd(_gradients, setup_context=_keep)


def _own(result: Tensor, problem: Problem) -> Tensor:
    """The result in the layout of the input, whichever kernel made it."""
    return result.contiguous(memory_format=problem.memory_format)
