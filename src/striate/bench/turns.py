"""Timing contenders in turns, so that what else the machine does disturbs all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 7
"""Rounds; in each every contender has its turn."""

SECONDS_PER_TURN: Final = 0.3
"""A turn is as many calls as fit in about so long, at least one."""

WARM_UP: Final = 2
"""Calls of each contender before the first round, which are not timed."""

MAX_CALLS: Final = 200
"""Calls in a turn, at most."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What is timed.

    Attributes:
        name: What it is called in the table.
        run: Does the work once; on another device it waits until the work is done.
        items: Items that one call does.
    """

    name: str
    run: Callable[[], object]
    items: int = 1


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of one contender.

    Attributes:
        name: What it is called.
        items_per_second: Items in a second, the median of the rounds.
        slowest: Items in a second of the slowest round.
        fastest: Items in a second of the fastest round.
    """

    name: str
    items_per_second: float
    slowest: float
    fastest: float


def timed_in_turns(
    contenders: Sequence[Contender],
    *,
    rounds: int = ROUNDS,
    seconds: float = SECONDS_PER_TURN,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time contenders round by round; every second round goes through them backwards.

    Args:
        contenders: What to time.
        rounds: Number of rounds.
        seconds: About how long one turn takes.
        warm_up: Calls before the first round; the last of them says how many calls a turn has.
        clock: Gives seconds.
    """
    calls = []
    for one in contenders:
        once = 0.0
        for _ in range(warm_up):
            once = _seconds_per_call(one, 1, clock)
        calls.append(max(1, min(MAX_CALLS, int(seconds / once))) if once else 1)
    rates: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds):
        order = range(len(contenders))
        for place in order if number % 2 == 0 else reversed(order):
            one = contenders[place]
            rates[place].append(one.items / _seconds_per_call(one, calls[place], clock))
    return [
        Timing(
            name=one.name,
            items_per_second=statistics.median(found),
            slowest=min(found),
            fastest=max(found),
        )
        for one, found in zip(contenders, rates, strict=True)
    ]


def _seconds_per_call(one: Contender, calls: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(calls):
        one.run()
    return max((clock() - began) / calls, 1e-9)
