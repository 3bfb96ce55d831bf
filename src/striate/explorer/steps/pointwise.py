"""How a layer computes one number from the same place: norms, functions, sums of branches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.analysis import Calculation
from striate.explorer.grid import values_of
from striate.explorer.numbers import packed
from striate.explorer.onnx.modules import WithConstant
from striate.models.lenet import ScaledTanh

Function = Callable[[float], float]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


FUNCTIONS: Final[dict[type[nn.Module], tuple[str, Function]]] = {
    nn.ReLU: ("max(0, x)", lambda x: max(0.0, x)),
    nn.ReLU6: ("min(max(0, x), 6)", lambda x: _clip(x, 0, 6)),
    nn.SiLU: ("x · sigmoid(x)", lambda x: x * _sigmoid(x)),
    nn.Sigmoid: ("1 / (1 + exp(−x))", _sigmoid),
    nn.Tanh: ("tanh(x)", math.tanh),
    nn.Hardswish: ("x · min(max(0, x + 3), 6) / 6", lambda x: x * _clip(x + 3, 0, 6) / 6),
    nn.Hardsigmoid: ("min(max(0, x + 3), 6) / 6", lambda x: _clip(x + 3, 0, 6) / 6),
    ScaledTanh: ("1.7159 · tanh(2 x / 3)", lambda x: 1.7159 * math.tanh(2 / 3 * x)),
}
"""Formula and function of activations without settings."""


def activation(module: nn.Module) -> tuple[str, Function] | None:
    """Formula and function of an activation; None where the module is none that is known."""
    if type(module) is nn.GELU and module.approximate == "none":
        return (
            "x · Φ(x), Φ of the normal distribution",
            lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
        )
    if type(module) is nn.LeakyReLU:
        slope = float(module.negative_slope)
        return f"x if x > 0, else {slope:g} x", lambda x: x if x > 0 else slope * x
    if type(module) is nn.ELU:
        alpha = float(module.alpha)
        return (
            f"x if x > 0, else {alpha:g} (exp(x) − 1)",
            lambda x: x if x > 0 else alpha * math.expm1(x),
        )
    if type(module) is nn.Hardtanh:
        low, high = float(module.min_val), float(module.max_val)
        return f"min(max(x, {low:g}), {high:g})", lambda x: _clip(x, low, high)
    return FUNCTIONS.get(type(module))


def applied(formula: str, function: Function, x: float) -> dict[str, Any]:
    """A function of one number."""
    return {"form": "function", "formula": formula, "x": x, "result": function(x)}


def batch_norm(norm: Any, channel: int, x: float) -> dict[str, Any]:
    """The norm by the mean and the variance of a channel over training items."""
    mean, variance = norm.running_mean[channel].item(), norm.running_var[channel].item()
    scale = 1.0 if norm.weight is None else norm.weight[channel].item()
    shift = 0.0 if norm.bias is None else norm.bias[channel].item()
    return _normalized(
        x, mean, variance, float(norm.eps), scale, shift, "this channel over the training items"
    )


def layer_norm(norm: nn.LayerNorm, vector: NDArray[Any], channel: int) -> dict[str, Any]:
    """The norm by the mean and the variance of all channels at one place."""
    values = vector.astype(np.float64)
    scale = 1.0 if norm.weight is None else norm.weight[channel].item()
    shift = 0.0 if norm.bias is None else norm.bias[channel].item()
    found = _normalized(
        float(vector[channel]),
        float(values.mean()),
        float(values.var()),
        float(norm.eps),
        scale,
        shift,
        f"the {len(vector)} channels at this place",
    )
    return {**found, "vector": packed(vector)}


def _normalized(
    x: float, mean: float, variance: float, epsilon: float, scale: float, shift: float, over: str
) -> dict[str, Any]:
    return {
        "form": "norm",
        "x": x,
        "mean": mean,
        "variance": variance,
        "epsilon": epsilon,
        "scale": scale,
        "shift": shift,
        "over": over,
        "result": (x - mean) / math.sqrt(variance + epsilon) * scale + shift,
    }


def terms(calculation: Calculation, operation: str, place: Sequence[int]) -> dict[str, Any]:
    """The numbers that a function adds or multiplies, each from its operand.

    Args:
        calculation: The call of the function.
        operation: "add", "subtract", "multiply" or "divide".
        place: Index of the number in the output, without the batch.
    """
    found = [
        {"value": _broadcast(operand, place, calculation.output), "node": _only(sources)}
        for operand, sources in zip(calculation.operands, calculation.sources, strict=True)
    ]
    return _of_terms(operation, found)


def with_constant(
    calculation: Calculation, module: WithConstant, place: Sequence[int]
) -> dict[str, Any]:
    """The number of the operand and the constant at its place, added, multiplied or divided.

    Args:
        calculation: The call of the layer.
        module: The layer.
        place: Index of the number in the output, without the batch.
    """
    found = [
        {"value": _broadcast(tensor, place, calculation.output), "node": node}
        for tensor, node in (
            (calculation.operands[0], _only(calculation.sources[0])),
            (module.constant, None),
        )
    ]
    return _of_terms(module.operation, found[::-1] if module.comes_first else found)


def _of_terms(operation: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    values = [term["value"] or 0.0 for term in found]
    results = {"add": math.fsum, "subtract": _less, "multiply": math.prod, "divide": _quotient}
    result = results[operation](values)
    return {"form": "terms", "operation": operation, "terms": found, "result": result}


def _quotient(values: Sequence[float]) -> float:
    """The first value over the second."""
    return values[0] / values[1] if values[1] else math.nan


def _less(values: Sequence[float]) -> float:
    """The first value less the others."""
    return values[0] - math.fsum(values[1:])


def joined(calculation: Calculation, place: Sequence[int]) -> dict[str, Any]:
    """The operand of a concatenation that holds a number, and where."""
    axis = int(calculation.arguments.get("dim", 0)) % calculation.output.ndim - 1
    left = place[axis]
    for operand, sources in zip(calculation.operands, calculation.sources, strict=True):
        size = operand.shape[axis + 1]
        if left < size:
            index = (*place[:axis], left, *place[axis + 1 :])
            value = float(values_of(operand)[index])
            return {"form": "copy", "from": _only(sources), "index": list(index), "result": value}
        left -= size
    raise IndexError(place)


def stacked(calculation: Calculation, place: Sequence[int]) -> dict[str, Any]:
    """The operand that became one place of a new axis, and where in it a number is."""
    axis = int(calculation.arguments["dim"]) % calculation.output.ndim - 1
    number = place[axis]
    index = (*place[:axis], *place[axis + 1 :])
    value = float(values_of(calculation.operands[number])[index])
    node = _only(calculation.sources[number])
    return {"form": "copy", "from": node, "index": list(index), "result": value}


def copied(calculation: Calculation, place: Sequence[int]) -> dict[str, Any]:
    """The number of the operand that is handed on, in another arrangement or as it is."""
    given, made = calculation.operands[0], calculation.output
    flat = int(np.ravel_multi_index(tuple(place), tuple(made.shape[1:])))
    index = [int(i) for i in np.unravel_index(flat, tuple(given.shape[1:]))]
    value = float(values_of(given)[tuple(index)])
    node = _only(calculation.sources[0])
    return {"form": "copy", "from": node, "index": index, "result": value}


def _broadcast(operand: Tensor, place: Sequence[int], output: Tensor) -> float:
    """The value of an operand that takes part in one number of the output."""
    return float(operand.expand(output.shape)[(0, *place)].item())


def _only(sources: Sequence[int]) -> int | None:
    """The one layer that an operand came from; None for a parameter or several."""
    return sources[0] if len(sources) == 1 else None
