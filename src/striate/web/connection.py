"""Connections that end where a request does not arrive, and that let a refused client read why."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE: Final = 1.0
"""Seconds beyond the time for a request, in which the application may still answer 408 itself."""

LINGER_SECONDS: Final = 2.0
"""How long what a client goes on sending is thrown away after the last answer to it."""

LINGER_BYTES: Final = 4 * 2**20
"""How much of it, at most."""


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a time limit on the arrival of each request, and a gentle end.

    uvicorn waits without end for headers that come byte by byte, and for the rest of a body that
    nobody reads. And it closes a connection at once whose client still sends, on which the system
    tells the client of a reset, and throws away the answer that it has not read yet.

    Args:
        seconds: The time from the first byte (of the first request: from the connection) to the
            last one of the body.
    """

    class TimedProtocol(H11Protocol):
        """One connection."""

        _limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            self._ending = _Transport(self, transport)
            super().connection_made(self._ending)  # type: ignore[arg-type]  # it does all that one does
            self._start()

        def data_received(self, data: bytes) -> None:
            if self._ending.lingers:
                self._ending.throw_away(data)
                return
            self._start()
            super().data_received(data)
            state = self.conn.their_state
            if state not in (h11.IDLE, h11.SEND_BODY):
                self._stop()
            elif state is h11.IDLE and not self.conn.trailing_data[0]:
                # The rest of a request that was answered before it had arrived: uvicorn goes on to
                # the next one, and has forgotten to end the connection where none comes.
                self._stop()
                if self.timeout_keep_alive_task is None:
                    self.timeout_keep_alive_task = self.loop.call_later(
                        self.timeout_keep_alive, self.timeout_keep_alive_handler
                    )

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self._ending.stop()
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


class _Transport:
    """A connection's transport, which sends the head and the end of an answer in one piece, and is
    closed once the client has read the last one.

    Args:
        protocol: The connection.
        transport: Its transport.

    Attributes:
        lingers: Whether nothing is sent any more, and what still comes is thrown away.
    """

    def __init__(self, protocol: H11Protocol, transport: asyncio.Transport) -> None:
        self.lingers = False
        self._protocol, self._transport = protocol, transport
        self._unsent: list[bytes] = []
        self._left = LINGER_BYTES
        self._limit: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes once the work at hand is done, with what it has to send besides."""
        if not self._unsent:
            self._protocol.loop.call_soon(self._send)
        self._unsent.append(data)

    def _send(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def close(self) -> None:
        """Close the connection; where a request is still being sent, end the answer alone."""
        self._send()
        sends = self._protocol.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        if self.lingers or self._transport.is_closing() or not sends:
            self._transport.close()
            return
        self.lingers = True
        self._transport.write_eof()
        self._protocol.flow.resume_reading()
        self._limit = self._protocol.loop.call_later(LINGER_SECONDS, self._transport.abort)

    def throw_away(self, data: bytes) -> None:
        """Count what comes after the last answer, and end the connection where it is too much."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def stop(self) -> None:
        """Forget the time limit, for the connection has ended."""
        if self._limit is not None:
            self._limit.cancel()
