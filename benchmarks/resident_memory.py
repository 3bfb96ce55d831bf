"""The resident memory of a process and of its children, from /proc, while it answers requests.

It is the anonymous part, what was allocated: pages of program files come and go with the memory that
other processes leave them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

REST_SECONDS = 10
"""How long nothing is asked before the memory at rest is read."""

PARTS = 10
"""The parts of a load whose medians make its curve."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen at one moment.

    Attributes:
        requests: Requests that were answered until then.
        server: Resident memory of the process that was allocated, in MB.
        together: That of the process and of its children.
    """

    requests: int
    server: float
    together: float


@dataclass
class Memory:
    """The resident memory of a process, and of it with its children, second by second under load.

    Attributes:
        pid: The process.
        seen: Under load.
        rests: At rest, before and after.
    """

    pid: int
    seen: list[Look] = field(default_factory=list)
    rests: list[Look] = field(default_factory=list)

    def look(self, requests: int) -> Look:
        """What it is now."""
        own, *children = map(_resident_mb, _family(self.pid))
        return Look(requests=requests, server=own, together=own + sum(children))

    async def rest(self) -> None:
        """Wait until nothing is at work, and note what it is then."""
        await asyncio.sleep(REST_SECONDS)
        self.rests.append(self.look(0))

    @asynccontextmanager
    async def watched(self, requests: Callable[[], int]) -> AsyncIterator[None]:
        """Look at it every second while the block runs, which begins and ends with a rest.

        Args:
            requests: Tells how many were answered by now.
        """
        await self.rest()
        task = asyncio.ensure_future(self._watch(requests))
        start = time.monotonic()
        try:
            yield
        finally:
            task.cancel()
        if time.monotonic() - start < 2 * PARTS:
            raise SystemExit(f"a load of under {2 * PARTS} s tells nothing of memory")
        await self.rest()

    async def _watch(self, requests: Callable[[], int]) -> None:
        while True:
            self.seen.append(self.look(requests()))
            await asyncio.sleep(1)

    def figures(self) -> dict[str, object]:
        """The medians of ten parts of the load, their growth, and that between the two rests."""
        found: dict[str, object] = {}
        for name in ("server", "together"):
            values = np.array([getattr(look, name) for look in self.seen])
            counts = np.array([look.requests for look in self.seen])
            parts = np.array_split(np.arange(len(values)), PARTS)
            curve = np.array([np.median(values[part]) for part in parts])
            asked = np.array([np.median(counts[part]) for part in parts])
            before, after = (getattr(look, name) for look in self.rests)
            found[f"{name}_mb"] = {
                "by_tenth_of_the_load": curve.round(1).tolist(),
                "growth_first_to_last_tenth": round(float(curve[-1] - curve[0]), 1),
                "slope_per_1000_requests": round(1000 * float(np.polyfit(asked, curve, 1)[0]), 2),
                "highest": round(float(values.max()), 1),
                "at_rest_before": round(before, 1),
                "at_rest_after": round(after, 1),
                "growth_at_rest": round(after - before, 1),
            }
        return found


def _family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    children: list[str] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += (thread / "children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _resident_mb(pid: int) -> float:
    """Resident anonymous memory; none of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 2**10 for line in lines if line.startswith("RssAnon"))
