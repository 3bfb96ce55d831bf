"""The Triton code in Triton's interpreter and through its compiler; no GPU is needed for either.

The interpreter runs in a process of its own, for it must be chosen at import. bfloat16 is left out: it
multiplies its bits as if they were integers.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from striate.depthwise.problem import Problem
from striate.geometry import plan_windows

pytest.importorskip("triton")

from striate.depthwise.gpu import triton_banded, triton_direct

COMMON = """
import torch
from striate.geometry import plan_windows
from striate.depthwise.gpu import triton_banded, triton_direct
from tests.depthwise import reference
from striate.depthwise.problem import OPERATORS, Problem

TOLERANCE = {torch.float32: 1e-5, torch.float16: 5e-3}
torch.manual_seed(0)


def problem_of(space, taps, padding="same", dtype=torch.float32, last=False, stride=1, dilation=1):
    windows = plan_windows(space, taps, stride=stride, padding=padding, dilation=dilation)
    return Problem(
        batch=2, channels=3, space=space, windows=windows, dtype=dtype, channels_last=last
    )


def tensors_of(problem):
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (torch.randn(s).to(problem.dtype) for s in shapes)
    x, grad = (t.contiguous(memory_format=problem.memory_format) for t in (x, grad))
    return x, weight, grad


def run_all(module, problem, x, weight, grad):
    bias = weight.flatten(1)[:, 0].contiguous()
    for operator, inputs in {
        "forward": (x, weight, bias), "input_gradient": (grad, weight), "weight_gradient": (grad, x),
    }.items():
        yield operator, inputs, getattr(module, operator)(*inputs, problem)


def check(module, problem):
    for operator, inputs, got in run_all(module, problem, *tensors_of(problem)):
        expected = getattr(reference, operator)(*(t.double() for t in inputs), problem)
        error = ((got.double() - expected).norm() / expected.norm()).item()
        assert got.dtype == problem.dtype and got.shape == expected.shape
        assert error <= TOLERANCE[problem.dtype], (operator, problem, error)


def check_infinite(module, problem):
    x, weight, grad = tensors_of(problem)
    in_x, in_grad = (0, 1, ..., 1), (1, 2, ..., 3)
    x[in_x], grad[in_grad] = 0.0, 0.0
    clean = [got for _, _, got in run_all(module, problem, x.clone(), weight, grad.clone())]
    x[in_x], grad[in_grad] = torch.inf, torch.nan
    spot_x, spot_grad = (~x.isfinite()).float(), (~grad.isfinite()).float()
    taps = torch.ones(problem.weight_shape)
    reached = (
        reference.forward(spot_x, taps, None, problem),
        reference.input_gradient(spot_grad, taps, problem),
        reference.weight_gradient(spot_grad, torch.ones_like(x), problem)
        + reference.weight_gradient(torch.ones_like(grad), spot_x, problem),
    )
    gots = [got for _, _, got in run_all(module, problem, x, weight, grad)]
    for got, before, reads in zip(gots, clean, reached, strict=True):
        assert torch.equal(~got.isfinite(), reads > 0)
        assert 0 < (reads > 0).sum() < reads.numel()
        torch.testing.assert_close(got[reads == 0], before[reads == 0], rtol=1e-5, atol=1e-5)
"""

BANDED = """
half = torch.float16
for length, taps, padding, dtype in (
    (37, 7, "same", torch.float32), (70, 31, "causal", torch.float32), (5, 9, 4, torch.float32),
    (19, 3, 0, half), (33, 31, "same", half), (20, 4, "same", half), (3, 17, "same", torch.float32),
    (40, 18, 30, torch.float32),
):
    check(triton_banded, problem_of((length,), taps, padding, dtype))
check_infinite(triton_banded, problem_of((40,), 7))
print("equal")
"""

DIRECT = """
half = torch.float16
for problem in (
    problem_of((37,), 7, stride=2, dilation=3), problem_of((5,), 9, 4),
    problem_of((40,), 31, "causal", half, stride=2), problem_of((9, 10), 3, stride=2, last=True),
    problem_of((9, 10), (5, 2), stride=(1, 3), dilation=2, last=True),
    problem_of((6, 7), 7, dtype=half), problem_of((3, 1), 7, last=True),
    problem_of((5, 6, 7), 3, stride=2, last=True),
    problem_of((3, 5, 4), (2, 3, 5), ((0, 1), 2, 2), half, last=True),
):
    check(triton_direct, problem)
check_infinite(triton_direct, problem_of((6, 9), 3, stride=2, last=True))
print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [pytest.param(BANDED, id="banded"), pytest.param(DIRECT, id="direct")],
)
def test_triton_kernels_equal_the_reference_and_spread_no_infinity(script):
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", COMMON + script],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.strip() == "equal", run.stderr[-2000:]


class Compiled:
    """In the place of a kernel: compiles it for GPUs with the arguments that it is launched with."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.assembled = {}

    def __getitem__(self, grid):
        assert all(1 <= size < 65536 for size in grid[1:])
        return self.launch

    def launch(self, *arguments, **constants):
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, compile

        named = dict(zip(self.kernel.arg_names, arguments, strict=False))
        constants |= {name: None for name, value in named.items() if value is None}
        signature = {name: self.type_of(value) for name, value in named.items()}
        signature |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(self.kernel, signature=signature, constexprs=constants)
        for capability in (75, 90):
            compiled = compile(source, target=GPUTarget("cuda", capability, 32))
            self.assembled[capability] = compiled.asm["cubin"]

    def type_of(self, value):
        if isinstance(value, tuple):
            return tuple(map(self.type_of, value))
        if isinstance(value, torch.Tensor):
            return "*" + {"float32": "fp32", "float16": "fp16"}[str(value.dtype)[6:]]
        return "i1" if isinstance(value, bool) else "i32"


@pytest.mark.slow
@pytest.mark.parametrize("module", [triton_banded, triton_direct], ids=["banded", "direct"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_triton_kernels_compile_for_gpus(module, dtype, monkeypatch):
    compiled = {name: Compiled(getattr(module, name)) for name in ("convolve", "correlate")}
    for name, kernel in compiled.items():
        monkeypatch.setattr(module, name, kernel)
    space = (40,) if module is triton_banded else (5, 6, 7)
    windows = plan_windows(space, 3, stride=1 if module is triton_banded else 2, padding="same")
    last = len(space) > 1
    problem = Problem(
        batch=2, channels=8, space=space, windows=windows, dtype=dtype, channels_last=last
    )
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (torch.zeros(shape, dtype=dtype) for shape in shapes)
    module.forward(x, weight, weight.flatten(1)[:, 0].contiguous(), problem)
    module.input_gradient(grad, weight, problem)
    module.weight_gradient(grad, x, problem)
    for kernel in compiled.values():
        assert [code[:4] for code in kernel.assembled.values()] == [b"\x7fELF"] * 2
