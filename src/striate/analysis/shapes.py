"""Shapes of common operators on the meta device, without torch's compiler.

Torch computes the shapes of these operators in Python, and loads its compiler to do so: seconds,
once in a process. What is not here is left to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor


def shaped(func: Any, arguments: Mapping[str, Any]) -> Any:
    """What `func` gives for tensors on the meta device; None where that is left to torch.

    Args:
        func: One of torch's operators.
        arguments: Its arguments by the names of its schema, defaults filled in.
    """
    name = func.overloadpacket.__name__.removesuffix("_")
    rule = SHAPES.get(name)
    tensors = [value for value in arguments.values() if isinstance(value, Tensor)]
    if rule is None or not tensors or not all(_is_like(t, tensors[0]) for t in tensors):
        return None
    if func._schema.is_mutable:
        return arguments["self"] if rule is _elementwise else None
    return rule(arguments, tensors)


def _is_like(tensor: Tensor, first: Tensor) -> bool:
    return tensor.is_meta and tensor.is_floating_point() and tensor.dtype == first.dtype


def _elementwise(_: Mapping[str, Any], tensors: list[Tensor]) -> Tensor:
    """Each place from the same place of every tensor, broadcast."""
    shape = np.broadcast_shapes(*(tuple(t.shape) for t in tensors))
    like = next((t for t in tensors if tuple(t.shape) == shape), None)
    return _empty(shape, tensors[0]) if like is None else _empty_like(like)


def _mean(arguments: Mapping[str, Any], tensors: list[Tensor]) -> Tensor | None:
    x = tensors[0]
    if arguments.get("dtype") is not None or not arguments.get("dim"):
        return None
    gone = {d % x.ndim for d in arguments["dim"]}
    if arguments["keepdim"]:
        return _empty((1 if i in gone else n for i, n in enumerate(x.shape)), x)
    return _empty((n for i, n in enumerate(x.shape) if i not in gone), x)


def _batch_norm(arguments: Mapping[str, Any], tensors: list[Tensor]) -> Any:
    """The norm by the statistics that are kept: those of the batch come out empty."""
    if arguments.get("training"):
        return None
    x = tensors[0]
    return _empty_like(x), _empty((0,), x), _empty((0,), x)


def _layer_norm(arguments: Mapping[str, Any], tensors: list[Tensor]) -> Any:
    x = tensors[0]
    last = len(arguments["normalized_shape"])
    shape = (*x.shape[: x.ndim - last], *(1,) * last)
    return _empty_like(x), _empty(shape, x), _empty(shape, x)


def _addmm(arguments: Mapping[str, Any], tensors: list[Tensor]) -> Tensor:
    rows, columns = arguments["mat1"].shape[0], arguments["mat2"].shape[1]
    return _empty((rows, columns), tensors[0])


def _empty(shape: Any, like: Tensor) -> Tensor:
    return torch.empty(tuple(shape), dtype=like.dtype, device="meta")


def _empty_like(tensor: Tensor) -> Tensor:
    """A tensor with the strides of one that fills its memory, else laid out as a new one."""
    fills = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    if fills and 0 not in tensor.stride():
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return _empty(tensor.shape, tensor)


SHAPES: Final[dict[str, Callable[[Mapping[str, Any], list[Tensor]], Any]]] = {
    **dict.fromkeys(
        (
            "abs", "add", "div", "elu", "exp", "gelu", "hardsigmoid", "hardswish", "hardtanh",
            "leaky_relu", "mish", "mul", "neg", "relu", "rsqrt", "sigmoid", "silu", "softplus",
            "sqrt", "sub", "tanh",
        ),
        _elementwise,
    ),
    "mean": _mean,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    "native_layer_norm": _layer_norm,
    "addmm": _addmm,
}  # fmt: skip
"""Rules by the operator's name without overload and `_`."""
