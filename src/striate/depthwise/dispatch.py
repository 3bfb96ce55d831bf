"""Which kernel computes a depthwise convolution: a table of kernels, their limits and their gains.

A kernel's `limits` say where it is right, and its `gains` where it was measured to be faster than
torch's own convolution. The first kernel of the table that has both for an operator is taken, and
torch's own convolution where there is none.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any, Final

import torch

from striate.depthwise import torch_native as vendor
from striate.depthwise.cpu import convolve as cpu_convolve
from striate.depthwise.cpu import correlate as cpu_correlate
from striate.depthwise.cpu import rearranged as cpu_rearranged
from striate.depthwise.cpu import widened as cpu_widened
from striate.depthwise.gpu import cuda_bands, cuda_plan, triton_1d, triton_direct
from striate.depthwise.problem import OPERATORS, Operator, Problem
from striate.device import cpu_computes, cpu_vectors
from striate.errors import ArgumentError, UnknownNameError
from striate.registry import Registry

ANY: Final = 1 << 31
"""No upper limit."""

FLOATS: Final = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A set of problems; an empty tuple allows everything.

    Attributes:
        ranks: numbers of spatial axes.
        device_types: as torch names them.
        dtypes: types of the tensors.
        taps: least and most taps along the longest axis of the kernel.
        outputs: least and most positions of an item's output.
        strides: least and most of the largest stride.
        dilation: the largest dilation.
        channels_last: the layout; None for either.
        native: whether the processor has instructions for the type; None for either.
        vectors: the processor's vector instructions, as torch names them; None for any.
    """

    ranks: tuple[int, ...] = ()
    device_types: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    taps: tuple[int, int] = (1, ANY)
    outputs: tuple[int, int] = (1, ANY)
    strides: tuple[int, int] = (1, ANY)
    dilation: int = ANY
    channels_last: bool | None = None
    native: bool | None = None
    vectors: str | None = None

    def unmet(self, problem: Problem) -> list[str]:
        """Why the problem is outside; empty where it is inside."""
        reasons = [
            f"{name} {value} is not {' or '.join(map(str, allowed))}"
            for name, value, allowed in (
                ("rank", problem.rank, self.ranks),
                ("device", problem.device_type, self.device_types),
                ("type", problem.dtype, self.dtypes),
            )
            if allowed and value not in allowed
        ]
        reasons += [
            f"{name} {value} is outside {low} to {high}"
            for name, value, (low, high) in (
                ("kernel size", max(problem.kernel_size), self.taps),
                ("number of outputs", prod(problem.out_space), self.outputs),
                ("stride", max(problem.stride), self.strides),
                ("dilation", max(problem.dilation), (1, self.dilation)),
            )
            if not low <= value <= high
        ]
        if self.channels_last is not None and problem.channels_last != self.channels_last:
            reasons.append(
                "channels are " + ("not " if self.channels_last else "") + "last in memory"
            )
        if self.native is not None and cpu_computes(problem.dtype) != self.native:
            has = "has no" if self.native else "has"
            reasons.append(f"the processor {has} instructions for {problem.dtype}")
        if self.vectors is not None and cpu_vectors() != self.vectors:
            reasons.append(f"vector instructions {cpu_vectors()} are not {self.vectors}")
        return reasons


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One way to compute one operator.

    Attributes:
        name: the implementation it belongs to.
        operator: what it computes.
        run: `forward(x, weight, bias, problem)`, `input_gradient(grad, weight, problem)` or
            `weight_gradient(grad, x, problem)`.
        limits: where it is right.
        packages: what must be installed beside torch.
        capability: the least compute capability of the GPU.
        gains: where it was measured to be faster than torch, in any of these.
    """

    name: str
    operator: Operator
    run: Callable[..., Any]
    limits: Limits = Limits()
    packages: tuple[str, ...] = ()
    capability: tuple[int, int] | None = None
    gains: tuple[Limits, ...] = (Limits(),)

    def unsupported_reasons(self, problem: Problem) -> list[str]:
        """Why this kernel cannot compute the problem here; empty where it can."""
        empty = [] if problem.batch else ["there are no items"]
        return self.missing() + empty + self.limits.unmet(problem)

    def missing(self) -> list[str]:
        """What this machine lacks for it."""
        reasons = [f"{name} is not installed" for name in self.packages if not installed(name)]
        if self.capability is not None and gpu_capability() < self.capability:
            least = ".".join(map(str, self.capability))
            reasons.append(f"there is no GPU of compute capability {least}")
        return reasons

    def is_faster(self, problem: Problem) -> bool:
        """Whether it was measured to be faster than torch on problems like this one."""
        return any(not gain.unmet(problem) for gain in self.gains)


CPU: Final = ("cpu",)
BF16: Final = (torch.bfloat16,)
HALVES: Final = (torch.bfloat16, torch.float16)
FP32: Final = (torch.float32,)

KERNELS: Final[Registry[Kernel]] = Registry("kernel")
"""Every kernel, under "name.operator"; of those that are faster, the first is taken."""


def _where_native(**limits: Any) -> tuple[Limits, Limits]:
    """The same in float32, and in half precision where the processor has instructions for it."""
    return Limits(dtypes=FP32, **limits), Limits(dtypes=HALVES, native=True, **limits)


def _on_avx2(**limits: Any) -> Limits:
    """In float32 and with channels last, where it was measured with these instructions alone."""
    return Limits(dtypes=FP32, vectors="AVX2", channels_last=True, **limits)


_IN_MACHINE_CODE: Final[dict[Operator, tuple[Limits, ...]]] = {
    "forward": (
        Limits(ranks=(1,), taps=(3, ANY), dtypes=FP32, vectors="AVX2"),
        Limits(ranks=(1,), taps=(3, ANY), dtypes=BF16, native=False),
        _on_avx2(ranks=(2,), taps=(3, 4), strides=(1, 1), outputs=(300, 4000)),
        _on_avx2(ranks=(2,), taps=(5, ANY), strides=(1, 1)),
        _on_avx2(ranks=(3,), taps=(5, ANY), strides=(1, 1)),
        Limits(ranks=(2, 3), taps=(3, ANY), dtypes=BF16, native=False, channels_last=True),
    ),
    "input_gradient": (
        Limits(ranks=(1,), taps=(3, ANY), dtypes=FP32, vectors="AVX2"),
        Limits(ranks=(1,), taps=(3, ANY), dtypes=BF16, native=False),
        _on_avx2(ranks=(2,), strides=(2, 2)),
        _on_avx2(ranks=(2,), taps=(3, 4), strides=(1, 1), outputs=(150, 4000)),
        _on_avx2(ranks=(2, 3), taps=(5, ANY)),
        Limits(ranks=(2, 3), taps=(3, ANY), dtypes=BF16, native=False, channels_last=True),
    ),
}
"""Where machine code is faster than torch and than its rearrangements."""

_WIDENED: Final[dict[Operator, tuple[Limits, ...]]] = {
    "forward": (
        Limits(ranks=(1,), taps=(15, ANY), native=False),
        Limits(ranks=(2, 3), native=False),
    ),
    "input_gradient": (
        Limits(ranks=(1,), taps=(15, ANY), native=False),
        Limits(ranks=(2,), channels_last=True, native=False),
        Limits(ranks=(2,), taps=(5, ANY), native=False),
        Limits(ranks=(3,), native=False),
    ),
    "weight_gradient": (
        Limits(ranks=(1,), taps=(5, ANY), native=False),
        Limits(ranks=(2,), channels_last=True, native=False),
        Limits(ranks=(3,), native=False),
    ),
}
"""Where float32 is faster than half precision without instructions for it."""

_ON_GPUS: Final = (
    (
        "triton-banded",
        triton_1d,
        Limits(
            ranks=(1,),
            device_types=("cuda",),
            dtypes=FLOATS,
            taps=(1, triton_1d.MOST_TAPS),
            strides=(1, 1),
            dilation=1,
        ),
        "triton",
        None,
    ),
    (
        "cuda-banded",
        cuda_bands,
        Limits(
            ranks=(2, 3),
            device_types=("cuda",),
            dtypes=HALVES,
            taps=(1, cuda_plan.MOST_TAPS),
            strides=(1, 1),
            dilation=1,
            channels_last=True,
        ),
        "cuda.bindings",
        (9, 0),
    ),
    (
        "triton-direct",
        triton_direct,
        Limits(device_types=("cuda",), dtypes=FLOATS, taps=(1, triton_direct.MOST_TAPS)),
        "triton",
        None,
    ),
)
"""Name, module, limits, package and capability. They have no gains until they are measured on a GPU, and
are not chosen unless asked for."""

for _kernel in (
    Kernel(
        name="cpu-numba",
        operator="weight_gradient",
        run=cpu_correlate.weight_gradient,
        limits=Limits(device_types=CPU, dtypes=FP32 + BF16),
        packages=("numba",),
        gains=(
            Limits(ranks=(1,), taps=(5, ANY)),
            Limits(ranks=(1,), taps=(3, 4), dtypes=BF16),
            Limits(ranks=(1,), taps=(3, 4), strides=(1, 2), dtypes=FP32, vectors="AVX2"),
            Limits(ranks=(2,), taps=(5, ANY), dtypes=FP32, channels_last=True),
            _on_avx2(ranks=(2,), taps=(3, 4), strides=(1, 1)),
            _on_avx2(ranks=(2,), taps=(3, 4), strides=(2, 2), outputs=(1, 800)),
            Limits(ranks=(2,), taps=(3, ANY), dtypes=BF16, channels_last=True, native=False),
            Limits(ranks=(3,), taps=(3, ANY)),
        ),
    ),
    *(
        Kernel(
            name="cpu-numba",
            operator=operator,
            run=getattr(cpu_convolve, operator),
            limits=Limits(device_types=CPU, dtypes=FP32 + BF16),
            packages=("numba",),
            gains=gains,
        )
        for operator, gains in _IN_MACHINE_CODE.items()
    ),
    *(
        Kernel(
            name="cpu-widened",
            operator=operator,
            run=getattr(cpu_widened, operator),
            limits=Limits(device_types=CPU, dtypes=HALVES),
            gains=gains,
        )
        for operator, gains in _WIDENED.items()
    ),
    Kernel(
        name="cpu-rearranged",
        operator="forward",
        run=cpu_rearranged.forward,
        limits=Limits(ranks=(1,), device_types=CPU, dtypes=FLOATS, strides=(1, 1)),
        gains=_where_native(taps=(15, ANY)),
    ),
    Kernel(
        name="cpu-rearranged",
        operator="input_gradient",
        run=cpu_rearranged.input_gradient,
        limits=Limits(device_types=CPU, dtypes=FLOATS),
        gains=(
            Limits(ranks=(1,), strides=(2, 2), dtypes=BF16, native=True),
            *_where_native(ranks=(2,), strides=(1, 1), channels_last=True),
            *_where_native(ranks=(2,), strides=(1, 1), taps=(5, ANY)),
            Limits(ranks=(2,), strides=(2, 2), dtypes=BF16, native=True),
            *_where_native(ranks=(3,), taps=(3, ANY)),
        ),
    ),
    Kernel(
        name="cpu-rearranged",
        operator="weight_gradient",
        run=cpu_rearranged.weight_gradient,
        limits=Limits(device_types=CPU, dtypes=FLOATS),
        gains=(
            *_where_native(ranks=(1,), taps=(5, ANY)),
            *_where_native(ranks=(2,), taps=(4, ANY)),
            *_where_native(ranks=(3,), taps=(3, ANY), strides=(1, 1)),
            Limits(ranks=(3,), taps=(3, ANY), strides=(2, 2), dtypes=BF16, native=True),
        ),
    ),
    *(
        Kernel(
            name=name,
            operator=operator,
            run=getattr(module, operator),
            limits=limits,
            packages=(package,),
            capability=capability,
            gains=(),
        )
        for name, module, limits, package, capability in _ON_GPUS
        for operator in OPERATORS
    ),
):
    KERNELS.add(f"{_kernel.name}.{_kernel.operator}", _kernel)

ACCELERATED: Final = frozenset(
    device for _, kernel in KERNELS.items() if kernel.gains for device in kernel.limits.device_types
)
"""Devices on which some kernel was measured to be faster than torch."""

TORCH: Final[dict[Operator, Kernel]] = {
    "forward": Kernel(name="torch", operator="forward", run=vendor.forward),
    "input_gradient": Kernel(name="torch", operator="input_gradient", run=vendor.input_gradient),
    "weight_gradient": Kernel(name="torch", operator="weight_gradient", run=vendor.weight_gradient),
}
"""torch's own convolution, which computes everything."""


@lru_cache(maxsize=4096)
def choose(operator: Operator, problem: Problem, implementation: str | None = None) -> Kernel:
    """The kernel that computes `operator`.

    Args:
        operator: what is to be computed.
        problem: on what.
        implementation: the name of the one that must, where it has this operator (torch computes
            what it has not); None takes the fastest known.

    Raises:
        UnknownNameError: there is no implementation of that name.
        ArgumentError: it cannot compute this; the message says why.
    """
    candidates = [kernel for _, kernel in KERNELS.items() if kernel.operator == operator]
    if implementation is None:
        faster = (
            kernel
            for kernel in candidates
            if kernel.is_faster(problem) and not kernel.unsupported_reasons(problem)
        )
        return next(faster, TORCH[operator])
    if implementation not in implementations():
        raise UnknownNameError("implementation", implementation, implementations())
    for kernel in candidates:
        if kernel.name == implementation:
            if reasons := kernel.unsupported_reasons(problem):
                raise ArgumentError(
                    f"implementation={implementation!r}", why=f"{operator}: {'; '.join(reasons)}"
                )
            return kernel
    return TORCH[operator]


def implementations() -> list[str]:
    """The names that can be asked for."""
    return [*dict.fromkeys(kernel.name for _, kernel in KERNELS.items()), "torch"]


@cache
def installed(package: str) -> bool:
    """Whether an optional package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that would hold it
        return False


def gpu_capability() -> tuple[int, int]:
    """The compute capability of torch's present GPU; (0, 0) without one."""
    return torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)
