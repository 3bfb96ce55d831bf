"""From what a client sent to predictions: opened, read in processes of their own, computed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from striate.data.sandbox import DecoderPool, available_cores
from striate.data.source import Item, Reading, Source, UnreadableItem
from striate.errors import DataError, MachineError
from striate.run.predictor import FEW
from striate.serving.batching import Batcher, Job
from striate.serving.explaining import Explainer, Explanation
from striate.serving.failure import STATUS_OF, Failure
from striate.serving.hosted import LOG, Hosted
from striate.serving.metrics import Metrics
from striate.serving.sent import Sent
from striate.tasks.prediction import Prediction

EXPLAIN_SECONDS: Final = 10.0
"""The time in which an explanation is drawn, unless another is chosen."""

WAIT_SHARE: Final = 0.5
"""The share of a request's time that items before it may take to be computed, for it to be taken."""

MAX_ITEM_BYTES: Final = 256 * 2**20
"""The largest array of one item, as it is decoded and as it waits for the network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What came of one item.

    Attributes:
        prediction: Its prediction, or why there is none.
        explanation: The evidence for it; None where it was not requested.
    """

    prediction: Prediction | Failure
    explanation: Explanation | None = None

    def named(self, names: Mapping[str, str]) -> Answer:
        """With the client's name of the item, where it has one."""
        if isinstance(self.prediction, Failure):
            return self
        item = self.prediction.item
        return replace(self, prediction=replace(self.prediction, item=names.get(item, item)))


class Service:
    """Predicts what clients send, within its capacity and each request's deadline.

    Args:
        capacity: The most items that are read, wait or are computed at the same time.
        deadline_seconds: The time in which a request is answered or given up.
        metrics: Told of what happens.
        explain_seconds: The time in which an explanation is drawn or given up.
    """

    def __init__(
        self,
        capacity: int,
        deadline_seconds: float,
        metrics: Metrics,
        explain_seconds: float = EXPLAIN_SECONDS,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self.explainer = Explainer(explain_seconds)
        self.batcher = Batcher(capacity, metrics.on_batch, WAIT_SHARE * deadline_seconds)
        self._metrics = metrics
        self._decoders = DecoderPool(max_bytes=MAX_ITEM_BYTES)
        self._readers = ThreadPoolExecutor(available_cores(), thread_name_prefix="striate-reader")

    async def predict(
        self, hosted: Hosted, sent: Sequence[Sent], *, explain: bool = False
    ) -> list[Answer]:
        """The prediction of each item, in order, or why there is none.

        Args:
            hosted: The run.
            sent: What the client sent.
            explain: Whether predictions come with the evidence for them.

        Raises:
            Failure: Nothing of it can be predicted (400, 413, 415, 422), there is no room (429), or
                the deadline has passed (504).
        """
        deadline = time.monotonic() + self.deadline_seconds
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await self._predict(hosted, sent, deadline, explain=explain)
        except TimeoutError:
            seconds = f"{self.deadline_seconds:g} s"
            raise Failure(504, f"the answer was not ready within {seconds}") from None

    async def _predict(
        self, hosted: Hosted, sent: Sequence[Sent], deadline: float, *, explain: bool
    ) -> list[Answer]:
        loop = asyncio.get_running_loop()
        # Held while the inputs are opened too, which may take memory.
        with self.batcher.places.hold(len(sent)):
            if all(isinstance(entry.content, bytes) for entry in sent):
                source = _opened(hosted, sent)  # at once; files are read later
            else:
                source = await loop.run_in_executor(self._readers, _opened, hosted, sent)
            items = source.listing.items
            with (
                self.batcher.places.hold(max(0, len(items) - len(sent))),
                self.explainer.places.hold(len(items) if explain else 0),
            ):
                many = len(items) > FEW
                work = (
                    self._answer(hosted, source, item, many, deadline, explain=explain)
                    for item in items
                )
                answers = await asyncio.gather(*work)
        names = _names(sent)
        self._metrics.on_answers(hosted, [answer.prediction for answer in answers])
        return [answer.named(names) for answer in answers]

    async def _answer(
        self,
        hosted: Hosted,
        source: Source,
        item: Item,
        many: bool,
        deadline: float,
        *,
        explain: bool,
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
            prediction = await asyncio.wrap_future(job.future)
        except Failure as failure:
            return Answer(prediction=failure)
        if not explain:
            return Answer(prediction=prediction)
        explanation = await self.explainer.explain(hosted, reading, prediction, deadline)
        return Answer(prediction=prediction, explanation=explanation)

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
        self.explainer.close()
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
