"""Which kernel computes a depthwise convolution: a table of kernels, their limits and their gains.

A kernel's `limits` say where it is right, and its `gains` where it was measured to be faster than
torch's own convolution. The first kernel of the table that has both for an operator is taken, and
torch's own convolution where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import torch

from striate.errors import ArgumentError
from striate.kernels import rearranged, vendor
from striate.kernels.problem import Operator, Problem
from striate.registry import Registry

FLOATS: Final = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A set of problems; an empty tuple allows everything.

    Attributes:
        ranks: numbers of spatial axes.
        device_types: as torch names them.
        dtypes: types of the tensors.
        taps: least and most taps along the longest axis of the kernel.
        strides: least and most of the largest stride.
        dilation: the largest dilation.
        channels_last: the layout; None for either.
    """

    ranks: tuple[int, ...] = ()
    device_types: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    taps: tuple[int, int] = (1, 1 << 31)
    strides: tuple[int, int] = (1, 1 << 31)
    dilation: int = 1 << 31
    channels_last: bool | None = None

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
                ("stride", max(problem.stride), self.strides),
                ("dilation", max(problem.dilation), (1, self.dilation)),
            )
            if not low <= value <= high
        ]
        if self.channels_last is not None and problem.channels_last != self.channels_last:
            reasons.append(
                "channels are " + ("not " if self.channels_last else "") + "last in memory"
            )
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
        gains: where it was measured to be faster than torch, in any of these.
    """

    name: str
    operator: Operator
    run: Callable[..., Any]
    limits: Limits
    gains: tuple[Limits, ...] = (Limits(),)

    def unsupported_reasons(self, problem: Problem) -> list[str]:
        """Why this kernel cannot compute the problem; empty where it can."""
        return self.limits.unmet(problem)

    def is_faster(self, problem: Problem) -> bool:
        """Whether it was measured to be faster than torch on problems like this one."""
        return any(not gain.unmet(problem) for gain in self.gains)


KERNELS: Final[Registry[Kernel]] = Registry("kernel")


def _add(kernel: Kernel) -> None:
    KERNELS.add(f"{kernel.name}.{kernel.operator}", kernel)


_CPU: Final = Limits(ranks=(2,), device_types=("cpu",), dtypes=FLOATS)

_add(
    Kernel(
        name="rearranged",
        operator="input_gradient",
        run=rearranged.input_gradient,
        limits=_CPU,
        gains=(
            Limits(strides=(1, 1)),
            Limits(strides=(2, 2), dtypes=(torch.bfloat16,)),
        ),
    )
)
_add(
    Kernel(
        name="rearranged",
        operator="weight_gradient",
        run=rearranged.weight_gradient,
        limits=_CPU,
        gains=(Limits(taps=(4, 1 << 31)),),
    )
)

TORCH: Final[dict[Operator, Kernel]] = {
    "forward": Kernel(name="torch", operator="forward", run=vendor.forward, limits=Limits()),
    "input_gradient": Kernel(
        name="torch", operator="input_gradient", run=vendor.input_gradient, limits=Limits()
    ),
    "weight_gradient": Kernel(
        name="torch", operator="weight_gradient", run=vendor.weight_gradient, limits=Limits()
    ),
}


@lru_cache(maxsize=4096)
def choose(operator: Operator, problem: Problem, implementation: str | None = None) -> Kernel:
    """The kernel that computes `operator`.

    Args:
        operator: what is to be computed.
        problem: on what.
        implementation: the name of the one that must; None takes the fastest known.

    Raises:
        ArgumentError: the implementation asked for cannot; the message says why.
    """
    for _, kernel in KERNELS.items():
        if kernel.operator != operator or implementation not in (None, kernel.name):
            continue
        reasons = kernel.unsupported_reasons(problem)
        if implementation is not None and reasons:
            raise ArgumentError(f"implementation={implementation!r}", why="; ".join(reasons))
        if not reasons and (implementation is not None or kernel.is_faster(problem)):
            return kernel
    return TORCH[operator]
