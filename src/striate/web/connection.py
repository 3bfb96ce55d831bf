"""Connections that end where a request does not arrive."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 1.0
"""Seconds beyond the time for a request, in which the application may still answer 408 itself."""


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a time limit on the arrival of each request.

    uvicorn waits without end for headers that come byte by byte, and for the rest of a body that
    nobody reads.

    Args:
        seconds: The time from the first byte (of the first request: from the connection) to the
            last one of the body.
    """

    class TimedProtocol(H11Protocol):
        """One connection."""

        _limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start()

        def data_received(self, data: bytes) -> None:
            self._start()
            super().data_received(data)
            if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _start(self) -> None:
            if self._limit is None:
                self._limit = self.loop.call_later(seconds, self._end)

        def _stop(self) -> None:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None

        def _end(self) -> None:
            self._limit = None
            self.transport.abort()

    return TimedProtocol
