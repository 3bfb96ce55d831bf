"""Shapes worked out here against those of torch."""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from striate.analysis.interpreter import _bind
from striate.analysis.shapes import SHAPES, shaped

A, B, CHANNELS = torch.randn(2, 3, 4, 5), torch.randn(3, 1, 5), torch.rand(3)

CALLS = {
    **{name: lambda name=name: getattr(torch.ops.aten, name)(A) for name in (
        "abs", "elu", "exp", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish",
        "neg", "relu", "rsqrt", "sigmoid", "silu", "softplus", "sqrt", "tanh",
    )},
    **{name: lambda name=name: getattr(torch, name)(A, B) for name in ("add", "div", "mul", "sub")},
    "mul by a number": lambda: A * 2,
    "add to channels last": lambda: A.to(memory_format=torch.channels_last) + 1,
    "add to a part": lambda: A[:, :, ::2] + 1,
    "add to one repeated": lambda: B.expand(2, 3, 4, 5) + 1,
    "add in place": lambda: A.clone().add_(B),
    "mean": lambda: A.mean((2, -1)),
    "mean kept": lambda: A.mean((2, 3), keepdim=True),
    "mean of all": lambda: A.mean(),
    "batch norm": lambda: torch.nn.functional.batch_norm(A, CHANNELS, CHANNELS),
    "batch norm in training": lambda: torch.batch_norm(
        A, None, None, CHANNELS, CHANNELS, True, 0.1, 1e-5, False
    ),
    "layer norm": lambda: torch.nn.functional.layer_norm(A, (4, 5)),
    "addmm": lambda: torch.addmm(torch.randn(7), torch.randn(2, 3), torch.randn(3, 7)),
    "numbers of two types": lambda: A + B.double(),
    "whole numbers": lambda: torch.arange(3) / torch.arange(1, 4),
}  # fmt: skip


class Compare(TorchDispatchMode):
    """Asks for the shape of every call before torch makes it."""

    def __init__(self):
        super().__init__()
        self.compared = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        bound = {
            key: value.to("meta") if isinstance(value, torch.Tensor) else value
            for key, value in _bind(func, args, kwargs or {}).items()
        }
        found = shaped(func, bound)
        if found is not None:
            self.compared.add(func.overloadpacket.__name__.removesuffix("_"))
            pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (found, made)), strict=True)
            first, *rest = pairs
            assert first[0].shape == first[1].shape
            assert first[0].stride() == first[1].stride()
            assert all(ours.dtype == theirs.dtype for ours, theirs in (first, *rest))
        return made


@pytest.mark.parametrize("name", CALLS)
def test_shapes_are_torch_s(name):
    with Compare() as mode:
        CALLS[name]()
    left_to_torch = (
        "mean of all",
        "batch norm in training",
        "numbers of two types",
        "whole numbers",
    )
    assert bool(mode.compared & set(SHAPES)) == (name not in left_to_torch)


@pytest.mark.slow
def test_inspecting_does_not_load_the_compiler():
    program = (
        "import sys, torch; from striate.analysis import summary; from striate.models import "
        "create_model; torch.set_default_device('meta'); "
        "summary(create_model('resnet18'), (3, 64, 64)); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
