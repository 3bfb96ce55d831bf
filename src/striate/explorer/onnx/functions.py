"""Operators that are functions: arithmetic, reductions, and what arranges numbers anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Final

import torch
from torch import Tensor

from striate.explorer.onnx.call import (
    Call,
    Step,
    UncomputableError,
    float_tensor,
    pointwise,
    rule,
    value_of,
)
from striate.explorer.onnx.modules import WITH_CONSTANT, Pad

MAX_RANGE: Final = 10**7
"""Numbers of a range."""

_DTYPES: Final = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    11: torch.float64,
}
"""By their numbers in ONNX."""


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    whole = not (a.is_floating_point() or b.is_floating_point())
    return torch.div(a, b, rounding_mode="trunc" if whole else None)


def _mean(*tensors: Tensor) -> Tensor:
    return reduce(torch.add, tensors) / len(tensors)


_ARITHMETIC: Final[dict[str, Callable[..., Tensor]]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _quotient,
}


@rule(*_ARITHMETIC)
def _arithmetic(call: Call) -> Step:
    name = call.node.operator
    for here, other in ((0, 1), (1, 0)):
        constant = call.tensor(other)
        if call.is_constant(other) and not call.is_constant(here) and constant.is_floating_point():
            made = WITH_CONSTANT[name](constant, comes_first=other == 0)
            return Step(made, (here,))
    return Step(_ARITHMETIC[name], (0, 1))


pointwise(
    [
        ("Identity", lambda x: x),
        ("Abs", torch.abs),
        ("Neg", torch.neg),
        ("Exp", torch.exp),
        ("Log", torch.log),
        ("Sqrt", torch.sqrt),
        ("Erf", torch.erf),
        ("Reciprocal", torch.reciprocal),
        ("Floor", torch.floor),
        ("Ceil", torch.ceil),
        ("Round", torch.round),
        ("Sign", torch.sign),
        ("Sin", torch.sin),
        ("Cos", torch.cos),
        ("Not", torch.logical_not),
        ("And", torch.logical_and),
        ("Or", torch.logical_or),
        ("Equal", torch.eq),
        ("Less", torch.lt),
        ("LessOrEqual", torch.le),
        ("Greater", torch.gt),
        ("GreaterOrEqual", torch.ge),
        ("Pow", torch.pow),
        ("Where", torch.where),
        ("Sum", lambda *tensors: reduce(torch.add, tensors)),
        ("Mean", _mean),
        ("Max", lambda *tensors: reduce(torch.maximum, tensors)),
        ("Min", lambda *tensors: reduce(torch.minimum, tensors)),
    ]
)


_REDUCTIONS: Final[dict[str, Callable[..., Tensor]]] = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceL2": lambda x, axes, keepdim: torch.linalg.vector_norm(x, 2, axes, keepdim),
}


@rule(*_REDUCTIONS)
def _reduction(call: Call) -> Step:
    function, axes = _REDUCTIONS[call.node.operator], call.axes(1)
    if not axes and call.setting("noop_with_empty_axes", 0):
        return Step(lambda x: x)
    axes = sorted(axis % call.tensor(0).ndim for axis in axes) or list(range(call.tensor(0).ndim))
    keep = bool(call.setting("keepdims", 1))
    return Step(lambda x: function(x, axes, keepdim=keep))


@rule("Cast")
def _cast(call: Call) -> Step:
    dtype = _DTYPES.get(int(call.setting("to", 0)))
    if dtype is None:
        raise UncomputableError("it makes a type of numbers that is not computed here")
    return Step(lambda x: x.to(dtype))


@rule("Reshape")
def _reshape(call: Call) -> Step:
    x, wanted = call.tensor(0), call.integers(1)
    if not call.setting("allowzero", 0):
        if any(size == 0 and axis >= x.ndim for axis, size in enumerate(wanted)):
            raise UncomputableError("its shape keeps an axis that is not there")
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return Step(lambda x: x.reshape(wanted))


@rule("Transpose")
def _transpose(call: Call) -> Step:
    order = list(call.setting("perm", range(call.tensor(0).ndim - 1, -1, -1)))
    return Step(lambda x: x.permute(order))


@rule("Squeeze")
def _squeeze(call: Call) -> Step:
    x = call.tensor(0)
    axes = call.axes(1) or [axis for axis, size in enumerate(x.shape) if size == 1]
    return Step(lambda x: x.squeeze(axes))


@rule("Unsqueeze")
def _unsqueeze(call: Call) -> Step:
    rank = call.tensor(0).ndim + len(call.axes(1))
    axes = sorted(axis % rank for axis in call.axes(1))
    return Step(lambda x: reduce(torch.unsqueeze, axes, x))


@rule("Concat")
def _concatenation(call: Call) -> Step:
    axis = int(call.setting("axis"))
    return Step(lambda *tensors: torch.cat(tensors, axis), call.given())


@rule("Split")
def _split(call: Call) -> Step:
    axis, count = int(call.setting("axis", 0)), len(call.node.outputs)
    size = call.tensor(0).shape[axis]
    named = call.setting("split") or call.integers(1)
    each = -(-size // count)
    sizes = list(named) or [min(each, size - each * part) for part in range(count)]
    if sum(sizes) != size or min(sizes) < 0:
        raise UncomputableError("its parts do not fit its input")
    return Step(lambda x: torch.split(x, sizes, axis))


@rule("Slice")
def _slice(call: Call) -> Step:
    x = call.tensor(0)
    if call.opset < 10:
        starts, ends = call.setting("starts"), call.setting("ends")
        axes, steps = call.setting("axes") or [], []
    else:
        starts, ends, axes, steps = (call.integers(number) for number in (1, 2, 3, 4))
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    parts = [slice(None)] * x.ndim
    turned: list[tuple[int, list[int]]] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(x.shape[axis])[start:end:step]
        if step > 0:
            parts[axis] = slice(places.start, places.stop, step)
        else:
            turned.append((axis, list(places)))

    def sliced(x: Tensor) -> Tensor:
        x = x[tuple(parts)]
        for axis, places in turned:
            x = x.index_select(axis, torch.tensor(places, device=x.device))
        return x

    return Step(sliced)


@rule("Gather")
def _gather(call: Call) -> Step:
    x, places, axis = call.tensor(0), call.constant(1), int(call.setting("axis", 0))
    size = x.shape[axis]
    if places.numel() and not -size <= int(places.min()) <= int(places.max()) < size:
        raise UncomputableError("it takes places that are not there")
    if places.ndim == 0:
        return Step(lambda x: x.select(axis, int(places)))
    flat = (places % size).reshape(-1)
    at = axis % x.ndim
    shape = (*x.shape[:at], *places.shape, *x.shape[at + 1 :])
    return Step(lambda x: x.index_select(axis, flat.to(x.device)).reshape(shape))


@rule("GatherND")
def _gather_places(call: Call) -> Step:
    x, places = call.tensor(0), call.constant(1)
    sizes = torch.tensor(x.shape[: places.shape[-1]])
    if call.setting("batch_dims", 0) or bool(((places < -sizes) | (places >= sizes)).any()):
        raise UncomputableError("it takes places that are not there, or of each item others")
    return Step(lambda x: x[tuple(place.to(x.device) for place in places.unbind(-1))])


@rule("Shape")
def _shape(call: Call) -> Step:
    shape = call.tensor(0).shape[call.setting("start", 0) : call.setting("end")]
    return value_of(torch.tensor(list(shape), dtype=torch.int64))


@rule("Size")
def _size(call: Call) -> Step:
    return value_of(torch.tensor(call.tensor(0).numel()))


@rule("Constant")
def _constant(call: Call) -> Step:
    at = call.node.attributes
    if isinstance(at.get("value"), Tensor):
        return value_of(at["value"])
    for name in ("value_float", "value_floats"):
        if at.get(name) is not None:
            return value_of(float_tensor(at[name]))
    for name in ("value_int", "value_ints"):
        if at.get(name) is not None:
            return value_of(torch.tensor(at[name], dtype=torch.int64))
    raise UncomputableError("its value is no tensor of numbers")


@rule("ConstantOfShape")
def _filled(call: Call) -> Step:
    value = call.setting("value", float_tensor([0.0]))
    sizes = call.integers(0)
    return Step(lambda _: value.reshape(()).expand(sizes), (0,))


@rule("Expand")
def _expand(call: Call) -> Step:
    wanted = torch.empty(call.integers(1), device="meta")
    sizes = (call.tensor(0).to("meta", torch.float32) + wanted).shape
    return Step(lambda x: x.expand(sizes))


@rule("Tile")
def _tile(call: Call) -> Step:
    times = call.integers(1)
    return Step(lambda x: x.repeat(times))


@rule("Range")
def _range(call: Call) -> Step:
    start, end, step = (call.constant(number).item() for number in range(3))
    if not step or abs((end - start) / step) > MAX_RANGE:
        raise UncomputableError("it is too long")
    return value_of(torch.arange(start, end, step, dtype=call.constant(0).dtype))


@rule("Pad")
def _pad(call: Call) -> Step:
    x, mode = call.tensor(0), call.setting("mode", "constant")
    pads = list(call.setting("pads") or call.integers(1))
    value = float(call.setting("value", 0.0)) if call.opset < 11 else call.number(2, 0.0)
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if mode not in modes:
        raise UncomputableError(f"its mode is {mode!r}")
    axes = call.integers(3) or list(range(len(pads) // 2))
    ends = {a % x.ndim: (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)}
    first = min((axis for axis, pair in ends.items() if any(pair)), default=x.ndim)
    torchs = tuple(
        end for axis in range(x.ndim - 1, first - 1, -1) for end in ends.get(axis, (0, 0))
    )
    return Step(Pad(torchs, modes[mode], value))


@rule("Einsum")
def _einsum(call: Call) -> Step:
    return Step(partial(_summed, str(call.setting("equation"))), call.given())


def _summed(equation: str, *tensors: Tensor) -> Any:
    return torch.einsum(equation, *tensors)
