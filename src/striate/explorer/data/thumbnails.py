"""Small pictures of the items of a run, made when they are looked at."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

from striate.data.sandbox import DecoderPool, read_item
from striate.data.source import Reading, UnreadableItem
from striate.errors import StriateError
from striate.explorer.data.features import DataOfRun
from striate.report.picture import SMALL, data_url
from striate.run.explain import small_drawing

KEPT: Final = 2000
"""Pictures that are kept; one takes some kilobytes."""

WORKERS: Final = 2
"""Items that are read at the same time, each by a process of its own."""


class Thumbnails:
    """Pictures of a run's items as addresses that hold them.

    Args:
        data: The items of the run.
    """

    def __init__(self, data: DataOfRun) -> None:
        self._data = data
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(WORKERS, "thumbnails")
        self._pool: DecoderPool | None = None
        self._kept: OrderedDict[int, str | None] = OrderedDict()

    def url(self, number: int) -> str | None:
        """The picture of an item; None where its kind has none, or it cannot be read."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        drawn = self._threads.submit(self._drawn, number).result()
        with self._lock:
            self._kept[number] = drawn
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawn

    def _drawn(self, number: int) -> str | None:
        try:
            source, items = self._data.open()
            item = items.get(self._data.items[number].id)
            if item is None:
                return None
            return small_picture(self._data, read_item(source, item, SMALL, self._decoders()))
        except (UnreadableItem, StriateError):
            return None

    def _decoders(self) -> DecoderPool:
        with self._lock:
            self._pool = self._pool or DecoderPool()
            return self._pool


def small_picture(data: DataOfRun, reading: Reading) -> str | None:
    """The picture of an item that was read; None where its kind has none."""
    drawing = small_drawing(data.run.kind, reading)
    return None if drawing is None else data_url(drawing)
