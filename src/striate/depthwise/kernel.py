"""What is known of a kernel before it runs: the problems it computes and where it is the faster one.

Both are sets of problems (`Limits`), and a problem outside of a set is told why: the reasons are data.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from math import inf, prod
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from striate.depthwise.problem import Operator, Problem
from striate.device import cpu_computes, cpu_vectors

FLOATS: Final = ("float32", "bfloat16", "float16")
"""Names of the types that kernels compute."""

LAYOUTS: Final = ("contiguous", "channels last")
"""Orders in memory: channels before the spatial axes, or innermost."""

Range: TypeAlias = tuple[float, float | None]
"""The smallest and the largest value, both included; None is no upper limit."""

_FACTS: Final[Mapping[str, tuple[str, Callable[[Problem], Any]]]] = {
    "ranks": ("rank", lambda problem: problem.rank),
    "device_types": ("device", lambda problem: problem.device_type),
    "dtypes": ("type", lambda problem: str(problem.dtype).removeprefix("torch.")),
    "layouts": ("layout", lambda problem: LAYOUTS[problem.channels_last]),
    "arithmetic": ("arithmetic", lambda problem: arithmetic_of(problem.dtype)),
    "vectors": ("set of vector instructions", lambda problem: cpu_vectors()),
    "taps": ("kernel size", lambda problem: max(problem.kernel_size)),
    "outputs": ("number of outputs", lambda problem: prod(problem.out_space)),
    "strides": ("stride", lambda problem: max(problem.stride)),
    "dilations": ("dilation", lambda problem: max(problem.dilation)),
    "capability": ("compute capability", lambda problem: gpu_capability()),
}
"""For each attribute of `Limits`, the word for what it limits and the value of a problem."""

_RANGES: Final = ("taps", "outputs", "strides", "dilations", "capability")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A set of problems. What is left out is not limited.

    Attributes:
        ranks: Numbers of spatial axes.
        device_types: Where the tensors are, as torch names it.
        dtypes: Names of the tensors' types.
        layouts: Orders in memory, of `LAYOUTS`.
        arithmetic: `native` where the processor has instructions for the type, else `emulated`.
        vectors: The processor's vector instructions, as torch names them.
        taps: Taps along the longest axis of the kernel.
        outputs: Positions of an item's output.
        strides: The largest stride of an axis.
        dilations: The largest dilation of an axis.
        capability: Compute capability of the GPU.
    """

    ranks: tuple[int, ...] = ()
    device_types: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    arithmetic: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    taps: Range = (1, None)
    outputs: Range = (1, None)
    strides: Range = (1, None)
    dilations: Range = (1, None)
    capability: Range = (0, None)

    @staticmethod
    def from_json(document: Mapping[str, Sequence[Any]]) -> Limits:
        """Read what `to_json` wrote."""
        values: dict[str, Any] = {name: tuple(value) for name, value in document.items()}
        return Limits(**values)

    def to_json(self) -> dict[str, Sequence[Any]]:
        """What is limited, by the names of the attributes."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def unmet(self, problem: Problem) -> list[str]:
        """Why the problem is outside; empty where it is inside."""
        reasons = []
        for name, allowed in self.to_json().items():
            word, value_of = _FACTS[name]
            value = value_of(problem)
            if not _is_allowed(name, allowed, value):
                reasons.append(f"{word} is {value}, not {_text(name, allowed)}")
        return reasons

    def holds_here(self, dtypes: Iterable[str]) -> bool:
        """Whether this machine has what the limits ask of it, for one of these types."""
        kinds = {arithmetic_of(getattr(torch, name)) for name in self.dtypes or dtypes}
        return (
            (not self.vectors or cpu_vectors() in self.vectors)
            and (not self.arithmetic or not kinds.isdisjoint(self.arithmetic))
            and gpu_capability() >= self.capability[0]
        )

    def __str__(self) -> str:
        """The limits in words, as `rank 1; type float32; kernel size 5 or more`."""
        limits = self.to_json().items()
        return "; ".join(f"{_FACTS[name][0]} {_text(name, allowed)}" for name, allowed in limits)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One way to compute one operator.

    Attributes:
        name: The implementation it belongs to.
        operator: What it computes.
        run: `forward(x, weight, bias, problem)`, `input_gradient(grad, weight, problem)` or
            `weight_gradient(grad, x, problem)`.
        limits: The problems that it computes.
        packages: What must be installed beside torch.
        gains: Where it was measured to be faster than torch, in any of these.
    """

    name: str
    operator: Operator
    run: Callable[..., Tensor]
    limits: Limits = Limits()
    packages: tuple[str, ...] = ()
    gains: tuple[Limits, ...] = ()

    def unsupported_reasons(self, problem: Problem) -> list[str]:
        """Why this kernel cannot compute the problem here; empty where it can."""
        reasons = self.missing() + self.limits.unmet(problem)
        return reasons if problem.batch else ["there are no items", *reasons]

    def missing(self) -> list[str]:
        """What this machine lacks for it, whatever the problem."""
        reasons = [f"{name} is not installed" for name in self.packages if not installed(name)]
        if self.limits.device_types == ("cuda",) and gpu_capability() == 0:
            reasons.append("there is no GPU")
        return reasons

    def is_faster(self, problem: Problem) -> bool:
        """Whether it was measured to be faster than torch on problems like this one."""
        return any(not gain.unmet(problem) for gain in self.gains)

    def is_faster_here(self) -> bool:
        """Whether it was measured to be faster than torch on a machine like this one."""
        return any(gain.holds_here(self.limits.dtypes) for gain in self.gains)


@cache
def installed(package: str) -> bool:
    """Whether an optional package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that would hold it
        return False


def gpu_capability() -> float:
    """The compute capability of torch's present GPU, as 9.0; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    major, minor = torch.cuda.get_device_capability()
    return major + minor / 10


def arithmetic_of(dtype: torch.dtype) -> str:
    """Whether the processor has instructions that multiply numbers of this type."""
    return "native" if cpu_computes(dtype) else "emulated"


def _is_allowed(name: str, allowed: Sequence[Any], value: Any) -> bool:
    if name not in _RANGES:
        return value in allowed
    low, high = allowed
    return bool(low <= value <= (inf if high is None else high))


def _text(name: str, allowed: Sequence[Any]) -> str:
    """`1 or 2` of a set; `5 or more`, `1` or `3 to 4` of a range."""
    if name not in _RANGES:
        return " or ".join(map(str, allowed))
    low, high = allowed
    if high is None:
        return f"{low} or more"
    return f"{low}" if low == high else f"{low} to {high}"
