"""From what a client sent to predictions: opened, read in processes of their own, computed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeAlias

from striate.data.sandbox import DecoderPool, available_cores
from striate.data.source import Item, Reading, Source, UnreadableItem
from striate.errors import DataError, MachineError
from striate.run.predictor import FEW
from striate.serving.batching import LOG, Batcher, Job
from striate.serving.failure import STATUS_OF, Failure
from striate.serving.hosted import Hosted
from striate.serving.metrics import Metrics
from striate.serving.sent import Sent
from striate.tasks.prediction import Prediction

Answer: TypeAlias = Prediction | Failure
"""What came of one item."""

MAX_ITEM_BYTES: Final = 256 * 2**20
"""The largest array of one item that waits for the network."""


class Service:
    """Predicts what clients send, within its capacity and each request's deadline.

    Args:
        capacity: The most items that are read, wait or are computed at the same time.
        deadline_seconds: The time in which a request is answered or given up.
        metrics: Told of what happens.
    """

    def __init__(self, capacity: int, deadline_seconds: float, metrics: Metrics) -> None:
        self.deadline_seconds = deadline_seconds
        self.batcher = Batcher(capacity, metrics.on_batch)
        self._metrics = metrics
        self._decoders = DecoderPool()
        self._readers = ThreadPoolExecutor(available_cores(), thread_name_prefix="striate-reader")

    async def predict(self, hosted: Hosted, sent: Sequence[Sent]) -> list[Answer]:
        """The prediction of each item, in order, or why there is none.

        Args:
            hosted: The run.
            sent: What the client sent.

        Raises:
            Failure: Nothing of it can be predicted (400, 413, 415, 422), there is no room (429), or
                the deadline has passed (504).
        """
        deadline = time.monotonic() + self.deadline_seconds
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await self._predict(hosted, sent, deadline)
        except TimeoutError:
            seconds = f"{self.deadline_seconds:g} s"
            raise Failure(504, f"the answer was not ready within {seconds}") from None

    async def _predict(self, hosted: Hosted, sent: Sequence[Sent], deadline: float) -> list[Answer]:
        loop = asyncio.get_running_loop()
        # Held while the inputs are opened too, which may take memory.
        with self.batcher.places(len(sent)):
            source = await loop.run_in_executor(self._readers, _opened, hosted, sent)
            items = source.listing.items
            with self.batcher.places(max(0, len(items) - len(sent))):
                many = len(items) > FEW
                work = (self._answer(hosted, source, item, many, deadline) for item in items)
                found = await asyncio.gather(*work)
        names = _names(sent)
        answers = [
            answer
            if isinstance(answer, Failure)
            else replace(answer, item=names.get(answer.item, answer.item))
            for answer in found
        ]
        self._metrics.on_answers(hosted, answers)
        return answers

    async def _answer(
        self, hosted: Hosted, source: Source, item: Item, many: bool, deadline: float
    ) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            start = time.perf_counter()
            reading = await loop.run_in_executor(self._readers, self._read, hosted, source, item)
            self._metrics.on_reading(hosted, time.perf_counter() - start)
            job = Job(
                hosted=hosted, item=item, reading=reading, request=source, many=many,
                deadline=deadline,
            )  # fmt: skip
            self.batcher.submit(job)
            return await asyncio.wrap_future(job.future)
        except Failure as failure:
            return failure

    def _read(self, hosted: Hosted, source: Source, item: Item) -> Reading:
        try:
            reading = hosted.run.read_one(source, item, self._decoders)
        except UnreadableItem as error:
            raise Failure(STATUS_OF[error.cause], error.reason) from None
        except MachineError as error:
            LOG.error("an item cannot be read: %s", error)
            raise Failure(500, str(error)) from None
        if reading.array.nbytes > MAX_ITEM_BYTES:
            size = f"{reading.array.nbytes} bytes"
            raise Failure(413, f"the item expands to {size}, over the limit of {MAX_ITEM_BYTES}")
        return reading

    def close(self) -> None:
        """End the threads and the processes; what still waits fails."""
        self.batcher.close()
        self._decoders.close()
        self._readers.shutdown(wait=False, cancel_futures=True)


def _opened(hosted: Hosted, sent: Sequence[Sent]) -> Source:
    try:
        return hosted.run.open([entry.content for entry in sent])
    except UnreadableItem as error:
        raise Failure(STATUS_OF[error.cause], error.reason) from None
    except DataError as error:
        raise Failure(422, str(error)) from None


def _names(sent: Sequence[Sent]) -> dict[str, str]:
    """The client's name of each file, by the item's id."""
    return {f"bytes {place}": entry.name for place, entry in enumerate(sent) if entry.name}
