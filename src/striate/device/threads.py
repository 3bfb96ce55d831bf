"""How many of torch's threads compute, on a machine where others compute too.

Each operation is shared out among the threads, and is done when the last of them is. Where another
program has a core for itself, every operation waits until that thread is given its turn, some
milliseconds: on two cores beside one busy program, a step of a ResNet-18 that takes 0.13 s took 2 to
20 s with two threads, and takes 0.25 s with one. So the threads are timed now and then, and as many
compute as pay. A number that the user has set (`OMP_NUM_THREADS`) stays as it is, and so do the last
bits of results, which depend on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from time import monotonic, perf_counter
from typing import Final

import torch

SECONDS: Final = 5.0
"""Seconds from one look at the threads to the next, at most: the first ones come sooner."""
SECONDS_IN_DOUBT: Final = 0.2
"""Seconds until what a look has found is looked at again; both must find it."""
ROUNDS: Final = 5
"""Turns in which numbers of threads are timed; the median counts."""
NEARLY: Final = 1.1
"""Times as long as with the best number that more threads may take to be preferred."""
OPERATIONS: Final = 4
"""Operations that are timed together: the threads are awake for all but the first."""
CHUNK: Final = 1 << 15
"""Numbers of which torch gives a thread no fewer."""


class FreeCores:
    """Looks now and then with how many threads torch computes fastest, and lets so many compute.

    Args:
        most: Threads where no other program computes.
        seconds_with: Given a number of threads, the seconds of a piece of work that is shared out
            among them.
    """

    def __init__(self, most: int, seconds_with: Callable[[int], float]) -> None:
        self.most, self.threads = most, most
        self._seconds_with = seconds_with
        self._next_look, self._seconds = -1.0, SECONDS_IN_DOUBT
        self._suspected: int | None = None

    def look(self, now: float) -> int:
        """The number of threads that shall compute, from a moment in seconds on."""
        if self.most == 1 or now < self._next_look:
            return self.threads
        found = self._fastest()
        if found != self.threads and self._suspected is None:
            self._suspected, self._next_look = found, now + SECONDS_IN_DOUBT
            return self.threads
        self.threads, self._suspected = found, None
        self._seconds = min(SECONDS, 2 * self._seconds)
        self._next_look = now + self._seconds
        return self.threads

    def _fastest(self) -> int:
        """The largest number that is, but for little, as fast as any."""
        if self.threads == self.most:
            present, one = self._times([self.most, 1])
            if present <= one:
                return self.threads
        numbers = sorted({self.threads, *_candidates(self.most)}, reverse=True)
        times = self._times(numbers)
        return next(
            n for n, time in zip(numbers, times, strict=True) if time <= NEARLY * min(times)
        )

    def _times(self, numbers: Iterable[int]) -> list[float]:
        """The median seconds with each number of threads, taken in turns."""
        numbers = list(numbers)
        rounds = [[self._seconds_with(number) for number in numbers] for _ in range(ROUNDS)]
        return [sorted(times)[ROUNDS // 2] for times in zip(*rounds, strict=True)]


def use_free_cores() -> None:
    """Let as many of torch's threads compute as pay now; a look takes some milliseconds.

    To be called between two pieces of work, by the thread that does them, as often as one likes.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return
    now, cores = torch.get_num_threads(), _cores_of_this_thread()
    if cores is None or cores.threads != now:
        # The first call of this thread, or somebody else has set the number.
        most = now if cores is not None else max(now, _most.get("threads", 1))
        _most["threads"] = most
        _own.cores = cores = FreeCores(most, _seconds_with)
    if (found := cores.look(monotonic())) != now:
        torch.set_num_threads(found)


def keep_threads(number: int) -> None:
    """Let so many threads compute until the next look, where the number is not the user's."""
    use_free_cores()
    cores = _cores_of_this_thread()
    if cores is not None and number <= cores.most:
        cores.threads = number
        torch.set_num_threads(number)


_own = threading.local()
_most: dict[str, int] = {}
"""The threads where no other program computes; a new thread of Python's starts with the last number."""


def _cores_of_this_thread() -> FreeCores | None:
    found: FreeCores | None = getattr(_own, "cores", None)
    return found


def _candidates(most: int) -> set[int]:
    """All threads, all but one, and halves of them down to one."""
    return {max(1, most - 1), *(max(1, most >> halves) for halves in range(most.bit_length()))}


def _seconds_with(number: int) -> float:
    """Seconds of some operations of a third of a millisecond of one core, shared out among threads."""
    before = torch.get_num_threads()
    x, y = torch.ones(2, CHUNK * max(16, number))
    torch.set_num_threads(number)
    try:
        began = perf_counter()
        for _ in range(OPERATIONS):
            torch.exp(x, out=y)
        return perf_counter() - began
    finally:
        torch.set_num_threads(before)
