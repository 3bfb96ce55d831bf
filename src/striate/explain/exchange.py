"""Whether a model follows what is at the border of pictures: a mark in a corner, a strip, a frame.

A part of one picture, the donor, is put into another, the host, of which the model says something
else. How far the part takes the host's score on the way to the donor's is what the part decides of
it. Two exchanges in the same pictures keep that apart from what any change does: a part of the same
form from the middle, which a model of textures follows as well, and the same part of a picture with
the host's own answer, which only disturbs.

Axes: n pictures, c channels, h height, w width, k answers; p pairs of a host and a donor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

Scores: TypeAlias = Callable[[Shaped[Tensor, "p c h w"]], Float[np.ndarray, "p k"]]
"""Gives the logits, or the logarithms of probabilities, of each answer to some pictures."""

NUM_PAIRS: Final = 30
"""Pairs of a host and a donor for each class and part, of different pictures each."""

MIN_PAIRS: Final = 14
"""Pairs from which on chance can be told: fewer cannot reach the p-value for every part and class."""

NUM_LOCATED: Final = 2
"""Most classes whose parts are looked at one by one: those that follow the whole border most."""

PAIRS_TO_LOCATE: Final = 10
"""Pairs by which the parts are ranked that are then looked at in all pairs."""

NUM_COMPARED: Final = 2
"""Most parts that are compared with something else: those that are followed most."""

MARGIN: Final = 0.25
"""Least share of the way from host to donor that a part must take the scores on average, and by
which it must take them further than what it is compared with."""

P_VALUE: Final = 0.01
"""Chance of a finding, over all parts and classes, where the part counts no more than the others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A part of pictures, and one of the same form and size in the middle.

    Attributes:
        name: What it is called, after "the".
        places: Where it is.
        middle: Where what it is compared with is.
    """

    name: str
    places: Bool[Tensor, "h w"]
    middle: Bool[Tensor, "h w"]


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A part of pictures that a model follows when it gives an answer.

    Attributes:
        part: Name of the part, after "the".
        answer: Number of the answer.
        share: How far the part takes pictures with another answer to this one, from 0 (not at all)
            to 1 (the score is the donor's), on average.
        otherwise: How far what it is compared with takes them, whichever takes them further.
        num_pairs: Number of pictures into which the part was put.
        num_turned: Number of those that then got the answer.
    """

    part: str
    answer: int
    share: float
    otherwise: float
    num_pairs: int
    num_turned: int


def border_parts(height: int, width: int) -> tuple[Part, ...]:
    """The whole border, then the four corners and the four edges of pictures of this size.

    A corner is a quarter of each side, an edge an eighth of one. The whole border is all of them
    together, half of the picture, and is compared with the other half.

    Args:
        height: Height of the pictures.
        width: Their width.
    """
    corner = max(1, round(height / 4)), max(1, round(width / 4))
    parts = [
        _part(f"{row} {column} corner", (height, width), corner, (row, column))
        for row in ("top", "bottom")
        for column in ("left", "right")
    ]
    for row in ("top", "bottom"):
        parts.append(
            _part(f"{row} edge", (height, width), (max(1, round(height / 8)), width), (row,))
        )
    for column in ("left", "right"):
        parts.append(
            _part(f"{column} edge", (height, width), (height, max(1, round(width / 8))), (column,))
        )
    whole = torch.stack([part.places for part in parts]).any(0)
    return (Part(name="border", places=whole, middle=~whole), *parts)


def _part(name: str, space: tuple[int, int], size: tuple[int, int], sides: tuple[str, ...]) -> Part:
    """A rectangle at some sides, and the same one in the middle."""
    far = [
        space[axis] - size[axis] if {"bottom", "right"}.intersection(sides) & names else 0
        for axis, names in enumerate(({"top", "bottom"}, {"left", "right"}))
    ]
    half = [(space[axis] - size[axis]) // 2 for axis in range(2)]
    places, middle = torch.zeros(space, dtype=torch.bool), torch.zeros(space, dtype=torch.bool)
    places[far[0] : far[0] + size[0], far[1] : far[1] + size[1]] = True
    middle[half[0] : half[0] + size[0], half[1] : half[1] + size[1]] = True
    return Part(name=name, places=places, middle=middle)


def followed_border(
    scores: Scores,
    pictures: Shaped[Tensor, "n c h w"],
    seen: Float[np.ndarray, "n k"],
    *,
    seed: int = 0,
) -> list[Followed]:
    """What a model follows at the border of pictures, one part at most for each answer.

    First the whole border is exchanged; only for answers that follow it are the parts looked at one
    by one, with other pairs. `num_passes` says how many pictures are looked at at most.

    Args:
        scores: The model.
        pictures: The pictures as the model takes them, of any type.
        seen: What `scores` gives of them.
        seed: Seed of the pairs.

    Returns:
        For each answer that follows a part the one that it follows most.
    """
    exchange = _Exchange(scores, pictures, seen, np.random.default_rng(seed))
    whole, *parts = border_parts(*pictures.shape[2:])
    shares = {}
    for number in judged_answers(seen):
        share = exchange.way(exchange.pairs(number), whole.places, number).mean()
        if share >= MARGIN:
            shares[number] = share
    located = sorted(shares, key=lambda number: -shares[number])[:NUM_LOCATED]
    level = P_VALUE / max(1, len(located) * (1 + len(parts)))
    found = []
    for number in located:
        pairs = exchange.pairs(number)
        some = pairs.first(PAIRS_TO_LOCATE)
        ways = [exchange.way(some, part.places, number) for part in parts]
        order = np.argsort([-way.mean() for way in ways], kind="stable")[:NUM_COMPARED]
        # The whole border says less than a part of it, and counts where no part does.
        tried = (*(parts[k] for k in order), whole)
        judged = (exchange.judged(pairs, part, number, level) for part in tried)
        best = next(filter(None, judged), None)
        if best is not None:
            found.append(best)
    return found


def num_passes(num_answers: int) -> int:
    """The most pictures that `followed_border` has answered.

    >>> num_passes(2), num_passes(8)
    (760, 940)

    Args:
        num_answers: Number of different answers.
    """
    num_parts = len(border_parts(1, 1)) - 1
    located = PAIRS_TO_LOCATE * num_parts + 3 * NUM_PAIRS * (NUM_COMPARED + 1)
    return NUM_PAIRS * num_answers + located * min(NUM_LOCATED, num_answers)


def judged_answers(seen: Float[np.ndarray, "n k"]) -> list[int]:
    """The answers of which there are enough pictures to exchange, and enough of others.

    Args:
        seen: The scores of the pictures.
    """
    numbers, counts = np.unique(seen.argmax(1), return_counts=True)
    least = np.minimum(counts, len(seen) - counts)
    return [int(number) for number in numbers[least >= MIN_PAIRS]]


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Hosts that have another answer, and donors that have this one, by their positions."""

    hosts: Int[np.ndarray, " p"]
    donors: Int[np.ndarray, " p"]

    def first(self, count: int) -> _Pairs:
        """The first of them."""
        return _Pairs(hosts=self.hosts[:count], donors=self.donors[:count])


class _Exchange:
    """Puts parts of pictures into others, and looks what the model then says."""

    def __init__(
        self,
        scores: Scores,
        pictures: Tensor,
        seen: Float[np.ndarray, "n k"],
        rng: np.random.Generator,
    ) -> None:
        self._scores, self._pictures, self._seen, self._rng = scores, pictures, seen, rng
        self._answers = seen.argmax(1)

    def pairs(self, number: int) -> _Pairs:
        """Pairs for an answer, in which no picture comes twice."""
        donors = self._rng.permutation(np.flatnonzero(self._answers == number))
        hosts = self._rng.permutation(np.flatnonzero(self._answers != number))
        count = min(NUM_PAIRS, len(donors), len(hosts))
        return _Pairs(hosts=hosts[:count], donors=donors[:count])

    def way(
        self, pairs: _Pairs, places: Bool[Tensor, "h w"], number: int
    ) -> Float[np.ndarray, " p"]:
        """How far a part of its donor takes each host to the answer."""
        return self._way(pairs, self._with(pairs.hosts, pairs.donors, places), number)

    def judged(self, pairs: _Pairs, part: Part, number: int, level: float) -> Followed | None:
        """The finding, where hosts go clearly further by this part than by what else is tried."""
        changed = self._with(pairs.hosts, pairs.donors, part.places)
        way = self._way(pairs, changed, number)
        if way.mean() < MARGIN:
            return None
        most = 0.0
        for donors, places in (
            (pairs.donors, part.middle),
            (self._alike(pairs.hosts), part.places),
        ):
            otherwise = self._way(pairs, self._with(pairs.hosts, donors, places), number)
            if not _clearly_further(way, otherwise, level):
                return None
            most = max(most, float(otherwise.mean()))
        return Followed(
            part=part.name,
            answer=number,
            share=float(way.mean()),
            otherwise=most,
            num_pairs=len(way),
            num_turned=int((changed.argmax(1) == number).sum()),
        )

    def _with(
        self, hosts: Int[np.ndarray, " p"], donors: Int[np.ndarray, " p"], places: Tensor
    ) -> Float[np.ndarray, "p k"]:
        """Scores of the hosts with a part of the donors."""
        first, second = (self._pictures[torch.from_numpy(some)] for some in (hosts, donors))
        return self._scores(torch.where(places, second, first))

    def _way(
        self, pairs: _Pairs, changed: Float[np.ndarray, "p k"], number: int
    ) -> Float[np.ndarray, " p"]:
        """From 0, the host's score of the answer over its own one, to 1, that of the donor."""
        own = self._answers[pairs.hosts]
        rows = np.arange(len(own))

        def lead(scores: Float[np.ndarray, "p k"]) -> Float[np.ndarray, " p"]:
            return np.asarray(scores[:, number] - scores[rows, own])

        start, end = lead(self._seen[pairs.hosts]), lead(self._seen[pairs.donors])
        return np.asarray(((lead(changed) - start) / (end - start)).clip(0, 1))

    def _alike(self, hosts: Int[np.ndarray, " p"]) -> Int[np.ndarray, " p"]:
        """For each host another picture that has its answer, or itself where there is none."""
        found = []
        for host in hosts.tolist():
            same = np.flatnonzero(self._answers == self._answers[host])
            others = same[same != host]
            found.append(int(self._rng.choice(others)) if len(others) else host)
        return np.array(found)


def _clearly_further(
    first: Float[np.ndarray, " p"], second: Float[np.ndarray, " p"], level: float
) -> bool:
    """Whether the first goes further by a margin on average, and in more pairs than chance makes."""
    wins, losses = int((first > second).sum()), int((second > first).sum())
    return first.mean() - second.mean() >= MARGIN and _sign_test(wins, losses) <= level


def _sign_test(wins: int, losses: int) -> float:
    """Chance of so many wins or more among as many tosses of a coin.

    >>> _sign_test(5, 0), _sign_test(1, 1)
    (0.03125, 0.75)
    """
    tosses = wins + losses
    return float(sum(comb(tosses, k) for k in range(wins, tosses + 1)) / 2**tosses)
