"""Reads the items of the page one after the other, by one process that goes on living."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from striate.data.sandbox import DecoderPool
from striate.data.source import Item, Reading, UnreadableItem
from striate.errors import DataError


class KeptDecoder:
    """One decoding process, started with the first file: starting it takes longer than a picture."""

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "decoder")  # a pool has a process for each thread that asks

    @cached_property
    def _pool(self) -> DecoderPool:
        return DecoderPool()

    def read(self, item: Item, read: Callable[[DecoderPool], Reading]) -> Reading:
        """An item as a function reads it that is given the process.

        Args:
            item: The item, for the message.
            read: Reads it.

        Raises:
            DataError: It cannot be read; the message says why.
        """
        try:
            return self._thread.submit(lambda: read(self._pool)).result()
        except UnreadableItem as error:
            raise DataError(f"cannot read {item.id}", why=error.reason) from None
