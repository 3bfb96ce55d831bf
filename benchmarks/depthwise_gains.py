"""The table of gains that depthwise kernels are chosen by, from what `depthwise.py` measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any, Final

from striate.depthwise.dispatch import KERNELS
from striate.depthwise.kernel import LAYOUTS, Limits, Range, arithmetic_of, gpu_capability
from striate.depthwise.problem import Operator, Problem
from striate.device import cpu_vectors

MARGIN: Final = 1.05
"""Times faster than torch's better layout that a kernel must be to be chosen: medians vary by less."""


@dataclass(frozen=True)
class Measured:
    """One operator on one shape.

    Attributes:
        operator: What was computed.
        problem: The shape, channels last in 2-D and 3-D.
        kernel: Name of the kernel that is chosen today.
        torchs: Milliseconds of torch's convolution in its better layout.
        ours: Milliseconds of the chosen kernel.
        floor: Milliseconds that the machine needs at least.
        others: Milliseconds of other kernels.
    """

    operator: Operator
    problem: Problem
    kernel: str
    torchs: float
    ours: float
    floor: float
    others: dict[str, float]

    @property
    def fastest(self) -> str:
        """The kernel to be chosen; `torch` where no other is faster by the margin."""
        times = {self.kernel: self.ours} | self.others | {"torch": self.torchs / MARGIN}
        return min(times, key=times.__getitem__)

    def __str__(self) -> str:
        ratio, floors = self.torchs / self.ours, self.ours / self.floor
        text = f"{self.torchs:.2f} -> {self.ours:.2f} ({ratio:.1f}; {floors:.1f}) {self.kernel}"
        return text + "".join(f", {name} {took:.2f}" for name, took in self.others.items())


def gains_of(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """The rows of a table of gains: for each kernel, where it was the fastest of all.

    A row holds for sizes between those that were measured, and for larger outputs.
    """
    rows = []
    for entry in KERNELS.names():
        kernel = KERNELS.get(entry)
        own = [
            cell
            for cell in measured
            if cell.operator == kernel.operator and not kernel.unsupported_reasons(cell.problem)
        ]
        for _, cells in groupby(sorted(own, key=_case), key=_case):
            group = list(cells)
            problem = group[0].problem
            won = {_size(cell): True for cell in group}
            for cell in group:
                won[_size(cell)] &= cell.fastest == kernel.name
            for taps, outputs in winning_ranges(won):
                where = Limits(
                    ranks=(problem.rank,),
                    dtypes=(str(problem.dtype).removeprefix("torch."),),
                    layouts=(LAYOUTS[problem.channels_last],) if problem.rank > 1 else (),
                    taps=taps,
                    outputs=outputs,
                    strides=(max(problem.stride),) * 2,
                    **_machine(problem),
                )
                row = {"kernel": kernel.name, "operator": kernel.operator}
                rows.append(row | {"where": where.to_json()})
    return rows


def winning_ranges(won: Mapping[tuple[int, int], bool]) -> Iterator[tuple[Range, Range]]:
    """Taps and outputs that hold every size that won, and none that lost.

    Args:
        won: Whether a kernel was the fastest, for each (taps, outputs).
    """
    largest = max(outputs for _, outputs in won)
    every = sorted({taps for taps, _ in won})
    whole = {taps: all(won[size] for size in won if size[0] == taps) for taps in every}
    for is_whole, run in groupby(every, key=whole.__getitem__):
        all_taps = list(run)
        if is_whole:
            least = min(outputs for taps, outputs in won if taps in all_taps)
            yield (all_taps[0], all_taps[-1]), (least, None)
            continue
        for taps in all_taps:
            sizes = sorted(outputs for t, outputs in won if t == taps)
            for has_won, part in groupby(sizes, key=lambda n, t=taps: won[t, n]):
                outputs = list(part)
                last = None if outputs[-1] == largest else outputs[-1]
                if has_won:
                    yield (taps, taps), (outputs[0], last)


def new_table(old: Mapping[str, Any], measured: Sequence[Measured], device: str, how: str) -> str:
    """The table of gains with what was measured on this machine, as JSON.

    Args:
        old: The table so far. Its rows for other devices and processors stay.
        measured: Every operator on every shape.
        device: Where it was measured, `cpu` or `cuda`.
        how: The machine and the versions.
    """
    kept = []
    for row in old["gains"]:
        limits = KERNELS.get(f"{row['kernel']}.{row['operator']}").limits
        if device not in limits.device_types or not Limits.from_json(row["where"]).holds_here(
            limits.dtypes
        ):
            kept.append(row)
    return as_text(
        {"measured": {**old["measured"], device: how}, "gains": kept + gains_of(measured)}
    )


def as_text(table: Mapping[str, Any]) -> str:
    """A table of gains as JSON, a row on a line."""
    rows = ",\n".join(f"    {json.dumps(row)}" for row in table["gains"])
    measured = ",\n".join(
        f"    {json.dumps(device)}: {json.dumps(how)}" for device, how in table["measured"].items()
    )
    return f'{{\n  "measured": {{\n{measured}\n  }},\n  "gains": [\n{rows}\n  ]\n}}\n'


def _case(cell: Measured) -> tuple[int, str, int]:
    return cell.problem.rank, str(cell.problem.dtype), max(cell.problem.stride)


def _size(cell: Measured) -> tuple[int, int]:
    return max(cell.problem.kernel_size), prod(cell.problem.out_space)


def _machine(problem: Problem) -> dict[str, Any]:
    """The limits that say on what machine it was measured."""
    if problem.device_type == "cuda":
        return {"capability": (gpu_capability(), None)}
    return {"vectors": (cpu_vectors(),), "arithmetic": (arithmetic_of(problem.dtype),)}
