"""Depthwise convolution and its gradients against torch's own, in one run.

    python benchmarks/depthwise.py [--device cpu] [--quick] [--all] [--write-gains FILE]

Medians in milliseconds of torch's better layout and of what `striate.ops.depthwise` chooses, and how
many times the floor the latter is: the time that the machine needs at least to move the tensors once,
or to multiply and add, both at rates measured first. `--all` times every kernel that can compute a
shape, chosen or not.

`--write-gains` times every kernel, too, and writes the table of gains that kernels are chosen by:
`python benchmarks/depthwise.py --device cuda --write-gains src/striate/depthwise/gains.json`. Rows of
that table which hold for another device or another processor stay as they are.

On the CPU with one thread, in processor time, so that other work on the machine disturbs little:
about five minutes on one core, freed memory kept as `striate fit` keeps it. On a GPU in wall time of
calls back to back, launch, planning and allocation included. `--quick` takes a shape of each rank.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log, prod
from pathlib import Path
from typing import Final

import torch
from depthwise_gains import Measured, new_table

from striate.depthwise.dispatch import GAINS, KERNELS, TORCH, choose
from striate.depthwise.kernel import Kernel
from striate.depthwise.problem import OPERATORS, Operator, Problem
from striate.device import cpu_computes, keep_freed_memory
from striate.geometry import plan_windows


@dataclass(frozen=True)
class Shape:
    """One line of the table: a network's layer, on a GPU with more items or positions."""

    name: str
    batch: int
    channels: int
    space: tuple[int, ...]
    kernel_size: int
    stride: int = 1


CPU_SHAPES: Final = (
    Shape("1-D k3", 4, 256, (1024,), 3),
    Shape("1-D k3 s2", 4, 256, (1024,), 3, 2),
    Shape("1-D k7", 4, 256, (1024,), 7),
    Shape("1-D k31", 4, 256, (1024,), 31),
    Shape("Conformer k31", 4, 144, (512,), 31),
    Shape("2-D k7 at 56 (ConvNeXt-T)", 4, 96, (56, 56), 7),
    Shape("2-D k7 at 28 (ConvNeXt-T)", 4, 192, (28, 28), 7),
    Shape("2-D k7 at 14 (ConvNeXt-T)", 4, 384, (14, 14), 7),
    Shape("2-D k7 at 7 (ConvNeXt-T)", 4, 768, (7, 7), 7),
    Shape("2-D k3 at 112 (EfficientNet-B0)", 4, 32, (112, 112), 3),
    Shape("2-D k3 s2 at 112 (EfficientNet-B0)", 4, 96, (112, 112), 3, 2),
    Shape("2-D k5 s2 at 56 (EfficientNet-B0)", 4, 144, (56, 56), 5, 2),
    Shape("2-D k5 at 28 (EfficientNet-B0)", 4, 240, (28, 28), 5),
    Shape("2-D k5 at 14 (EfficientNet-B0)", 4, 672, (14, 14), 5),
    Shape("2-D k5 at 7 (EfficientNet-B0)", 4, 1152, (7, 7), 5),
    Shape("2-D k3 s2 at 38 (Lite0 at 300)", 16, 240, (38, 38), 3, 2),
    Shape("2-D k3 at 19 (Lite0 at 300)", 16, 480, (19, 19), 3),
    Shape("2-D k5 at 19 (Lite0 at 300)", 16, 672, (19, 19), 5),
    Shape("2-D k5 s2 at 19 (Lite0 at 300)", 16, 672, (19, 19), 5, 2),
    Shape("2-D k5 at 10 (Lite0 at 300)", 16, 1152, (10, 10), 5),
    Shape("3-D k3 (X3D)", 1, 96, (28, 28, 28), 3),
    Shape("3-D k5", 1, 96, (14, 14, 14), 5),
    Shape("3-D k7 (3-D ConvNeXt)", 1, 96, (14, 14, 14), 7),
)
GPU_SHAPES: Final = (
    Shape("1-D k3", 64, 256, (4096,), 3),
    Shape("1-D k7", 64, 256, (4096,), 7),
    Shape("1-D k31", 64, 256, (4096,), 31),
    Shape("Conformer k31", 64, 144, (512,), 31),
    Shape("2-D k7 at 56 (ConvNeXt-T)", 128, 96, (56, 56), 7),
    Shape("2-D k7 at 28 (ConvNeXt-T)", 128, 192, (28, 28), 7),
    Shape("2-D k7 at 14 (ConvNeXt-T)", 128, 384, (14, 14), 7),
    Shape("2-D k7 at 7 (ConvNeXt-T)", 128, 768, (7, 7), 7),
    Shape("2-D k3 at 112", 128, 96, (112, 112), 3),
    Shape("2-D k3 at 112 (EfficientNet-B0)", 128, 32, (112, 112), 3),
    Shape("2-D k3 s2 at 112 (EfficientNet-B0)", 128, 96, (112, 112), 3, 2),
    Shape("2-D k5 s2 at 56 (EfficientNet-B0)", 128, 144, (56, 56), 5, 2),
    Shape("2-D k5 at 28 (EfficientNet-B0)", 128, 240, (28, 28), 5),
    Shape("2-D k5 at 14 (EfficientNet-B0)", 128, 672, (14, 14), 5),
    Shape("2-D k5 at 7 (EfficientNet-B0)", 128, 1152, (7, 7), 5),
    Shape("3-D k3 (X3D)", 8, 96, (56, 56, 56), 3),
    Shape("3-D k5", 8, 96, (28, 28, 28), 5),
    Shape("3-D k7 (3-D ConvNeXt)", 8, 96, (28, 28, 28), 7),
)
QUICK: Final = ("1-D k31", "2-D k7 at 28 (ConvNeXt-T)", "3-D k3 (X3D)")
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CALLS: Final = 20
"""Calls back to back of one time on a GPU, at most."""

CALLS_MS: Final = 40.0
"""Milliseconds of these calls beyond which there are fewer of them."""


class Machine:
    """Where the kernels run, and what it can do at best."""

    def __init__(self, device: str) -> None:
        self.device = device
        large = torch.randn(1 << 26, device=device)
        copy = torch.empty_like(large)
        [copied] = self.milliseconds([lambda: copy.copy_(large)])
        self.bytes_per_ms = 2 * large.nbytes / copied
        self.adds_per_ms = {dtype: self._multiply_adds(dtype) for dtype in DTYPES.values()}

    def _multiply_adds(self, dtype: torch.dtype) -> float:
        """In a matrix product, in a millisecond; of float32 where there are no instructions."""
        if self.device == "cpu" and not cpu_computes(dtype):
            dtype = torch.float32
        side = 1024 if self.device == "cpu" else 8192
        a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
        [taken] = self.milliseconds([lambda: a @ b])
        return side**3 / taken

    def floor(self, operator: Operator, problem: Problem) -> float:
        """Milliseconds below which no kernel can be: to read and write once, or to multiply."""
        numbers = prod(problem.x_shape) + prod(problem.y_shape) + prod(problem.weight_shape)
        moving = numbers * problem.dtype.itemsize / self.bytes_per_ms
        adds = prod(problem.y_shape) * prod(problem.kernel_size)
        return max(moving, adds / self.adds_per_ms[problem.dtype])

    def milliseconds(self, runs: list[Callable[[], object]], rounds: int = 7) -> list[float]:
        """The median of each, taken in turns."""
        times: list[list[float]] = [[] for _ in runs]
        for run in runs:
            run()
        calls = [1] * len(runs)
        if self.device == "cuda":
            calls = [max(1, min(CALLS, int(CALLS_MS / self._time(run, 1)))) for run in runs]
        for _ in range(rounds):
            for run, count, taken in zip(runs, calls, times, strict=True):
                taken.append(self._time(run, count))
        return [statistics.median(taken) for taken in times]

    def _time(self, run: Callable[[], object], calls: int) -> float:
        if self.device == "cpu":
            start = time.thread_time()
            run()
            return 1e3 * (time.thread_time() - start)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start) / calls

    def can_run(self, kernel: Kernel, problem: Problem) -> bool:
        """Whether a kernel ends without an error; one that fails is reported and left out."""
        try:
            call(kernel, problem)()
        except Exception as error:
            print(f"{kernel.name}.{kernel.operator} failed on {problem}: {error!r}")
            return False
        return True

    def __str__(self) -> str:
        rates = ", ".join(
            f"{2 * self.adds_per_ms[dtype] / 1e6:,.0f} GFLOP/s in {name}"
            for name, dtype in DTYPES.items()
        )
        name = processor() + ", one thread"
        if self.device == "cuda":
            name = torch.cuda.get_device_name()
        return f"{name}; copies {self.bytes_per_ms / 1e6:,.1f} GB/s, multiplies {rates}"


def problem_of(shape: Shape, dtype: torch.dtype, device: str) -> Problem:
    windows = plan_windows(
        shape.space, shape.kernel_size, stride=shape.stride, padding=shape.kernel_size // 2
    )
    return Problem(
        batch=shape.batch,
        channels=shape.channels,
        space=shape.space,
        windows=windows,
        dtype=dtype,
        device_type=device,
        channels_last=len(shape.space) > 1,
    )


def call(kernel: Kernel, problem: Problem) -> Callable[[], object]:
    """The kernel on random tensors."""
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (
        torch.randn(shape, device=problem.device_type).to(problem.dtype) for shape in shapes
    )
    x, grad = (t.contiguous(memory_format=problem.memory_format) for t in (x, grad))
    arguments = {
        "forward": (x, weight, None, problem),
        "input_gradient": (grad, weight, problem),
        "weight_gradient": (grad, x, problem),
    }[kernel.operator]
    return lambda: kernel.run(*arguments)


def measure(machine: Machine, operator: Operator, problem: Problem, *, all_: bool) -> Measured:
    layouts = [problem]
    if problem.channels_last:
        layouts.append(replace(problem, channels_last=False))
    chosen = choose(operator, problem)
    kernels = [chosen]
    if all_:
        kernels += [
            kernel
            for _, kernel in KERNELS.items()
            if kernel.operator == operator
            and kernel is not chosen
            and not kernel.unsupported_reasons(problem)
            and machine.can_run(kernel, problem)
        ]
    runs = [call(TORCH[operator], layout) for layout in layouts]
    runs += [call(kernel, problem) for kernel in kernels]
    times = machine.milliseconds(runs)
    torchs, (ours, *others) = times[: len(layouts)], times[len(layouts) :]
    return Measured(
        operator,
        problem,
        chosen.name,
        min(torchs),
        # Where torch is chosen, both sides run the same code.
        torchs[0] if chosen.name == "torch" else ours,
        machine.floor(operator, problem),
        {kernel.name: took for kernel, took in zip(kernels[1:], others, strict=True)},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="one shape of each rank")
    parser.add_argument("--all", action="store_true", help="every kernel, chosen or not")
    parser.add_argument("--write-gains", type=Path, metavar="FILE", help="write the table of gains")
    options = parser.parse_args(arguments)
    if options.quick and options.write_gains:
        parser.error("--write-gains needs every shape: leave --quick out")
    torch.set_num_threads(1)
    keep_freed_memory()
    machine = Machine(options.device)
    how = f"{machine}; torch {torch.__version__}, Python {platform.python_version()}"
    print(how)
    print("\nms torch -> ours (times faster; times the floor) kernel; torch in its better layout\n")
    print("| shape | type | forward | input gradient | weight gradient |")
    print("|---|---|---|---|---|")
    ratios: dict[tuple[int, Operator], list[float]] = {}
    measured: list[Measured] = []
    for shape in CPU_SHAPES if options.device == "cpu" else GPU_SHAPES:
        if options.quick and shape.name not in QUICK:
            continue
        for name, dtype in DTYPES.items():
            problem = problem_of(shape, dtype, options.device)
            every = options.all or options.write_gains is not None
            cells = [measure(machine, op, problem, all_=every) for op in OPERATORS]
            measured += cells
            for cell in cells:
                ratio = cell.torchs / cell.ours
                ratios.setdefault((len(shape.space), cell.operator), []).append(ratio)
            size = "x".join(map(str, (shape.batch, shape.channels, *shape.space)))
            row = " | ".join(map(str, cells))
            print(f"| {shape.name}, {size} | {name} | {row} |", flush=True)
    print("\ngeometric means of the ratios:")
    for (rank, operator), values in sorted(ratios.items()):
        mean = exp(sum(map(log, values)) / len(values))
        print(f"{rank}-D {operator}: {mean:.2f} (least {min(values):.2f})")
    if options.write_gains:
        old = json.loads(GAINS.read_text())
        options.write_gains.write_text(new_table(old, measured, options.device, how))
        print(f"\nwrote {options.write_gains}")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
