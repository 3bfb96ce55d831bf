"""The Triton code in Triton's interpreter, in a process of its own: it must be chosen at import.

bfloat16 is left out: the interpreter multiplies its bits as if they were integers.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from striate.geometry import plan_windows
from striate.kernels import reference, triton_1d
from striate.kernels.problem import Problem

torch.manual_seed(0)
tolerance = {torch.float32: 1e-5, torch.float16: 5e-3}
for length, taps, padding, dtype in (
    (37, 7, "same", torch.float32), (70, 31, "causal", torch.float32), (5, 9, 4, torch.float32),
    (19, 3, 0, torch.float16), (33, 31, "same", torch.float16), (20, 4, "same", torch.float16),
    (3, 17, "same", torch.float32), (40, 18, 30, torch.float32),
):
    windows = plan_windows((length,), taps, padding=padding)
    problem = Problem(batch=2, channels=3, space=(length,), windows=windows, dtype=dtype)
    x, weight, grad = (
        torch.randn(s).to(dtype) for s in (problem.x_shape, problem.weight_shape, problem.y_shape)
    )
    bias = torch.randn(3).to(dtype)
    for name, inputs in {
        "forward": (x, weight, None), "input_gradient": (grad, weight),
        "weight_gradient": (grad, x),
    }.items():
        got = getattr(triton_1d, name)(*inputs, problem)
        doubles = [None if t is None else t.double() for t in inputs]
        expected = getattr(reference, name)(*doubles, problem)
        error = ((got.double() - expected).norm() / expected.norm()).item()
        assert got.dtype == dtype and error <= tolerance[dtype], (name, length, taps, dtype, error)
    with_bias = triton_1d.forward(x, weight, bias, problem).double()
    without = triton_1d.forward(x, weight, None, problem).double()
    torch.testing.assert_close(with_bias, without + bias.double()[:, None], rtol=1e-2, atol=1e-1)
print("equal")
"""


def test_banded_products_equal_the_reference():
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "equal", run.stderr[-2000:]
