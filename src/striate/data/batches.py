"""Batches of training items, the same for any number of workers and from any step on."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import epoch_order
from striate.errors import ArgumentError
from striate.ops.inputs import Inputs

Batch: TypeAlias = tuple[Inputs, Tensor]
"""A network's inputs, and the targets that a loss compares its outputs with."""

BATCHES_AHEAD: Final = 2
"""Batches that each worker may be ahead of the training."""


class Batches:
    """Batches of some items, whose order follows from the seed and the pass over the items alone.

    A last batch of a single item joins the one before it, since batch norm has no statistics of
    one item; only a single item, or a batch size of 1, gives batches of one. Where the items give
    fewer batches than an epoch is to have, the epoch goes through them several times; where they
    give more, it is a part of the way through them, and the next one goes on from there.

    Args:
        ids: Names of the items.
        make: Makes inputs and targets from positions among the items and the number of the pass
            over them; what it draws at random may depend on these, the ids and the seed alone.
            Workers call it at the same time.
        batch_size: Items in a batch, over all processes.
        seed: Seed of the order.
        min_steps: Fewest batches in an epoch.
        max_steps: Most batches in an epoch; None for no limit.
        workers: Threads that make batches ahead; 0 makes each batch when it is asked for.

    Raises:
        ArgumentError: A number is too small.
    """

    def __init__(
        self,
        ids: Sequence[str],
        make: Callable[[NDArray[np.int64], int], Batch],
        *,
        batch_size: int,
        seed: int,
        min_steps: int = 1,
        max_steps: int | None = None,
        workers: int = 0,
    ) -> None:
        for name, value, smallest in (
            ("number of items", len(ids), 1),
            ("batch_size", batch_size, 1),
            ("min_steps", min_steps, 1),
            ("max_steps", min_steps if max_steps is None else max_steps, min_steps),
            ("workers", workers, 0),
        ):
            if value < smallest:
                raise ArgumentError(f"{name}={value}", why=f"it is at least {smallest}")
        self.batch_size = batch_size
        self._ids, self._make, self._seed, self._workers = ids, make, seed, workers
        self._rank, self._world_size = 0, 1
        self._bounds = batch_bounds(len(ids), batch_size)
        count = len(self._bounds)
        parts = 1 if max_steps is None else -(-count // max_steps)
        self._steps = -(-count // parts) if parts > 1 else -(-min_steps // count) * count
        self._latest_order: tuple[int, NDArray[np.int64]] | None = None

    def of_process(self, rank: int, world_size: int) -> Self:
        """These batches for one of several processes, which makes its own share of each.

        Args:
            rank: Number of the process.
            world_size: Number of processes.

        Raises:
            ArgumentError: A batch has fewer items than there are processes.
        """
        if (fewest := min(stop - start for start, stop in self._bounds)) < world_size:
            raise ArgumentError(
                f"{world_size} processes cannot share a batch of {fewest}",
                fix=f"use {fewest} or fewer; with 2 each batch can be shared",
            )
        other = copy.copy(self)
        other._rank, other._world_size = rank, world_size
        return other

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return self._steps

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """This process's share of the batches of an epoch, from a step on.

        Closing the iterator, or letting go of it, ends the workers.
        """
        chosen = (self._chosen(epoch, step) for step in range(start_step, self.steps_per_epoch))
        shares = (
            (np.array_split(positions, self._world_size)[self._rank], number)
            for positions, number in chosen
        )
        if self._workers:
            return self._prefetched(shares)
        return (self._make(*share) for share in shares)

    def ids(self, epoch: int, step: int) -> list[str]:
        """Names of the items of one batch, those of all processes."""
        positions, _ = self._chosen(epoch, step)
        return [self._ids[i] for i in positions]

    def _chosen(self, epoch: int, step: int) -> tuple[NDArray[np.int64], int]:
        """Positions of a batch's items, and the number of the pass over the items."""
        number, place = divmod(epoch * self._steps + step, len(self._bounds))
        if self._latest_order is None or self._latest_order[0] != number:
            self._latest_order = number, epoch_order(self._seed, number, len(self._ids))
        start, stop = self._bounds[place]
        return self._latest_order[1][start:stop], number

    def _prefetched(self, shares: Iterator[tuple[NDArray[np.int64], int]]) -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="striate-batches")
        try:
            for share in shares:
                waiting.append(pool.submit(self._make, *share))
                if len(waiting) >= self._workers * BATCHES_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch; a last batch of a single item joins the one before.

    >>> batch_bounds(5, 2), batch_bounds(6, 4), batch_bounds(1, 4)
    ([(0, 2), (2, 5)], [(0, 4), (4, 6)], [(0, 1)])
    """
    starts = list(range(0, count, batch_size))
    if batch_size > 1 and count > 1 and count % batch_size == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True)) if starts else []
