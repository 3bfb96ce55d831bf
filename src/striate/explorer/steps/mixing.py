"""How a layer computes a number from all tokens, or from all training items that it compares with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.analysis import Calculation
from striate.explorer.grid import values_of
from striate.explorer.numbers import packed
from striate.nn.kernel_head import KernelHead, standardize


def product(calculation: Calculation, channel: int, position: Sequence[int]) -> dict[str, Any]:
    """One number of a product of matrices: a row of the first, a column of the second, their sum.

    Args:
        calculation: The product of two matrices, or of one for each head.
        channel: The head; of a product of two matrices the column.
        position: Row and column of the head's product; empty in a product of two matrices.
    """
    if len(calculation.operands) != 2:
        return {"form": "none", "why": "a sum of products of matrices is not shown"}
    first, second = (operand.detach().float().cpu().numpy() for operand in calculation.operands)
    if first.ndim == 2 and len(first) != 1:
        return {"form": "none", "why": "a product with several rows is not shown"}
    row = first[0] if first.ndim == 2 else first[channel, position[0]]
    column = second[:, channel] if first.ndim == 2 else second[channel, :, position[1]]
    return _dot(row, column, 1.0, ("first", "second"))


def scores(calculation: Calculation, head: int, position: Sequence[int]) -> dict[str, Any]:
    """How well a token's query suits another's key: q · k / √d, d the numbers of each.

    Torch multiplies both by the fourth root of 1 / d before it multiplies them with each other.

    Args:
        calculation: The product of all queries and keys, divided already.
        head: The head.
        position: The token that asks, and the one that is asked.
    """
    queries, keys = (operand.detach().float().cpu().numpy() for operand in calculation.operands)
    query, key = queries[head, position[0]], keys[head, :, position[1]]
    root = math.sqrt(len(query))
    scale = math.sqrt(root)
    return _dot(query * scale, key * scale, root, ("query", "key"))


def _dot(
    first: NDArray[Any], second: NDArray[Any], divisor: float, names: tuple[str, str]
) -> dict[str, Any]:
    total = float((first.astype(np.float64) * second).sum())
    return {
        "form": "dot",
        "window": packed(first),
        "kernel": packed(second),
        "names": list(names),
        "sum": total,
        "divisor": divisor,
        "result": total / divisor,
    }


def attention(
    calculation: Calculation, scored: Calculation, head: int, position: Sequence[int]
) -> dict[str, Any]:
    """What a token takes from all tokens: softmax of its scores, and their values by these weights.

    Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762, section 3.2.1.

    Args:
        calculation: The product of the weights and the values of all tokens.
        scored: The scores that the weights are the softmax of.
        head: The head.
        position: The token that takes, and which of the numbers of the head.
    """
    token, number = position
    given = scored.output[head, token].detach().double().cpu().numpy()
    values = calculation.operands[1][head, :, number].detach().double().cpu().numpy()
    powers = np.exp(given - given.max())
    weights = powers / powers.sum()
    return {
        "form": "attention",
        "token": token,
        "number": number,
        "scores": packed(given),
        "powers": packed(powers),
        "power": float(powers.sum()),
        "weights": packed(weights),
        "values": packed(values),
        "result": float((weights * values).sum()),
    }


def softmax(given: NDArray[Any], axis: int, place: tuple[int, ...]) -> dict[str, Any]:
    """The share that one of several scores has: its exponential over the sum of all.

    Args:
        given: The scores.
        axis: The axis along which they lie.
        place: The place of the one.
    """
    others = (*place[:axis], *place[axis + 1 :])
    row = np.moveaxis(given, axis, -1)[others].astype(np.float64)
    powers = np.exp(row - row.max())
    number = place[axis]
    return {
        "form": "softmax",
        "number": number,
        "scores": packed(row),
        "powers": packed(powers),
        "weights": packed(powers / powers.sum()),
        "power": float(powers.sum()),
        "result": float(powers[number] / powers.sum()),
    }


def kernel(
    calculation: Calculation, head: KernelHead, features: Tensor, channel: int
) -> dict[str, Any]:
    """A logit of a kernel machine: how far each landmark is, how similar it is, and what it adds.

    Args:
        calculation: The linear layer on the similarities.
        head: The kernel, the landmarks and the standardization.
        features: (1, f) What the head was called with.
        channel: The logit.
    """
    compared = features.detach().double()[:, : len(head.shift)]
    standardized = standardize(compared, head.shift.double(), head.scale.double())
    differences = head.difference(standardized, head.landmarks.double())[0].cpu().numpy()
    gamma = head.gamma.item()
    similarities = np.exp(-gamma * differences)
    weights = values_of(head.linear.weight[channel][None])
    bias = head.linear.bias[channel].item()
    total = float((similarities * weights).sum())
    return {
        "form": "kernel",
        "kernel_name": head.kernel,
        "features": compared.shape[1],
        "gamma": gamma,
        "differences": packed(differences),
        "similarities": packed(similarities),
        "weights": packed(weights),
        "sum": total,
        "bias": bias,
        "result": total + bias,
    }
