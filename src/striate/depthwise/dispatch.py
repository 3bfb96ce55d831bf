"""Which kernel computes a depthwise convolution: the table of kernels, and the choice among them.

A kernel's `limits` say what it computes, and its `gains` where it was measured to be faster than torch's
own convolution: `gains.json` holds them, and `benchmarks/depthwise.py --write-gains` measures and writes
them. The first kernel of the table that has both for an operator is taken, and torch's own convolution
where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from striate.depthwise.kernel import FLOATS, Kernel, Limits
from striate.depthwise.problem import OPERATORS, Operator, Problem
from striate.errors import ArgumentError, UnknownNameError
from striate.registry import Registry

HALVES: Final = ("bfloat16", "float16")
CPU: Final = ("cpu",)
CUDA: Final = ("cuda",)

GAINS: Final = Path(__file__).with_name("gains.json")

WIDENED: Final = "float32"
"""In the place of a module: computed in float32, by the kernel that is chosen for it."""

_PLAIN: Final[Any] = {"strides": (1, 1), "dilations": (1, 1)}
_MACHINE_CODE: Final = Limits(device_types=CPU, dtypes=("float32", "bfloat16"))


class _Row(NamedTuple):
    """Some operators of an implementation, and the module that has a function of each one's name."""

    name: str
    module: str
    operators: tuple[Operator, ...]
    limits: Limits
    packages: tuple[str, ...] = ()


_TABLE: Final = (
    _Row("cpu-numba", "cpu.correlate", ("weight_gradient",), _MACHINE_CODE, ("numba",)),
    _Row("cpu-numba", "cpu.convolve", ("forward", "input_gradient"), _MACHINE_CODE, ("numba",)),
    _Row("cpu-widened", WIDENED, OPERATORS, Limits(device_types=CPU, dtypes=HALVES)),
    _Row(
        "cpu-rearranged",
        "cpu.rearranged",
        ("forward",),
        Limits(ranks=(1,), device_types=CPU, dtypes=FLOATS, strides=(1, 1)),
    ),
    _Row(
        "cpu-rearranged",
        "cpu.rearranged",
        ("input_gradient", "weight_gradient"),
        Limits(device_types=CPU, dtypes=FLOATS),
    ),
    _Row(
        "triton-banded",
        "gpu.triton_banded",
        OPERATORS,
        Limits(ranks=(1,), device_types=CUDA, dtypes=FLOATS, taps=(1, 33), **_PLAIN),
        ("triton",),
    ),
    _Row(
        "cuda-banded",
        "gpu.cuda_banded",
        OPERATORS,
        Limits(
            ranks=(2, 3),
            device_types=CUDA,
            dtypes=HALVES,
            taps=(1, 7),  # eight outputs read at most sixteen inputs, in two masked words
            layouts=("channels last",),
            capability=(9.0, None),
            **_PLAIN,
        ),
        ("cuda.bindings",),
    ),
    _Row(
        "triton-direct",
        "gpu.triton_direct",
        OPERATORS,
        Limits(device_types=CUDA, dtypes=FLOATS, taps=(1, 32)),
        ("triton",),
    ),
)
"""In the order in which they are taken."""


@dataclass(frozen=True)
class Verdict:
    """Whether a kernel computes a problem, and if not why not."""

    kernel: Kernel
    is_chosen: bool
    reasons: tuple[str, ...]


def read_gains(text: str) -> dict[tuple[str, Operator], tuple[Limits, ...]]:
    """Where each kernel was measured to be faster than torch, by its name and operator."""
    gains: dict[tuple[str, Operator], tuple[Limits, ...]] = {}
    for row in json.loads(text)["gains"]:
        key = row["kernel"], row["operator"]
        gains[key] = (*gains.get(key, ()), Limits.from_json(row["where"]))
    return gains


@lru_cache(maxsize=4096)
def choose(operator: Operator, problem: Problem, implementation: str | None = None) -> Kernel:
    """The kernel that computes an operator.

    Args:
        operator: What is to be computed.
        problem: The convolution that it is computed of.
        implementation: Name of the one that must compute it, where it has this operator (torch
            computes what it has not). None takes the fastest that is known.

    Raises:
        UnknownNameError: There is no implementation of that name.
        ArgumentError: The implementation cannot compute this; the message says why.
    """
    candidates = [kernel for _, kernel in KERNELS.items() if kernel.operator == operator]
    if implementation is None:
        faster = (
            kernel
            for kernel in candidates
            if kernel.is_faster(problem) and not kernel.unsupported_reasons(problem)
        )
        return next(faster, TORCH[operator])
    names = [*dict.fromkeys(kernel.name for _, kernel in KERNELS.items()), "torch"]
    if implementation not in names:
        raise UnknownNameError("implementation", implementation, names)
    kernel = next((k for k in candidates if k.name == implementation), None)
    if kernel is not None and (reasons := kernel.unsupported_reasons(problem)):
        raise ArgumentError(
            f"implementation={implementation!r}", why=f"{operator}: {'; '.join(reasons)}"
        )
    return kernel or TORCH[operator]


def verdicts(operator: Operator, problem: Problem) -> list[Verdict]:
    """Which kernel computes an operator, and why each of the others does not; torch's own is last."""
    chosen = choose(operator, problem)
    found = []
    for kernel in (*(kernel for _, kernel in KERNELS.items()), TORCH[operator]):
        if kernel.operator == operator:
            reasons = kernel.unsupported_reasons(problem)
            if kernel is TORCH[operator]:
                reasons = ["another kernel was measured to be faster"]
            elif not reasons and kernel.is_faster(problem):
                reasons = [f"{chosen.name} comes before it"]
            elif not reasons:
                reasons = ["not measured to be faster than torch on such inputs"]
            is_chosen = kernel is chosen
            found.append(Verdict(kernel, is_chosen, () if is_chosen else tuple(reasons)))
    return found


def _imported(module: str, operator: Operator) -> Callable[..., Tensor]:
    """The function of a module that is imported when it is first called: it may need a package."""

    def run(*arguments: Any) -> Tensor:
        function = getattr(import_module(f"striate.depthwise.{module}"), operator)
        result: Tensor = function(*arguments)
        return result

    return run


def _widened(operator: Operator) -> Callable[..., Tensor]:
    """The kernel chosen for float32, its result rounded.

    Where the processor has no instructions for bfloat16 and float16, oneDNN computes them element by
    element, up to 80 times slower than float32.
    """

    def run(*arguments: Any) -> Tensor:
        *tensors, problem = arguments
        wide = replace(problem, dtype=torch.float32)
        floats = [None if tensor is None else tensor.float() for tensor in tensors]
        return choose(operator, wide).run(*floats, wide).to(problem.dtype)

    return run


def _kernels() -> Registry[Kernel]:
    gains = read_gains(GAINS.read_text())
    kernels: Registry[Kernel] = Registry("kernel")
    for row in _TABLE:
        for operator in row.operators:
            widened = row.module == WIDENED
            kernel = Kernel(
                name=row.name,
                operator=operator,
                run=_widened(operator) if widened else _imported(row.module, operator),
                limits=row.limits,
                packages=row.packages,
                gains=gains.get((row.name, operator), ()),
            )
            kernels.add(f"{row.name}.{operator}", kernel)
    return kernels


KERNELS: Final[Registry[Kernel]] = _kernels()
"""Every kernel, under "name.operator"; of those that are faster, the first is taken."""

ACCELERATED: Final = frozenset(
    device for _, kernel in KERNELS.items() if kernel.gains for device in kernel.limits.device_types
)
"""Devices on which some kernel was measured to be faster than torch."""

TORCH: Final[dict[Operator, Kernel]] = {
    operator: Kernel(name="torch", operator=operator, run=_imported("torch_native", operator))
    for operator in OPERATORS
}
"""torch's own convolution, which computes everything."""
