"""Batches of augmented images, the same for any number of workers and from any step on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.randomness import epoch_order, item_keys
from striate.errors import ArgumentError
from striate.kinds.image.augment import POLICIES, AugmentPolicy, augment


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some items, ready for a network's preprocessing.

    Attributes:
        pixels: (n, c, size, size) uint8.
        labels: (n,) int64 class numbers.
        indices: (n,) int64 positions in the data set.
    """

    pixels: UInt8[Tensor, "n c size size"]
    labels: Int64[Tensor, " n"]
    indices: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How batches are made.

    Attributes:
        batch_size: items in a batch.
        size: side of the images, in pixels.
        policy: what may happen to an image.
        shuffle: another order in each epoch; else the order of the indices.
        seed: of the order and of the augmentation.
        workers: threads that make batches ahead; 0 makes each when it is asked for.
        ahead: batches that each worker may be ahead of the consumer.

    Raises:
        ArgumentError: a number is too small.
    """

    batch_size: int
    size: int
    policy: AugmentPolicy = POLICIES["none"]
    shuffle: bool = True
    seed: int = 0
    workers: int = 0
    ahead: int = 2

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("size", 1), ("workers", 0), ("ahead", 1)):
            if (value := getattr(self, name)) < least:
                raise ArgumentError(f"{name}={value}", why=f"it is at least {least}")


class Loader:
    """Batches of a part of a data set.

    A last batch of a single item joins the one before it, since batch norm has no statistics of
    one item; only a part of one item, or a batch size of 1, gives batches of one.

    Args:
        dataset: where the pixels and labels are.
        indices: positions of the items to draw from.
        config: how batches are made.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        indices: Sequence[int] | NDArray[np.int64],
        config: LoaderConfig,
    ) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, np.int64)
        self.config = config
        self._keys = item_keys(dataset.ids(self.indices))
        self._bounds = batch_bounds(len(self.indices), config.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return len(self._bounds)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on.

        Closing the iterator, or letting go of it, ends the workers.
        """
        order = self._order(epoch)
        chosen = [order[low:high] for low, high in self._bounds[start:]]
        if not self.config.workers:
            return (self._batch(positions, epoch) for positions in chosen)
        return self._prefetched(chosen, epoch)

    def indices_of(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Positions in the data set of the items of one batch."""
        low, high = self._bounds[step]
        return self.indices[self._order(epoch)[low:high]]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        count = len(self.indices)
        return (
            epoch_order(self.config.seed, epoch, count) if self.config.shuffle else np.arange(count)
        )

    def _prefetched(self, chosen: Sequence[NDArray[np.int64]], epoch: int) -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.config.workers, thread_name_prefix="striate-loader")
        try:
            for positions in chosen:
                waiting.append(pool.submit(self._batch, positions, epoch))
                if len(waiting) >= self.config.workers * self.config.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, positions: NDArray[np.int64], epoch: int) -> Batch:
        indices = self.indices[positions]
        store = self.dataset.pixels
        return Batch(
            pixels=augment(
                [store.view(int(i)) for i in indices],
                self._keys[positions],
                self.config.policy,
                self.config.size,
                seed=self.config.seed,
                epoch=epoch,
            ),
            labels=torch.from_numpy(self.dataset.labels[indices]),
            indices=indices,
        )


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch; a last batch of one joins the one before.

    >>> batch_bounds(5, 2), batch_bounds(6, 4), batch_bounds(1, 4)
    ([(0, 2), (2, 5)], [(0, 4), (4, 6)], [(0, 1)])
    """
    starts = list(range(0, count, batch_size))
    if batch_size > 1 and count > 1 and count % batch_size == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True)) if starts else []
