"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from striate.serving.failure import Failure
from striate.serving.hosted import Hosted

SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it is not annotated
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        own = self._registry
        self._requests = Counter(
            "striate_requests", "Requests answered.", ("route", "status"), registry=own
        )
        self._request_seconds = Histogram(
            "striate_request_seconds",
            "Seconds from a request's headers to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        self._refused = Counter(
            "striate_refused", "Requests refused before they were read.", ("status",), registry=own
        )
        self._left = Counter(
            "striate_clients_left", "Requests whose client left before the answer.", registry=own
        )
        self._items = Counter(
            "striate_items", "Items by what came of them.", ("model", "status"), registry=own
        )
        self._read_seconds = Histogram(
            "striate_read_seconds",
            "Seconds in which an item waited to be read and was.",
            ("model",),
            buckets=SECONDS,
            registry=own,
        )
        self._batch_items = Histogram(
            "striate_batch_items",
            "Items computed together.",
            ("model",),
            buckets=ITEMS,
            registry=own,
        )
        self._compute_seconds = Histogram(
            "striate_compute_seconds",
            "Seconds in which the network computed a batch.",
            ("model",),
            buckets=SECONDS,
            registry=own,
        )
        self._reloads = Counter(
            "striate_reloads", "Times that a run was loaded anew.", ("result",), registry=own
        )
        self._held = Gauge("striate_queue_items", "Items read, waiting or computed.", registry=own)
        self._capacity = Gauge("striate_queue_capacity", "The most of these.", registry=own)
        self._ready = Gauge("striate_ready", "Whether each run is loaded.", registry=own)

    def watch(self, *, held: Callable[[], int], capacity: int, ready: Callable[[], bool]) -> None:
        """Take gauges from where they are known.

        Args:
            held: Items in the queue.
            capacity: The most of them.
            ready: Whether the server is ready.
        """
        self._held.set_function(held)
        self._ready.set_function(ready)
        self._capacity.set(capacity)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry)

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def on_refusal(self, status: int) -> None:
        """Count a request that the guard refused."""
        self._refused.labels(str(status)).inc()

    def on_left(self) -> None:
        """Count a client that left."""
        self._left.inc()

    def on_reading(self, hosted: Hosted, seconds: float) -> None:
        """Count an item that was read."""
        self._read_seconds.labels(hosted.name).observe(seconds)

    def on_batch(self, hosted: Hosted, num_items: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_items.labels(hosted.name).observe(num_items)
        self._compute_seconds.labels(hosted.name).observe(seconds)

    def on_answers(self, hosted: Hosted, answers: Iterable[object]) -> None:
        """Count items by what came of them."""
        for answer in answers:
            status = answer.status if isinstance(answer, Failure) else 200
            self._items.labels(hosted.name, str(status)).inc()

    def on_reload(self, succeeded: bool) -> None:
        """Count a reload."""
        self._reloads.labels("loaded" if succeeded else "kept").inc()
