"""Operators that are layers of torch: convolutions, dense layers, norms, pooling, activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.explorer.onnx.call import RULES, Call, Rule, Step, UncomputableError, rule
from striate.explorer.onnx.modules import Pad
from striate.nn.conv import unset_convolution
from striate.nn.ranks import layers

LINEAR: Final = "striate.Linear"
"""A product with a matrix of weights and the addition of a bias, joined by `joined`."""


@rule("Conv")
def _convolution(call: Call) -> Step:
    weight, rank = call.constant(1), call.rank()
    if weight.ndim != rank + 2:
        raise UncomputableError(f"its kernel has {weight.ndim - 2} axes of space, its input {rank}")
    window, groups = call.window(weight.shape[2:]), int(call.setting("group", 1))
    if groups < 1 or len(weight) % groups or call.tensor(0).shape[1] != weight.shape[1] * groups:
        raise UncomputableError("its kernel does not fit its input")
    conv = unset_convolution(
        weight.shape[1] * groups,
        len(weight),
        window.kernel,
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
        padding=tuple(zip(window.low, window.high, strict=True)),
    )
    conv.weight = call.parameter(1)
    conv.bias = call.parameter(2) if call.has(2) else None
    return Step(conv)


@rule("Gemm")
def _dense(call: Call) -> Step:
    alpha, beta = float(call.setting("alpha", 1.0)), float(call.setting("beta", 1.0))
    if not call.is_constant(1) or call.setting("transA", 0) or alpha != 1 or beta != 1:
        return Step(partial(_product, dict(call.node.attributes)), call.given())
    turned = bool(call.setting("transB", 0))
    return _linear(call, turned=turned)


@rule(LINEAR)
def _joined_dense(call: Call) -> Step:
    return _linear(call, turned=False)


@rule("MatMul")
def _matrix_product(call: Call) -> Step:
    is_dense = call.is_constant(1) and call.tensor(1).ndim == 2 and not call.is_constant(0)
    if is_dense and call.tensor(0).ndim > 1:
        return _linear(call, turned=False)
    return Step(torch.matmul, (0, 1))


def _linear(call: Call, *, turned: bool) -> Step:
    """A dense layer; its weights are (outputs, inputs) in the file where they are turned."""
    weight = call.constant(1) if turned else call.constant(1).T
    if weight.ndim != 2 or call.tensor(0).shape[-1] != weight.shape[1]:
        raise UncomputableError("its weights do not fit its input")
    linear = nn.Linear(weight.shape[1], len(weight), bias=call.has(2), device="meta")
    linear.weight = call.parameter(1) if turned else nn.Parameter(weight.contiguous())
    if call.has(2):
        bias = call.constant(2)
        whole = bias.shape == linear.bias.shape
        spread = bias.reshape(-1).expand(len(weight)).clone()  # of one number, or of one row
        linear.bias = call.parameter(2) if whole else nn.Parameter(spread)
    return Step(linear)


def _product(settings: dict[str, float], a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """Gemm of any tensors."""
    left, right = (x.T if settings.get(n) else x for x, n in ((a, "transA"), (b, "transB")))
    product = settings.get("alpha", 1.0) * (left @ right)
    return product if c is None else product + settings.get("beta", 1.0) * c


@rule("BatchNormalization")
def _batch_norm(call: Call) -> Step:
    if call.setting("training_mode", 0):
        raise UncomputableError("it is in training mode")
    rank = max(call.tensor(0).ndim - 2, 1)
    if rank > 3:
        raise UncomputableError(f"its input has {rank + 2} axes")
    norm = layers(rank).batch_norm(
        call.tensor(0).shape[1], eps=float(call.setting("epsilon", 1e-5)), device="meta"
    )
    norm.weight, norm.bias = call.parameter(1), call.parameter(2)
    norm.running_mean, norm.running_var = call.constant(3), call.constant(4)
    norm.num_batches_tracked = torch.tensor(0)
    return Step(norm)


@rule("LayerNormalization")
def _layer_norm(call: Call) -> Step:
    x = call.tensor(0)
    shape = tuple(x.shape[int(call.setting("axis", -1)) % x.ndim :])
    if tuple(call.constant(1).shape) != shape:
        raise UncomputableError("its scale does not fit its input")
    norm = nn.LayerNorm(
        shape, eps=float(call.setting("epsilon", 1e-5)), bias=call.has(2), device="meta"
    )
    norm.weight = call.parameter(1)
    if call.has(2):
        norm.bias = call.parameter(2)
    return Step(norm)


@rule("InstanceNormalization")
def _instance_norm(call: Call) -> Step:
    epsilon = float(call.setting("epsilon", 1e-5))

    def normalized(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return F.instance_norm(x, weight=scale, bias=shift, eps=epsilon)

    return Step(normalized, (0, 1, 2))


@rule("GroupNormalization")
def _group_norm(call: Call) -> Step:
    groups, epsilon = int(call.setting("num_groups")), float(call.setting("epsilon", 1e-5))
    if call.constant(1).shape != call.tensor(0).shape[1:2]:
        raise UncomputableError("it has a scale for each group, not for each channel")

    def normalized(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return F.group_norm(x, groups, scale, shift, epsilon)

    return Step(normalized, (0, 1, 2))


@rule("LRN")
def _local_response_norm(call: Call) -> Step:
    return Step(
        nn.LocalResponseNorm(
            int(call.setting("size")),
            alpha=float(call.setting("alpha", 1e-4)),
            beta=float(call.setting("beta", 0.75)),
            k=float(call.setting("bias", 1.0)),
        )
    )


@rule("MaxPool")
def _max_pool(call: Call) -> Step:
    window, pool = call.window(call.setting("kernel_shape", ())), layers(call.rank()).max_pool
    ceil = bool(call.setting("ceil_mode", 0))
    even = window.low == window.high and all(
        2 * p <= k for p, k in zip(window.low, window.kernel, strict=True)
    )
    padding = window.low if even else 0
    made = pool(window.kernel, window.stride, padding, window.dilation, ceil_mode=ceil)
    return Step(made if even else nn.Sequential(Pad(window.ends, value=-math.inf), made))


@rule("AveragePool")
def _average_pool(call: Call) -> Step:
    window = call.window(call.setting("kernel_shape", ()))
    pool: type[Any] = layers(call.rank()).avg_pool
    ceil, counted = (bool(call.setting(n, 0)) for n in ("ceil_mode", "count_include_pad"))
    if set(window.dilation) != {1}:
        raise UncomputableError("it is dilated")
    even = window.low == window.high and all(
        2 * p <= k for p, k in zip(window.low, window.kernel, strict=True)
    )
    if even:
        return Step(pool(window.kernel, window.stride, window.low, ceil, counted))
    if not counted:
        raise UncomputableError("it pads its ends differently and does not count what it pads")
    return Step(nn.Sequential(Pad(window.ends), pool(window.kernel, window.stride, 0, ceil)))


@rule("GlobalAveragePool")
def _global_average(call: Call) -> Step:
    return Step(layers(call.rank()).adaptive_avg_pool(1))


@rule("GlobalMaxPool")
def _global_maximum(call: Call) -> Step:
    space = list(range(2, call.rank() + 2))
    return Step(lambda x: torch.amax(x, space, keepdim=True))


@rule("Flatten")
def _flatten(call: Call) -> Step:
    axis = int(call.setting("axis", 1)) % max(call.tensor(0).ndim, 1)
    if axis == 1:
        return Step(nn.Flatten())
    return Step(lambda x: x.reshape(math.prod(x.shape[:axis]), -1))


@rule("Softmax", "LogSoftmax")
def _softmax(call: Call) -> Step:
    rank = call.tensor(0).ndim
    axis = int(call.setting("axis", -1 if call.opset >= 13 else 1)) % rank
    if call.opset < 13 and axis != rank - 1:
        raise UncomputableError("before opset 13 it is over several axes")
    return Step((nn.Softmax if call.node.operator == "Softmax" else nn.LogSoftmax)(axis))


@rule("Clip")
def _clip(call: Call) -> Step:
    low = float(call.setting("min", -math.inf)) if call.opset < 11 else call.number(1, -math.inf)
    high = float(call.setting("max", math.inf)) if call.opset < 11 else call.number(2, math.inf)
    if (low, high) == (0, 6):
        return Step(nn.ReLU6())
    if (low, high) == (0, math.inf):
        return Step(nn.ReLU())
    if not low < high:
        raise UncomputableError("its limits are none")
    return Step(nn.Hardtanh(low, high))


@rule("HardSigmoid")
def _hard_sigmoid(call: Call) -> Step:
    slope, shift = float(call.setting("alpha", 0.2)), float(call.setting("beta", 0.5))
    if math.isclose(slope, 1 / 6, rel_tol=1e-6) and shift == 0.5:
        return Step(nn.Hardsigmoid())
    return Step(lambda x: (slope * x + shift).clamp(0, 1))


@rule("Gelu")
def _gelu(call: Call) -> Step:
    return Step(nn.GELU(call.setting("approximate", "none")))


@rule("PRelu")
def _parametric(call: Call) -> Step:
    return Step(lambda x, slope: torch.where(x > 0, x, slope * x), (0, 1))


@rule("LeakyRelu")
def _leaky(call: Call) -> Step:
    return Step(nn.LeakyReLU(float(call.setting("alpha", 0.01))))


@rule("Elu")
def _elu(call: Call) -> Step:
    return Step(nn.ELU(float(call.setting("alpha", 1.0))))


_PLAIN: Final[dict[str, Callable[[], nn.Module]]] = {
    "Relu": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "HardSwish": nn.Hardswish,
    "Mish": nn.Mish,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
    "striate.SiLU": nn.SiLU,
    "Dropout": nn.Dropout,
}
"""Layers without settings; a dropout is off."""


def _plain(layer: Callable[[], nn.Module]) -> Rule:
    return lambda call: Step(layer())


for _name, _layer in _PLAIN.items():
    RULES.add(_name, _plain(_layer))
