"""Items on their way to the network: a bounded number of them, and one thread that computes.

While a batch is computed, items gather; the next batch is what has gathered. Nothing waits for a
batch to fill, so that an item that comes alone is computed at once.

A request that is alone is answered to the last bit as `predict` answers its items: one by one up to
`FEW` of them, and more in filled batches. Items of several requests are computed together where
that takes less time, in the same filled batches.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from striate.data.source import Item, Reading
from striate.device import give_back_freed_memory
from striate.serving.failure import Failure
from striate.serving.hosted import LOG, Hosted, is_finite
from striate.tasks.prediction import Prediction

QUIET_SECONDS: Final = 5.0
"""After so long without an item at work the memory that was freed goes back to the system."""

_MAX_RETRY_SECONDS: Final = 60
_MEMORY: Final = 0.9
"""The share of the past in the running mean of the seconds that an item takes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One item that waits for the network.

    Attributes:
        hosted: The run that is to answer.
        item: The item.
        reading: The item as read.
        request: The request that it came with.
        many: Whether that has so many items that `predict` would compute them together.
        deadline: When its answer is worth nothing any more, by `time.monotonic`.
        future: Its prediction; a `Failure` where there is none.
    """

    hosted: Hosted
    item: Item
    reading: Reading
    request: object
    many: bool
    deadline: float
    future: Future[Prediction] = field(default_factory=Future)


class Places:
    """A bounded number of places for items at work.

    Args:
        capacity: The number of places.
        what: What waits in them, for messages.
        retry_seconds: Tells when to ask again.
        is_late: Tells whether what came now would wait too long, though places are free.

    Attributes:
        capacity: The number of places.
        held: Places that are taken.
        num_taken: Places that were ever taken.
    """

    def __init__(
        self,
        capacity: int,
        what: str,
        retry_seconds: Callable[[], int],
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self.capacity = capacity
        self.held = self.num_taken = 0
        self._what, self._retry_seconds, self._is_late = what, retry_seconds, is_late
        self._changed = threading.Lock()

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Hold places for some items; they are free again when the block is left.

        Raises:
            Failure: More items than there are places at all (413), or than are free (429).
        """
        if count > self.capacity:
            raise Failure(
                413,
                f"{count} {self._what} in one request; at most {self.capacity} are taken",
            )
        self.check_room(count)
        with self._changed:
            self.held += count
            self.num_taken += count
        try:
            yield
        finally:
            with self._changed:
                self.held -= count

    def check_room(self, count: int = 1) -> None:
        """Make sure that there are so many free places; raises Failure (429)."""
        if self.held + count > self.capacity or (count and self._is_late()):
            raise Failure(
                429,
                f"{self.held} {self._what} wait already; ask again later",
                retry_seconds=self._retry_seconds(),
            )


class Batcher:
    """A queue in front of one thread that computes predictions.

    Args:
        capacity: The most items that are read, wait or are computed at the same time.
        on_batch: Told of each batch: the run, the number of items, the seconds.
        wait_seconds: No item is taken while computing those before it takes longer than this.

    Attributes:
        places: Of the items that are read, wait or are computed.
    """

    def __init__(
        self,
        capacity: int,
        on_batch: Callable[[Hosted, int, float], None] | None = None,
        wait_seconds: float = math.inf,
    ) -> None:
        self.places = Places(
            capacity, "items", lambda: self.retry_seconds, lambda: self._seconds > wait_seconds
        )
        self._on_batch = on_batch
        self._item_seconds = 0.0
        self._jobs: deque[Job] = deque()
        self._num_tidied = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="striate-model", daemon=True)
        self._thread.start()

    @property
    def retry_seconds(self) -> int:
        """Seconds in which the items that wait now will be computed, 1 at least."""
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(self._seconds)))

    @property
    def _seconds(self) -> float:
        """Seconds in which the items that wait now will be computed, by those before them."""
        return self.places.held * self._item_seconds

    def submit(self, job: Job) -> None:
        """Put an item at the end of the queue."""
        with self._changed:
            if len(self._jobs) > self.places.capacity:  # those whose clients left hold no place
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
            self._jobs.append(job)
            self._changed.notify()

    def close(self) -> None:
        """End the thread; what still waits fails."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            if not batch:
                give_back_freed_memory()
                continue
            try:
                self._compute(batch)
            except Exception:
                LOG.exception("a batch failed")
                for job in batch:
                    _fail(job, Failure(500, "the model failed"))

    def _next(self) -> list[Job] | None:
        """The next items to compute, which belong to one run.

        Empty once it has become quiet after items were at work, read only or computed; None at the
        end.
        """
        with self._changed:
            while True:
                while not self._jobs and not self._closing:
                    if not self._changed.wait(QUIET_SECONDS) and self._is_untidy():
                        return []
                if self._closing:
                    for job in self._jobs:
                        _fail(job, Failure(503, "the server has ended"))
                    return None
                if batch := self._taken():
                    return batch

    def _is_untidy(self) -> bool:
        """Whether items were at work since the last time, and none is any more."""
        if self.places.held or self._num_tidied == self.places.num_taken:
            return False
        self._num_tidied = self.places.num_taken
        return True

    def _taken(self) -> list[Job]:
        """Take out the oldest item, with others of its run where that takes less time."""
        waiting = [job for job in self._jobs if not _is_dropped(job)]
        self._jobs = deque(waiting)
        if not waiting:
            return []
        batch = _batch_of([job for job in waiting if job.hosted is waiting[0].hosted])
        chosen = set(map(id, batch))
        self._jobs = deque(job for job in waiting if id(job) not in chosen)
        return [job for job in batch if job.future.set_running_or_notify_cancel()]

    def _compute(self, batch: Sequence[Job]) -> None:
        hosted, start = batch[0].hosted, time.perf_counter()
        together = _is_filled(batch)
        found = _predicted(hosted, batch, together)
        seconds = time.perf_counter() - start
        mean = seconds / len(batch)
        before = self._item_seconds or mean
        self._item_seconds = _MEMORY * before + (1 - _MEMORY) * mean
        if self._on_batch is not None:
            self._on_batch(hosted, len(batch), seconds)
        for job, prediction in zip(batch, found, strict=True):
            if isinstance(prediction, Failure):
                _fail(job, prediction)
            else:
                job.future.set_result(prediction)


def _batch_of(waiting: Sequence[Job]) -> list[Job]:
    """Which of the items that wait for one run are computed next, the oldest among them."""
    first = waiting[0]
    if not first.hosted.together:
        return [first]
    crowded = len({id(job.request) for job in waiting}) > 1
    if crowded and len(waiting) >= first.hosted.worthwhile:
        return list(waiting[: first.hosted.batch_size])
    if first.many:
        return [job for job in waiting if job.many][: first.hosted.batch_size]
    return [first]


def _is_filled(batch: Sequence[Job]) -> bool:
    """Whether items are computed as `predict` computes many."""
    return batch[0].hosted.together and (len(batch) > 1 or batch[0].many)


def _predicted(
    hosted: Hosted, batch: Sequence[Job], together: bool
) -> Sequence[Prediction | Failure]:
    """The prediction of each item, or why there is none; one that fails takes no other with it."""
    items, readings = [job.item for job in batch], [job.reading for job in batch]
    try:
        found = hosted.run.predicted(items, readings, together=together)
    except Exception as error:
        if len(batch) > 1:
            return [_predicted(hosted, [job], together)[0] for job in batch]
        LOG.error("%s failed on an item: %s: %s", hosted.name, type(error).__name__, error)
        return [Failure(500, "the model failed on this item")]
    return [
        prediction
        if is_finite(prediction)
        else Failure(500, "the model's answer to this item is not a finite number")
        for prediction in found
    ]


def _is_dropped(job: Job) -> bool:
    """Whether an item need not be computed any more; one that is late is told so."""
    if job.future.cancelled():
        return True
    if time.monotonic() < job.deadline:
        return False
    if job.future.set_running_or_notify_cancel():
        _fail(job, Failure(504, "the deadline has passed"))
    return True


def _fail(job: Job, failure: Failure) -> None:
    if not job.future.done():
        job.future.set_exception(failure)
