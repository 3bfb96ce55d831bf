"""Every kernel that this machine can run, against the reference in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.depthwise import reference

from striate.depthwise import kernel as kernels_of
from striate.depthwise import operators
from striate.depthwise.cpu import jobs as cpu_jobs
from striate.depthwise.dispatch import KERNELS, TORCH, choose
from striate.depthwise.kernel import FLOATS
from striate.depthwise.problem import MEMORY_FORMATS, OPERATORS, Problem
from striate.errors import ArgumentError
from striate.geometry import plan_windows

FOLDER = Path(__file__).parent
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-3, torch.float16: 5e-3}


@st.composite
def problems(draw, limits):
    rank = draw(st.sampled_from(limits.ranks or (1, 2, 3)))
    stride = st.integers(1, limits.strides[1] or 3)
    space = draw(st.tuples(*[st.integers(1, 11)] * rank))
    kernel = draw(st.tuples(*[st.integers(1, {1: 33, 2: 8, 3: 5}[rank])] * rank))
    windows = plan_windows(
        space,
        kernel,
        stride=draw(st.tuples(*[stride] * rank)),
        padding=draw(st.sampled_from(["same", "causal", 4, tuple((i, 5) for i in range(rank))])),
        dilation=draw(st.tuples(*[st.integers(1, 2)] * rank)),
    )
    assume(all(w.extent <= s + w.low + w.high for w, s in zip(windows, space, strict=True)))
    return Problem(
        batch=draw(st.integers(1, 3)),
        channels=draw(st.sampled_from([1, 3, 16, 21])),
        space=space,
        windows=windows,
        dtype=getattr(torch, draw(st.sampled_from(limits.dtypes or FLOATS))),
        channels_last=rank > 1 and draw(st.booleans()),
    )


def random_tensors(problem, dtype=None):
    torch.manual_seed(0)
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (torch.randn(s).to(dtype or problem.dtype) for s in shapes)
    return (
        x.contiguous(memory_format=problem.memory_format),
        weight,
        grad.contiguous(memory_format=problem.memory_format),
    )


def arguments(operator, x, weight, grad, problem):
    return {
        "forward": (x, weight, weight.flatten(1)[:, 0].contiguous(), problem),
        "input_gradient": (grad, weight, problem),
        "weight_gradient": (grad, x, problem),
    }[operator]


ON_CPU = [name for name, kernel in KERNELS.items() if kernel.limits.device_types == ("cpu",)]


@pytest.mark.parametrize("name", [*ON_CPU, *(f"torch.{o}" for o in TORCH)])
def test_kernel_equals_the_reference(name):
    kernel = KERNELS.get(name) if name in KERNELS else TORCH[name.removeprefix("torch.")]

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(problems(kernel.limits))
    def run(problem):
        tensors = random_tensors(problem)
        doubles = [t.double() for t in tensors]
        got = kernel.run(*arguments(kernel.operator, *tensors, problem))
        compute = getattr(reference, kernel.operator)
        expected = compute(*arguments(kernel.operator, *doubles, problem))
        assert got.shape == expected.shape and got.dtype == problem.dtype
        error = (got.double() - expected).norm()
        assert error <= TOLERANCE[problem.dtype] * expected.norm() + 1e-6

    run()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_reference_gradients_are_those_of_its_forward(rank):
    space, kernel = (5, 4, 3)[:rank], (3, 2, 2)[:rank]
    windows = plan_windows(space, kernel, stride=2, padding=((2, 1), 1, (0, 1))[:rank], dilation=1)
    problem = Problem(batch=2, channels=2, space=space, windows=windows, dtype=torch.float64)
    x, weight, grad = random_tensors(problem, torch.float64)
    bias = torch.randn(2, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradcheck(lambda *a: reference.forward(*a, problem), inputs)
    y = reference.forward(*inputs, problem)
    expected = torch.autograd.grad(y, inputs[:2], grad)
    torch.testing.assert_close(reference.input_gradient(grad, weight, problem), expected[0])
    torch.testing.assert_close(reference.weight_gradient(grad, x, problem), expected[1])


def problem_2d(kernel=5, dtype=torch.float32, batch=3, channels=40):
    windows = plan_windows((9, 10), kernel, padding="same")
    return Problem(
        batch=batch,
        channels=channels,
        space=(9, 10),
        windows=windows,
        dtype=dtype,
        channels_last=True,
    )


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("batch", [1, 3])
def test_machine_code_repeats_bit_for_bit_on_any_number_of_threads(operator, batch, monkeypatch):
    pytest.importorskip("numba")
    problem = problem_2d(batch=batch)
    inputs = arguments(operator, *random_tensors(problem), problem)
    run = KERNELS.get(f"cpu-numba.{operator}").run
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(*inputs))
    finally:
        torch.set_num_threads(before)
    # Without torch's OpenMP runtime, on Python's threads.
    monkeypatch.setattr(cpu_jobs, "_openmp_parallel", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    results.append(run(*inputs))
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("operator", ["forward", "input_gradient"])
def test_an_input_too_large_to_copy_at_once_is_computed_in_slabs(operator, monkeypatch):
    pytest.importorskip("numba")
    from striate.depthwise.cpu import convolve as cpu_convolve

    run = KERNELS.get(f"cpu-numba.{operator}").run
    windows = plan_windows((23, 9, 8), (5, 3, 2), stride=2, padding="same")
    problem = Problem(batch=2, channels=20, space=(23, 9, 8), windows=windows, channels_last=True)
    inputs = arguments(operator, *random_tensors(problem), problem)
    whole = run(*inputs)
    monkeypatch.setattr(cpu_convolve, "MAX_BYTES", 8000)
    cpu_convolve.plan_of.cache_clear()
    try:
        assert cpu_convolve.plan_of(problem, operator == "input_gradient", 1).jobs["slabs"][0] > 2
        assert torch.equal(run(*inputs), whole)
    finally:
        cpu_convolve.plan_of.cache_clear()


REGISTERS = """
import sys
from pathlib import Path
from llvmlite import ir
from striate.depthwise.cpu import numba_pack
lanes = int(sys.argv[1])
numba_pack.REGISTER_LANES, numba_pack.REGISTER_BYTES = lanes, 4 * lanes
numba_pack.REGISTER = ir.VectorType(ir.FloatType(), lanes)
from striate.depthwise.cpu import convolve as cpu_convolve
from striate.depthwise.cpu import numba_convolve
import reference
from test_kernels import arguments, random_tensors, problem_2d
import torch
from dataclasses import replace
for last in (False, True):
    problem = replace(problem_2d(), channels_last=last)
    for operator in ("forward", "input_gradient"):
        inputs = arguments(operator, *random_tensors(problem), problem)
        expected = getattr(reference, operator)(*inputs)
        got = getattr(cpu_convolve, operator)(*inputs)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
print(numba_convolve.REGISTER_LANES, "equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [4, 16])
def test_machine_code_is_right_for_registers_of_other_processors(lanes, tmp_path):
    """4 floats on ARM, 16 with AVX-512, here made of what this processor has."""
    pytest.importorskip("numba")
    run = subprocess.run(
        [sys.executable, "-c", REGISTERS, str(lanes)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(FOLDER), str(FOLDER.parents[1]), *sys.path]),
        },
    )
    assert run.stdout.strip() == f"{lanes} equal", run.stderr[-2000:]


def test_machine_code_is_kept_for_the_very_source_that_it_was_compiled_from(tmp_path, monkeypatch):
    """numba itself would run old code where only a file that it calls has changed."""
    numba_pack = pytest.importorskip("striate.depthwise.cpu.numba_pack", exc_type=ImportError)
    monkeypatch.setattr(numba_pack, "__file__", str(tmp_path / "numba_pack.py"))
    folders = []
    for text in ("a", "a", "b"):
        (tmp_path / "numba_pack.py").write_text(text)
        folders.append(numba_pack.cache_folder())
    assert folders[0] == folders[1] != folders[2]


def test_without_numba_another_kernel_gives_the_same(monkeypatch):
    problem = problem_2d()
    assert choose("weight_gradient", problem).name == "cpu-numba"
    monkeypatch.setattr(kernels_of, "installed", lambda package: False)
    choose.cache_clear()
    try:
        kernel = choose("weight_gradient", problem)
        assert kernel.name == "cpu-rearranged"
        with pytest.raises(ArgumentError, match="numba is not installed"):
            choose("weight_gradient", problem, "cpu-numba")
    finally:
        choose.cache_clear()
    x, _, grad = random_tensors(problem)
    expected = reference.weight_gradient(grad, x, problem)
    torch.testing.assert_close(kernel.run(grad, x, problem), expected, rtol=1e-5, atol=1e-4)


BARE = """
import sys
from pathlib import Path
sys.modules.update({name: None for name in ("numba", "llvmlite", "triton")})
import torch
from striate.ops import depthwise
x = torch.randn(2, 4, 5, 6, 7)
weight = torch.randn(4, 1, 3, 3, 3, requires_grad=True)
gradients = []
for implementation in (None, "torch"):
    y = depthwise(x, weight, implementation=implementation)
    gradients += torch.autograd.grad(y.square().sum(), weight)
torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
print("equal")
"""


def test_neither_numba_nor_triton_is_needed():
    run = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "equal", run.stderr[-2000:]


@pytest.mark.parametrize("last", [False, True])
def test_operators_pass_torchs_own_checks(last, recwarn):
    problem = problem_2d(3, batch=2, channels=5)
    x, weight, grad = random_tensors(problem)
    if not last:
        x = x.contiguous()
    x, weight, bias = (t.requires_grad_() for t in (x, weight, torch.randn(5)))
    windows = ([1, 1], [1, 1], [1, 1], [1, 1], None)
    torch.library.opcheck(operators.depthwise, (x, weight, bias, *windows))
    x, weight = x.detach(), weight.detach()
    torch.library.opcheck(operators.depthwise_input_gradient, (grad, x, weight, *windows))
    torch.library.opcheck(operators.depthwise_weight_gradient, (grad, x, [3, 3], *windows))


@pytest.fixture
def native(monkeypatch):
    """Say whether the processor has instructions for half precision."""

    def say(value):
        monkeypatch.setattr(kernels_of, "cpu_computes", lambda dtype: value)
        choose.cache_clear()

    yield say
    choose.cache_clear()


def test_half_precision_without_instructions_is_computed_in_float32(native, monkeypatch):
    native(False)
    problem = problem_2d(dtype=torch.bfloat16)
    for operator in OPERATORS:
        assert choose(operator, problem).name == "cpu-numba"
        assert choose(operator, problem_2d(dtype=torch.float16)).name == "cpu-widened"
    monkeypatch.setattr(kernels_of, "installed", lambda package: False)
    choose.cache_clear()
    assert {choose(operator, problem).name for operator in OPERATORS} == {"cpu-widened"}
    native(True)
    assert choose("forward", problem).name == "torch"
    assert choose("input_gradient", problem).name == "cpu-rearranged"


def test_gains_are_of_the_vector_instructions_that_were_measured(native, monkeypatch):
    long = Problem(
        batch=1, channels=4, space=(99,), windows=plan_windows((99,), 31, padding="same")
    )
    for vectors, expected in (("AVX2", "cpu-numba"), ("AVX512", "cpu-rearranged")):
        monkeypatch.setattr(kernels_of, "cpu_vectors", lambda vectors=vectors: vectors)
        native(True)
        assert choose("forward", long).name == expected


def test_limits_and_gains_choose(native, monkeypatch):
    monkeypatch.setattr(kernels_of, "cpu_vectors", lambda: "AVX512")
    native(True)
    assert choose("forward", problem_2d()).name == "torch"
    assert choose("weight_gradient", problem_2d(3)).name == "torch"
    assert choose("weight_gradient", problem_2d(dtype=torch.bfloat16)).name == "cpu-rearranged"
    assert choose("weight_gradient", problem_2d(dtype=torch.float64)).name == "torch"
    long = Problem(
        batch=1, channels=4, space=(99,), windows=plan_windows((99,), 31, padding="same")
    )
    assert choose("forward", long).name == "cpu-rearranged"


def test_strided_views_are_read_right():
    """A gradient that came through a transposition or an expansion is not contiguous."""
    problem = problem_2d()
    x, weight, grad = random_tensors(problem)
    expanded = grad[:1].expand_as(grad)
    expected = reference.weight_gradient(expanded.double(), x.double(), problem)
    for name in ("cpu-numba", "cpu-rearranged"):
        got = KERNELS.get(f"{name}.weight_gradient").run(expanded, x, problem)
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-4)
    assert MEMORY_FORMATS[2] == problem.memory_format and weight.is_contiguous()


_SHARED_HEAP = """
import sys, threading
import numpy as np
import torch
from striate.depthwise.cpu import numba_convolve
from striate.depthwise.cpu.convolve import plan_of
from striate.depthwise.dispatch import KERNELS
from striate.depthwise.problem import problem_of

x = torch.randn(3, 40, 9, 10).to(memory_format=torch.channels_last)
weight, bias = torch.randn(40, 1, 5, 5), torch.randn(40)
problem = problem_of(x.shape, weight.shape, 1, "same", 1, x.dtype, "cpu", True)
torch.set_num_threads(2)
run = KERNELS.get("cpu-numba.forward").run
expected = run(x, weight, bias, problem)
size = numba_convolve.BAND * int(plan_of(problem, False, 2).jobs[0]["row_bytes"]) // 4
done = threading.Event()


def use_what_is_free():
    while not done.is_set():
        for more in range(-16, 32):
            np.full(size + more, np.nan, np.float32)


threads = [threading.Thread(target=use_what_is_free) for _ in range(2)]
for thread in threads:
    thread.start()
same = all(torch.equal(run(x, weight, bias, problem), expected) for _ in range(2000))
done.set()
print(same)
"""


def test_buffers_of_machine_code_are_not_freed_while_they_are_used():
    pytest.importorskip("numba")
    # With one heap for all threads, what is free is taken by another thread at once.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", _SHARED_HEAP]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n", (done.returncode, done.stderr)
