"""Depthwise convolution, one filter a channel, in one, two and three dimensions.

The same call everywhere: the kernels that were measured to be faster than torch's own convolution
on such shapes compute it, forward or backward, and torch's convolution does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from striate.depthwise import operators, torch_native
from striate.depthwise.dispatch import ACCELERATED, TORCH, choose
from striate.depthwise.problem import OPERATORS, Problem, is_channels_last, problem_of
from striate.geometry import Padding

_ONLY_TORCH: Final = ContextVar("only_torch", default=False)


@contextmanager
def left_to_torch() -> Iterator[None]:
    """Let torch's own convolution compute every depthwise one meanwhile, where none is asked for.

    Other kernels must be imported or compiled first, which takes longer than they save on a few
    inputs. The results are the same but for rounding.
    """
    token = _ONLY_TORCH.set(True)
    try:
        yield
    finally:
        _ONLY_TORCH.reset(token)


def depthwise(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = "same",
    dilation: int | Sequence[int] = 1,
    *,
    implementation: str | None = None,
) -> Float[Tensor, "n c *out"]:
    """Convolve every channel with a filter of its own.

    Where a kernel other than torch's computes it, it can be differentiated once.

    Args:
        x: The input, with 1, 2 or 3 spatial axes.
        weight: One filter for each channel.
        bias: A number that is added to each channel.
        stride: Positions from one output to the next, for all axes or for each.
        padding: `same`, `same_lower`, `valid`, `causal`, a number, or for each axis a name, a
            number or (low, high); see `striate.geometry.plan_windows`.
        dilation: Distance between taps, for all axes or for each.
        implementation: Name of the kernels that must compute it (`striate kernels` lists them).
            None takes the fastest that is known.

    Raises:
        ArgumentError: The shapes do not fit, or the implementation cannot compute this.
    """
    device_type = x.device.type
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        x, weight = _cast(x, dtype), _cast(weight, dtype)
        bias = None if bias is None else _cast(bias, dtype)
    if torch.compiler.is_compiling():
        return _traced(x, weight, bias, stride, padding, dilation, implementation)
    problem = _problem(
        tuple(x.shape), tuple(weight.shape), _hashable(stride), _hashable(padding),
        _hashable(dilation), x.dtype, device_type, is_channels_last(x),
    )  # fmt: skip
    if implementation is None and (
        _ONLY_TORCH.get() or _is_left_to_torch(problem) or not _is_plain(x, weight)
    ):
        return torch_native.forward(x, weight, bias, problem)
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, weight, bias)
    ):
        result: Tensor = _Depthwise.apply(x, weight, bias, problem, implementation)
        return result
    y: Tensor = choose("forward", problem, implementation).run(x, weight, bias, problem)
    return y


def torch_is_fastest(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
) -> bool:
    """Whether `depthwise` leaves the outputs of such a call to torch's own convolution.

    Args:
        x: The input.
        weight: A filter for each channel.
        stride: See `depthwise`.
        padding: See `depthwise`.
        dilation: See `depthwise`.

    Raises:
        ArgumentError: The shapes do not fit.
    """
    problem = problem_of(
        tuple(x.shape), tuple(weight.shape), stride, padding, dilation, x.dtype, x.device.type,
        is_channels_last(x),
    )  # fmt: skip
    return choose("forward", problem) is TORCH["forward"]


def _traced(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
    implementation: str | None,
) -> Tensor:
    """The convolution as a compiler sees it: an operator of ours where it may be faster, or torch's."""
    problem = problem_of(
        tuple(x.shape), tuple(weight.shape), stride, padding, dilation, x.dtype, x.device.type, False
    )  # fmt: skip
    gains = x.device.type in ACCELERATED or implementation is not None
    # A file for other engines must not name operators that only Striate has.
    if not gains or torch.compiler.is_exporting():
        return torch_native.forward(x, weight, bias, problem)
    low, high = ([getattr(w, end) for w in problem.windows] for end in ("low", "high"))
    y: Tensor = operators.depthwise(
        x, weight, bias, list(problem.stride), low, high, list(problem.dilation), implementation
    )
    return y


class _Depthwise(torch.autograd.Function):
    """Forward and gradients, each by the kernel chosen for it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        problem: Problem,
        implementation: str | None,
    ) -> Tensor:
        ctx.problem, ctx.implementation = problem, implementation
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        y: Tensor = choose("forward", problem, implementation).run(x, weight, bias, problem)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        problem, implementation = ctx.problem, ctx.implementation
        grad = grad.contiguous(memory_format=problem.memory_format)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            kernel = choose("input_gradient", problem, implementation)
            grad_x = kernel.run(grad, weight, problem)
        if ctx.needs_input_grad[1]:
            kernel = choose("weight_gradient", problem, implementation)
            grad_weight = kernel.run(grad, x, problem)
        if ctx.needs_input_grad[2]:
            grad_bias = torch_native.bias_gradient(grad)
        return grad_x, grad_weight, grad_bias, None, None


_problem = lru_cache(maxsize=4096)(problem_of)


def _hashable(value: Any) -> Any:
    """Lists as tuples, so that a call can be looked up."""
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """What autocast does before a convolution: float64 stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _is_plain(*tensors: Tensor) -> bool:
    """Whether kernels may read the memory: no subclass, and no transform of torch.func at work."""
    plain = all(type(tensor) in (Tensor, Parameter) for tensor in tensors)
    return plain and not torch._C._are_functorch_transforms_active()


@lru_cache(maxsize=4096)
def _is_left_to_torch(problem: Problem) -> bool:
    # What torch gets wrong goes through our gradients, which put it right.
    return not torch_native.errs(problem) and all(
        choose(operator, problem) is TORCH[operator] for operator in OPERATORS
    )
