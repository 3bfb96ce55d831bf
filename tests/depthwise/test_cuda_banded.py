"""The CUDA kernels on an emulator of the device, and through NVIDIA's compiler.

The emulator runs the very source of the kernels, every thread a fiber in random order. A GPU is needed
for what it cannot show; the last test runs where there is one.
"""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.depthwise import reference

from striate.depthwise.gpu import cuda_banded, cuda_device, cuda_plan
from striate.depthwise.gpu.cuda_plan import Hardware, Plan
from striate.depthwise.kernel import gpu_capability
from striate.depthwise.problem import OPERATORS, Problem
from striate.geometry import plan_windows

HERE = Path(__file__).parent
TOLERANCE = 5e-3

# The emulator is C++, and the only compiler that the library itself needs is numba's own.
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is C++, and there is no g++ to compile it"
)


class Emulator:
    """A device of few multiprocessors, each kernel a shared library."""

    def __init__(self, folder):
        self.hardware = Hardware(multiprocessors=5, shared=227 * 1024)
        self.folder = folder
        self.libraries = {}
        self.seed = 0
        for path in [*cuda_device.SOURCES.iterdir(), *(HERE / "emulator").iterdir()]:
            shutil.copy(path, folder / path.name)

    def launch(self, launch, dtype, mapped, tensors):
        run = self.compiled(launch.kernel, launch.constants, dtype)
        maps = b"".join(
            struct.pack("Q10i", tensor.data_ptr(), *sizes, *box).ljust(128, b"\0")
            for (tensor, sizes), box in zip(mapped, launch.boxes, strict=True)
        )
        pointers = [None if t is None else t.data_ptr() for t in tensors]
        plan = launch.plan.pack()
        assert launch.shared <= self.hardware.shared
        run(
            _aligned(maps), (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_int * len(plan))(*plan), *launch.grid, launch.shared, self.seed,
        )  # fmt: skip

    def compiled(self, kernel, constants, dtype):
        key = (kernel, constants, dtype)
        if key not in self.libraries:
            target = self.folder / f"{len(self.libraries)}.so"
            defines = [f"-D{name}={value}" for name, value in constants]
            defines += ["-DFLOAT16"] if dtype == torch.float16 else []
            subprocess.run(
                ["g++", "-O2", "-std=c++17", "-shared", "-fPIC", "-w", *defines,
                 f'-DKERNEL_FILE="{kernel}.cu"', f"-DIS_{kernel.upper()}",
                 str(self.folder / "run.cpp"), "-o", str(target)],
                check=True, cwd=self.folder,
            )  # fmt: skip
            self.libraries[key] = ctypes.CDLL(str(target)).run
        return self.libraries[key]


def _aligned(content):
    """A copy that begins at a multiple of 64 bytes, as the kernels' maps do."""
    whole = ctypes.create_string_buffer(len(content) + 64)
    start = -ctypes.addressof(whole) % 64
    part = (ctypes.c_char * len(content)).from_buffer(whole, start)
    part.raw = content
    return part


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    return Emulator(tmp_path_factory.mktemp("emulator"))


def problem_of(space, kernel, *, batch=2, channels=40, padding="same", dtype=torch.bfloat16):
    return Problem(
        batch=batch,
        channels=channels,
        space=space,
        windows=plan_windows(space, kernel, padding=padding),
        dtype=dtype,
        channels_last=True,
    )


def tensors_of(problem):
    torch.manual_seed(0)
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (torch.randn(shape).to(problem.dtype) for shape in shapes)
    x, grad = (t.contiguous(memory_format=problem.memory_format) for t in (x, grad))
    return x, weight, grad


def run_both(problem, tensors):
    """(name, ours, the reference in float64) of each operator."""
    x, weight, grad = tensors
    bias = weight.flatten(1)[:, 0].contiguous()
    for operator in OPERATORS:
        arguments = {
            "forward": (x, weight, bias),
            "input_gradient": (grad, weight),
            "weight_gradient": (grad, x),
        }[operator]
        got = getattr(cuda_banded, operator)(*arguments, problem)
        doubles = [t.double() for t in arguments]
        yield operator, got, getattr(reference, operator)(*doubles, problem)


PROBLEMS = {
    "2-D, 7x7": problem_of((13, 17), 7),
    "2-D, 3x3, channels not a multiple": problem_of((9, 10), 3, channels=37, batch=3),
    "2-D, 5x5, float16, several chunks": problem_of((11, 8), 5, channels=72, dtype=torch.float16),
    "2-D, wider than a segment": problem_of((5, 150), (2, 7), batch=1, channels=8),
    "2-D, kernel larger than the input": problem_of((3, 1), 7, batch=1, channels=8),
    "2-D, padded beyond the kernel": problem_of((4, 5), 3, padding=((5, 4), (0, 6)), channels=8),
    "2-D, causal, one row of taps": problem_of((6, 30), (1, 7), padding="causal", channels=8),
    "3-D, 3x3x3": problem_of((5, 9, 10), 3, channels=8),
    "3-D, 2x3x2, unequal ends": problem_of((4, 6, 9), (2, 3, 2), padding=((0, 1), 1, (2, 0))),
    "3-D, 5x5x5": problem_of((6, 9, 11), 5, batch=1, channels=24),
    "3-D, 7x7x7, one plane": problem_of((1, 8, 9), 7, channels=16),
    "3-D, 1x5x5": problem_of((3, 7, 9), (1, 5, 5), channels=8),
    "3-D, 5x1x3": problem_of((7, 4, 9), (5, 1, 3), channels=8),
}


QUICK = ("2-D, 5x5, float16, several chunks", "3-D, 3x3x3", "3-D, 7x7x7, one plane")


def each_problem():
    for name in PROBLEMS:
        yield pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)


@needs_compiler
@pytest.mark.parametrize("name", list(each_problem()))
def test_kernels_on_the_emulator_equal_the_reference(name, emulator, monkeypatch):
    monkeypatch.setattr(cuda_banded, "device_of", lambda tensor: emulator)
    problem = PROBLEMS[name]
    for operator, got, expected in run_both(problem, tensors_of(problem)):
        assert got.shape == expected.shape and got.dtype == problem.dtype
        error = (got.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE, operator


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["2-D, 7x7", "3-D, 5x5x5"])
def test_an_inf_reaches_its_receptive_field_alone(name, emulator, monkeypatch):
    monkeypatch.setattr(cuda_banded, "device_of", lambda tensor: emulator)
    problem = PROBLEMS[name]
    x, weight, grad = tensors_of(problem)
    in_x, in_grad = (0, 3, ..., 2, 0), (0, 3, ..., 2, 2)
    x[in_x], grad[in_grad] = 0.0, 0.0
    clean = x.clone(), weight, grad.clone()
    x[in_x], grad[in_grad] = torch.inf, torch.nan
    spot_x, spot_grad = (~x.isfinite()).float(), (~grad.isfinite()).float()
    ones_x, ones_grad = torch.ones_like(spot_x), torch.ones_like(spot_grad)
    taps = torch.ones(problem.weight_shape)
    reads = {
        "forward": reference.forward(spot_x, taps, None, problem),
        "input_gradient": reference.input_gradient(spot_grad, taps, problem),
        "weight_gradient": reference.weight_gradient(spot_grad, ones_x, problem)
        + reference.weight_gradient(ones_grad, spot_x, problem),
    }
    pairs = zip(run_both(problem, (x, weight, grad)), run_both(problem, clean), strict=True)
    for (operator, got, _), (_, _, expected) in pairs:
        reached = reads[operator] > 0
        assert torch.equal(~got.isfinite(), reached), operator
        error = (got[~reached].double() - expected[~reached]).norm() / expected[~reached].norm()
        assert 0 < reached.sum() < reached.numel() and error <= TOLERANCE, operator


@needs_compiler
def test_results_do_not_depend_on_the_order_of_threads(emulator, monkeypatch):
    monkeypatch.setattr(cuda_banded, "device_of", lambda tensor: emulator)
    problem = PROBLEMS["2-D, 5x5, float16, several chunks"]
    results = []
    for seed in range(3):
        monkeypatch.setattr(emulator, "seed", seed)
        results.append([got for _, got, _ in run_both(problem, tensors_of(problem))])
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


BARRIERS = {
    "sweep": ("            wait_stores_read();\n", "", "2-D, 7x7"),
    "tile": ("    __syncthreads();\n    if (threadIdx.x == 0 && kd", "    if (threadIdx.x == 0 && kd",
             "3-D, 5x5x5"),
}  # fmt: skip


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("kernel", BARRIERS)
def test_the_emulator_sees_a_missing_barrier(kernel, tmp_path, monkeypatch):
    emulator = Emulator(tmp_path)
    with_barrier, without, name = BARRIERS[kernel]
    source = (tmp_path / f"{kernel}.cu").read_text()
    assert with_barrier in source
    (tmp_path / f"{kernel}.cu").write_text(source.replace(with_barrier, without))
    monkeypatch.setattr(cuda_banded, "device_of", lambda tensor: emulator)
    problem = PROBLEMS[name]
    x, weight, _ = tensors_of(problem)
    got = cuda_banded.forward(x, weight, None, problem)
    expected = reference.forward(x.double(), weight.double(), None, problem)
    assert (got.double() - expected).norm() > 0.01 * expected.norm()


def test_plan_has_the_kernels_fields():
    source = (cuda_device.SOURCES / "bands.h").read_text()
    body = source[source.index("struct Plan {") :].split("};")[0]
    lines = [line.split("//")[0].strip() for line in body.splitlines()]
    declared = [
        name.strip()
        for line in lines
        if line.startswith("int ")
        for name in line.removeprefix("int ").rstrip(";").split(",")
    ]
    assert declared == [field.name for field in fields(Plan)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 700)),
    st.integers(1, 64),
    st.integers(1, 300),
)
def test_every_convolution_within_the_limits_has_a_plan(taps, space, volumes, channels):
    problem = problem_of(space, taps, batch=volumes, channels=channels)
    hardware = Hardware(multiprocessors=132, shared=227 * 1024)
    for operator in OPERATORS:
        layout = cuda_plan.layout_of(problem, operator)
        backward = operator == "weight_gradient"
        plan = cuda_plan.plan_weight_gradient if backward else cuda_plan.plan_convolution
        launch = plan(layout, hardware)
        assert launch is not None and launch.shared <= hardware.shared
        sizes = launch.plan
        assert sizes.blocks * sizes.streams <= 16 and all(
            size <= 256 for b in launch.boxes for size in b
        )
        assert sizes.runs * sizes.run >= layout.target[1]
        assert sizes.segments * sizes.segment >= layout.target[2]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["2-D, 5x5, float16, several chunks", "3-D, 7x7x7, one plane"])
def test_kernels_compile_for_a_gpu(name, dtype):
    pytest.importorskip("cuda.bindings.nvrtc")
    problem = PROBLEMS[name]
    hardware = Hardware(multiprocessors=132, shared=227 * 1024)
    launches = (
        cuda_plan.plan_convolution(cuda_plan.layout_of(problem, "forward"), hardware),
        cuda_plan.plan_weight_gradient(cuda_plan.layout_of(problem, "weight_gradient"), hardware),
    )
    for launch in launches:
        code = cuda_device.compile_kernel(launch.kernel, launch.constants, dtype, (9, 0))
        assert code.startswith(b"\x7fELF") and launch.kernel.encode() in code


def test_a_source_that_does_not_compile_is_told_with_the_compilers_words():
    pytest.importorskip("cuda.bindings.nvrtc")
    with pytest.raises(cuda_device.CudaError, match=r"sweep\.cu does not compile: .*WARPS"):
        cuda_device.compile_kernel(
            "sweep", (("KD", 1), ("KH", 3), ("KW", 3)), torch.float16, (9, 0)
        )


# The kernels move boxes of a tensor, which GPUs do from this capability on; torch serves the others.
@pytest.mark.skipif(
    gpu_capability() < 9.0,
    reason="the kernels move boxes of tensors, which GPUs do from compute capability 9.0 on",
)
@pytest.mark.parametrize("name", PROBLEMS)
def test_kernels_on_the_gpu_equal_the_reference(name):
    problem = replace(PROBLEMS[name], device_type="cuda")
    tensors = tuple(t.cuda() for t in tensors_of(PROBLEMS[name]))
    for operator, got, expected in run_both(problem, tensors):
        error = (got.double() - expected).norm() / expected.norm()
        assert error <= TOLERANCE, operator
