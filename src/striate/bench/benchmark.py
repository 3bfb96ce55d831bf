"""What a benchmark is, what comes of one, and how one is run."""

from __future__ import annotations

import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

import torch

from striate.bench.turns import Timing
from striate.device import keep_freed_memory, processor_name
from striate.registry import Registry, load_entry
from striate.run.engines.files import versions

PACKAGES: Final = (
    "striate",
    "torch",
    "torchvision",
    "timm",
    "onnxruntime",
    "openvino",
    "scikit-learn",
)
"""Packages whose versions are told, where they are installed."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Contenders that did the same work in the same rounds, Striate first.

    Attributes:
        title: What the work is, with its sizes.
        unit: What is counted in a second.
        timings: One for each contender.
        remarks: What a reader must know, such as agreement or quality.
    """

    title: str
    unit: str
    timings: Sequence[Timing]
    remarks: Sequence[str] = ()

    def ratios(self) -> list[float]:
        """How many times as fast Striate is as each of the others."""
        own, *others = self.timings
        return [own.items_per_second / other.items_per_second for other in others]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark found.

    Attributes:
        name: Name of the benchmark.
        tables: Its tables.
        left_out: Peers that are not here, with the reason.
        machine: What the figures depend on; the load is that of the last minute, before and after.
    """

    name: str
    tables: Sequence[Table]
    left_out: Sequence[str] = ()
    machine: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The document of `striate bench NAME --json`."""
        tables = [{**asdict(table), "ratios": table.ratios()} for table in self.tables]
        return {**asdict(self), "tables": tables}

    def as_text(self) -> str:
        """The tables for a person."""
        lines = [", ".join(f"{key} {value}" for key, value in self.machine.items())]
        for table in self.tables:
            head = ("", f"{table.unit}/s", "slowest", "fastest", "Striate is")
            rows = [head, *map(_row, table.timings, ["-", *map(_times, table.ratios())])]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += ["", table.title, ""]
            for name, *cells in rows:
                numbers = [cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True)]
                lines.append("  ".join([name.ljust(widths[0]), *numbers]))
            lines += table.remarks
        if self.left_out:
            lines += ["", *(f"left out: {line}" for line in self.left_out)]
        return "\n".join(lines)


def _row(timing: Timing, ratio: str) -> tuple[str, ...]:
    rates = (timing.items_per_second, timing.slowest, timing.fastest)
    return (timing.name, *(f"{rate:.4g}" for rate in rates), ratio)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The tables of a benchmark, and the peers that are not here."""

    tables: Sequence[Table]
    left_out: Sequence[str] = ()


class Benchmark(ABC):
    """One benchmark.

    Attributes:
        name: What `striate bench` takes; the name of its file.
        description: One line of what is measured.
        takes: What its subject is, and what it is without one.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    takes: ClassVar[str]

    @abstractmethod
    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Measure.

        Args:
            subject: The network, the run or the data; None for the default.
            rounds: Rounds in which contenders take turns.

        Raises:
            StriateError: There is no such subject.
        """


BENCHMARKS: Final[Registry[Benchmark]] = Registry("benchmark")


def bench(name: str, subject: str | None = None, *, rounds: int = 7) -> Measured:
    """Measure how fast Striate is beside the installed peers, in one run.

    Args:
        name: Name of a benchmark: data, features, fit, kernels, predict or train.
        subject: A network, a run or data, as the benchmark takes; None for its default.
        rounds: Rounds in which the contenders take turns.

    Raises:
        UnknownNameError: There is no such benchmark.
        StriateError: There is no such subject.
    """
    benchmark = load_entry(BENCHMARKS, "striate.bench.subjects", name)
    before = load()
    keep_freed_memory()
    found = benchmark.measure(subject, rounds=rounds)
    facts = {**machine(), "rounds": str(rounds), "load": f"{before} before, {load()} after"}
    return Measured(name=name, tables=found.tables, left_out=found.left_out, machine=facts)


def load() -> str:
    """Processes that wanted to compute in the last minute, on average; empty where unknown."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def machine() -> dict[str, str]:
    """Processor, cores, threads and versions."""
    found = {
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
    }
    return {**found, **{name: one for name, one in versions(PACKAGES).items() if one}}
