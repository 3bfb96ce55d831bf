"""Depthwise convolution and its gradients against torch's own, in one run.

    python benchmarks/depthwise.py [--quick]

On the CPU with one thread, in processor time, so that other work on the machine disturbs little:
medians in milliseconds of torch's better layout and of what `striate.ops.depthwise` chooses.
About two minutes on one core of a Zen 4; `--quick` takes a shape of each rank.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path

import torch

from striate.geometry import plan_windows
from striate.kernels.dispatch import TORCH, choose
from striate.kernels.problem import OPERATORS, Operator, Problem


@dataclass(frozen=True)
class Shape:
    """One line of the table: a network's layer, or a shape measured on a GPU with a smaller batch."""

    name: str
    batch: int
    channels: int
    space: tuple[int, ...]
    kernel_size: int
    stride: int = 1


SHAPES = (
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
QUICK = ("1-D k31", "2-D k7 at 28 (ConvNeXt-T)", "3-D k3 (X3D)")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def problem_of(shape: Shape, dtype: torch.dtype) -> Problem:
    windows = plan_windows(
        shape.space, shape.kernel_size, stride=shape.stride, padding=shape.kernel_size // 2
    )
    return Problem(
        batch=shape.batch,
        channels=shape.channels,
        space=shape.space,
        windows=windows,
        dtype=dtype,
        channels_last=len(shape.space) > 1,
    )


def call(operator: Operator, problem: Problem, implementation: str | None) -> Callable[[], object]:
    """The operator on random tensors, by the implementation named or the one chosen."""
    shapes = (problem.x_shape, problem.weight_shape, problem.y_shape)
    x, weight, grad = (torch.randn(s).to(problem.dtype) for s in shapes)
    x, grad = (t.contiguous(memory_format=problem.memory_format) for t in (x, grad))
    run = (choose(operator, problem) if implementation is None else TORCH[operator]).run
    arguments = {
        "forward": (x, weight, None, problem),
        "input_gradient": (grad, weight, problem),
        "weight_gradient": (grad, x, problem),
    }[operator]
    return lambda: run(*arguments)


def milliseconds(runs: list[Callable[[], object]], rounds: int = 7) -> list[float]:
    """The median of each, taken in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(rounds):
        for run, taken in zip(runs, times, strict=True):
            start = time.thread_time()
            run()
            taken.append(1e3 * (time.thread_time() - start))
    return [statistics.median(taken) for taken in times]


def measure(shape: Shape, dtype: torch.dtype) -> Iterator[tuple[Operator, str, float, float]]:
    """For each operator: the kernel chosen, torch's better layout and ours, in milliseconds."""
    problem = problem_of(shape, dtype)
    layouts = [problem]
    if problem.channels_last:
        layouts.append(replace(problem, channels_last=False))
    for operator in OPERATORS:
        kernel = choose(operator, problem).name
        theirs = [call(operator, layout, "torch") for layout in layouts]
        *torchs, ours = milliseconds([*theirs, call(operator, problem, None)])
        # Where torch is chosen, both sides run the same code.
        yield operator, kernel, min(torchs), torchs[0] if kernel == "torch" else ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one shape of each rank")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print(
        f"{processor()}, one thread; torch {torch.__version__}, Python {platform.python_version()}"
    )
    print("\nms torch -> ours (times faster), kernel chosen; torch in its better layout\n")
    print("| shape | type | forward | input gradient | weight gradient |")
    print("|---|---|---|---|---|")
    ratios: dict[tuple[int, Operator], list[float]] = {}
    for shape in SHAPES:
        if quick and shape.name not in QUICK:
            continue
        for name, dtype in DTYPES.items():
            cells = []
            for operator, kernel, torchs, ours in measure(shape, dtype):
                ratio = torchs / ours
                ratios.setdefault((len(shape.space), operator), []).append(ratio)
                cells.append(f"{torchs:.2f} -> {ours:.2f} ({ratio:.1f}) {kernel}")
            size = "x".join(map(str, (shape.batch, shape.channels, *shape.space)))
            print(f"| {shape.name}, {size} | {name} | {' | '.join(cells)} |", flush=True)
    print("\ngeometric means of the ratios:")
    for (rank, operator), values in sorted(ratios.items()):
        mean = exp(sum(map(log, values)) / len(values))
        print(f"{rank}-D {operator}: {mean:.2f} (least {min(values):.2f})")
    if not torch.cuda.is_available():
        print("\nGPU: not measured: no GPU")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
