"""Half-precision convolutions in float32, for processors without instructions for the type.

There oneDNN computes bfloat16 and float16 element by element, up to 80 times slower than float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from striate.depthwise.problem import Operator, Problem


def forward(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None,
    problem: Problem,
) -> Float[Tensor, "n c *out"]:
    """The convolution."""
    return _in_float32("forward", problem, x, weight, bias)


def input_gradient(
    grad: Float[Tensor, "n c *out"], weight: Float[Tensor, "c 1 *kernel"], problem: Problem
) -> Float[Tensor, "n c *space"]:
    """Its gradient with respect to the input."""
    return _in_float32("input_gradient", problem, grad, weight)


def weight_gradient(
    grad: Float[Tensor, "n c *out"], x: Float[Tensor, "n c *space"], problem: Problem
) -> Float[Tensor, "c 1 *kernel"]:
    """Its gradient with respect to the weight."""
    return _in_float32("weight_gradient", problem, grad, x)


def _in_float32(operator: Operator, problem: Problem, *tensors: Tensor | None) -> Tensor:
    """The kernel chosen for float32, its result rounded."""
    from striate.depthwise.dispatch import choose  # it lists this module's functions

    wide = replace(problem, dtype=torch.float32)
    arguments: list[Any] = [None if t is None else t.float() for t in tensors]
    result: Tensor = choose(operator, wide).run(*arguments, wide)
    return result.to(problem.dtype)
