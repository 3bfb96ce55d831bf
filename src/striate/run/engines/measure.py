"""Which engine answers fastest for a run on this machine: measured once, kept, and used.

Times are of whole batches, from what the kind makes of items to answers on the CPU; reading items
takes as long whichever engine answers.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from striate.device import processor_name
from striate.errors import EngineError, MissingExtraError, one_line
from striate.files import read_sealed_json, sealed_json, user_cache_folder, write_atomic
from striate.progress import Progress, ProgressLike, as_progress
from striate.run.deployment.answering import deployment_of
from striate.run.deployment.check import Check
from striate.run.engines.files import ENGINES, FOLDER, EngineFile, digest, identity, versions
from striate.run.engines.narrow import (
    NARROW,
    TORCH,
    compared,
    narrow_session,
    suiting,
    torch_session,
)
from striate.run.opened import OpenedRun

BATCHES: Final = (1, 16)
"""Numbers of items that are answered together."""

WARM_UP: Final = 3
"""First calls of each engine, which are not timed."""

MIN_CALLS: Final = 15
"""Timed calls of each engine, at least."""

HASTY_CALLS: Final = 5
"""The same where there is no time for more."""

MAX_CALLS: Final = 200
"""Timed calls of each engine, at most."""

SECONDS: Final = 6.0
"""Seconds after which the calls of one number of items end, once there are `MIN_CALLS`."""

MARGIN: Final = 1.05
"""Times faster than torch that an engine must be to take its place."""

Answer: TypeAlias = Callable[[NDArray[Any]], object]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timing(_Document):
    """Times of one number of items.

    Attributes:
        batch: Items that are answered together.
        p50: Median milliseconds of a call.
        p99: Milliseconds that 99 of 100 calls do not exceed.
        items_per_second: Items in a second, by the median.
        calls: Number of calls timed.
    """

    batch: int
    p50: float
    p99: float
    items_per_second: float
    calls: int


class EngineTimes(_Document):
    """What was measured of an engine.

    Attributes:
        name: Name of the engine, or one of `NARROW`.
        timings: One for each number of items; none where it was not measured.
        memory_mb: Megabytes by which the process grew until the engine had answered; None where
            the system does not tell.
        agrees: Whether it answered as torch does in float32.
        agreement: How its answers compare with those, for a person.
        why_not: Why it was not measured; empty where it was.
    """

    name: str
    timings: tuple[Timing, ...] = ()
    memory_mb: float | None = None
    agrees: bool = False
    agreement: str = ""
    why_not: str = ""

    def items_per_second(self, batch: int) -> float:
        """Items in a second in batches of a size; 0 where that was not measured."""
        return next((t.items_per_second for t in self.timings if t.batch == batch), 0.0)


class EnginesMeasured(_Document):
    """The engines of a run on a machine.

    Attributes:
        run: Path of the run.
        machine: What the times depend on besides the run.
        shape: Shape of an input, channels first.
        engines: What was measured, torch first.
    """

    run: str
    machine: dict[str, str]
    shape: tuple[int, ...]
    engines: tuple[EngineTimes, ...]

    def fastest(self, batch: int) -> str:
        """The engine to use for batches of a size: torch in float32 unless another that agrees is
        faster.
        """
        torchs = next(e for e in self.engines if e.name == TORCH).items_per_second(batch)
        others = [e for e in self.engines if e.name in (*ENGINES, *NARROW) and e.agrees]
        best = max(others, key=lambda e: e.items_per_second(batch), default=None)
        if best is None or best.items_per_second(batch) < MARGIN * torchs:
            return TORCH
        return best.name

    def as_json(self) -> dict[str, Any]:
        """The document of `striate engines RUN --json`."""
        fastest = {str(batch): self.fastest(batch) for batch in BATCHES}
        return {**self.model_dump(mode="json"), "fastest": fastest}

    def as_text(self) -> str:
        """A table for a person, and what `--engine auto` makes of it."""
        shape = " x ".join(map(str, self.shape))
        facts = ", ".join(f"{key} {value}" for key, value in self.machine.items() if value)
        head = ("engine", "items", "p50 ms", "p99 ms", "items/s", "memory MB", "as torch")
        rows: list[tuple[str, ...]] = [head]
        rows += [row for engine in self.engines for row in _rows(engine)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"inputs of {shape}; {facts}", ""]
        for row in rows:
            first, *numbers, last = (
                cell.ljust(width) if place in (0, len(row) - 1) else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join([first, *numbers, last]).rstrip())
        lines.append("")
        lines += [f"{e.name}: {e.why_not}" for e in self.engines if e.why_not]
        lines += [
            f"{engine.name} is not used: {engine.agreement}"
            for engine in self.engines
            if engine.agreement and not engine.agrees
        ]
        fastest = self.fastest(max(BATCHES))
        lines.append(
            f"--engine auto takes {fastest} for more than {max(BATCHES)} items, else torch"
        )
        return "\n".join(lines)


def _rows(engine: EngineTimes) -> Iterator[tuple[str, ...]]:
    memory = "-" if engine.memory_mb is None else f"{engine.memory_mb:.0f}"
    for timing in engine.timings:
        times = (f"{timing.p50:.2f}", f"{timing.p99:.2f}", f"{timing.items_per_second:.1f}")
        agrees = "yes" if engine.agrees else "no"
        yield engine.name, str(timing.batch), *times, memory, agrees


def measure(
    run: OpenedRun, *, seconds: float = math.inf, progress: ProgressLike = None
) -> EnginesMeasured:
    """Measure the engines that are installed, in turns, and keep the result in the cache.

    Args:
        run: The run, on the device that it is to be used on; other engines than torch answer on
            the CPU.
        seconds: After these no further engine is made ready, and each is timed `HASTY_CALLS` times.
        progress: Told of the work.

    Raises:
        EngineError: The run's inputs are not one tensor.
        RunError: The run's weights are missing or damaged.
        StorageError: The cache cannot be written.
    """
    progress = as_progress(progress)
    example = deployment_of(OpenedRun(run.folder.path, device="cpu")).example
    found: dict[str, EngineTimes] = {TORCH: EngineTimes(name=TORCH, agrees=True)}
    sessions: dict[str, tuple[Answer, float | None]] = {}
    inputs = {batch: _inputs(example, batch) for batch in BATCHES}
    end = time.monotonic() + seconds
    for name, (make, check) in _candidates(run, example, progress).items():
        if name != TORCH and time.monotonic() > end:
            found[name] = EngineTimes(name=name, why_not="it was not tried for want of time")
            continue
        before = _resident_mb()
        try:
            agreement = check()
            answer = make()
        except (EngineError, MissingExtraError) as error:
            found[name] = EngineTimes(name=name, why_not=one_line(str(error)))
            continue
        for batch in BATCHES:
            for _ in range(WARM_UP):
                answer(inputs[batch])
        after = _resident_mb()
        grown = None if before is None or after is None else max(0.0, after - before)
        sessions[name] = answer, grown
        found[name] = EngineTimes(
            name=name,
            agrees=agreement is None or agreement.agrees,
            agreement="" if agreement is None else agreement.as_text(),
        )
    progress.say(f"timing {', '.join(sessions)}")
    answers = {name: answer for name, (answer, _) in sessions.items()}
    timed = {batch: times(answers, inputs[batch], end) for batch in BATCHES}
    for name, (_, grown) in sessions.items():
        timings = tuple(_timing(batch, timed[batch][name]) for batch in BATCHES)
        found[name] = found[name].model_copy(update={"timings": timings, "memory_mb": grown})
    result = EnginesMeasured(
        run=str(run.folder.path),
        machine=machine(run),
        shape=tuple(example.shape[1:]),
        engines=tuple(found.values()),
    )
    path = _path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, sealed_json(result.model_dump(mode="json")))
    return result


def measured(run: OpenedRun) -> EnginesMeasured | None:
    """What was measured of a run on this machine; None where nothing was, or it cannot be read."""
    try:
        return EnginesMeasured.model_validate(read_sealed_json(_path(run).read_bytes()))
    except (OSError, ValidationError):
        return None


def fastest(run: OpenedRun) -> str:
    """The engine that `auto` takes for many items: torch where nothing was measured."""
    found = measured(run)
    return TORCH if found is None else found.fastest(max(BATCHES))


def machine(run: OpenedRun) -> dict[str, str]:
    """What times depend on besides the run: processor, threads, device and versions."""
    packages = versions(("striate", "torch", "onnxruntime", "openvino"))
    device = run.device.type
    return {
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(run.device) if device == "cuda" else device,
        **packages,
    }


def times(
    answers: dict[str, Answer], inputs: NDArray[Any], latest: float = math.inf
) -> dict[str, list[float]]:
    """Milliseconds of each call, taken in turns, so that other work disturbs all alike.

    Args:
        answers: What is called, by name.
        inputs: What it is given.
        latest: When it is to end, by `time.monotonic`; `HASTY_CALLS` are made all the same.
    """
    taken: dict[str, list[float]] = {name: [] for name in answers}
    end = time.monotonic() + SECONDS
    for call in range(MAX_CALLS):
        now = time.monotonic()
        if (call >= MIN_CALLS and now > end) or (call >= HASTY_CALLS and now > latest):
            break
        for name, answer in answers.items():
            began = time.perf_counter()
            answer(inputs)
            taken[name].append(1e3 * (time.perf_counter() - began))
    return taken


def _timing(batch: int, milliseconds: Sequence[float]) -> Timing:
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return Timing(
        batch=batch,
        p50=round(float(p50), 3),
        p99=round(float(p99), 3),
        items_per_second=round(1e3 * batch / max(float(p50), 1e-6), 2),
        calls=len(milliseconds),
    )


def _candidates(
    run: OpenedRun, example: torch.Tensor, progress: Progress
) -> dict[str, tuple[Callable[[], Answer], Callable[[], Check | None]]]:
    """For each engine what makes it ready, and what compares its answers with torch's."""
    found: dict[str, tuple[Callable[[], Answer], Callable[[], Check | None]]] = {
        TORCH: (lambda: torch_session(run, torch.float32), lambda: None)
    }
    for name in ENGINES:
        file = EngineFile.of(run, name)
        found[name] = file.loaded, partial(file.written, progress)
    for name in suiting(run):
        ready = cache(partial(narrow_session, run, name, progress))
        found[name] = ready, partial(compared, ready, run, example, progress)
    return found


def _inputs(example: torch.Tensor, batch: int) -> NDArray[Any]:
    """Noise of an example's type and shape."""
    rng = np.random.default_rng(0)
    shape = (batch, *example.shape[1:])
    if example.dtype == torch.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape, dtype=np.float32)


def _path(run: OpenedRun) -> Path:
    name = digest(identity(run), list(BATCHES), machine(run))
    return user_cache_folder() / FOLDER / f"{name}.json"


def _resident_mb() -> float | None:
    """Megabytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
