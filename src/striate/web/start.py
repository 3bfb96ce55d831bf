"""How a web server of Striate's starts, says where it is, and ends without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

from striate.errors import OptionError
from striate.web.connection import PATIENCE, timed_protocol
from striate.web.guard import Guard
from striate.web.policy import bracketed

DRAIN_SECONDS: Final = 30.0
"""How long requests at work may take after SIGTERM."""

_POLL_SECONDS: Final = 0.02


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are handled here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Args:
        host: The address or the name of one.
        port: The port; 0 takes any that is free.

    Raises:
        OptionError: The address is not this machine's, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise OptionError("host", host, why=_reason(error), fix="use `host='127.0.0.1'`") from None
    # Of a socket whose protocol is named asyncio sends at once; of others the end of an answer waits
    # 40 ms for the client to acknowledge its beginning.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        fix = "choose another; `port=0` takes one that is free"
        raise OptionError("port", port, why=f"{host}: {_reason(error)}", fix=fix) from None
    return found


def url_of(bound: socket.socket, host: str) -> str:
    """The address of a bound socket as a browser takes it.

    Args:
        bound: The socket.
        host: The host as the user gave it.
    """
    own = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://{bracketed(own)}:{bound.getsockname()[1]}"


def run(
    guard: Guard,
    *,
    host: str,
    port: int,
    announce: Callable[[str], None],
    prepare: Callable[[], None] | None = None,
    notice_seconds: float = 0.0,
    drain_seconds: float = DRAIN_SECONDS,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Serve until a signal ends it, and return the exit code: 128 plus the signal's number.

    The first SIGTERM or SIGINT lets the requests at work come to their end while everything else
    is refused; a second one ends at once.

    Args:
        guard: The application behind its guard.
        host: The address to listen at.
        port: The port; 0 takes any that is free.
        announce: Told the URL as soon as connections are accepted.
        prepare: Called then, in a thread of its own; what it raises ends the server.
        notice_seconds: How long health checks are still answered after the signal, so that a load
            balancer learns that no more is accepted.
        drain_seconds: How long requests at work may take after the signal.
        on_hangup: Called on SIGHUP, in a thread of its own.

    Raises:
        OptionError: The address cannot be listened at.
        Exception: Whatever `prepare` raises.
    """
    bound = bound_socket(host, port)
    limits = guard.limits
    protocol: Any = timed_protocol(limits.reading_seconds + PATIENCE)
    config = uvicorn.Config(
        guard,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    ending = _Ending(_Server(config), guard, notice_seconds, drain_seconds)
    with bound:
        url = url_of(bound, host)
        asyncio.run(ending.serve(bound, lambda: announce(url), prepare, on_hangup))
    if ending.error is not None:
        raise ending.error
    return ending.exit_code


class _Ending:
    """Runs a server and ends it in good order.

    Attributes:
        exit_code: 128 plus the number of the signal that ended it; 0 without one.
        error: What the preparation raised.
    """

    def __init__(
        self, server: uvicorn.Server, guard: Guard, notice_seconds: float, drain_seconds: float
    ) -> None:
        self.exit_code = 0
        self.error: Exception | None = None
        self._server, self._guard = server, guard
        self._notice_seconds, self._drain_seconds = notice_seconds, drain_seconds
        self._tasks: set[asyncio.Future[Any]] = set()

    async def serve(
        self,
        bound: socket.socket,
        announce: Callable[[], None],
        prepare: Callable[[], None] | None,
        on_hangup: Callable[[], None] | None,
    ) -> None:
        """Serve on a socket until a signal."""
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], None]] = {
            number: lambda number=number: self._end(number)  # type: ignore[misc]
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        if on_hangup is not None and hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = lambda: self._keep(loop.run_in_executor(None, on_hangup))
        with _handling(loop, handlers):
            starting = asyncio.ensure_future(self._started(announce, prepare))
            self._keep(starting)
            await self._server.serve(sockets=[bound])

    async def _started(
        self, announce: Callable[[], None], prepare: Callable[[], None] | None
    ) -> None:
        while not self._server.started:
            await asyncio.sleep(_POLL_SECONDS)
        announce()
        if prepare is None:
            return
        try:
            await asyncio.to_thread(prepare)
        except Exception as error:
            self.error = error
            self._server.should_exit = True

    def _end(self, number: int) -> None:
        if self.exit_code:
            self._server.force_exit = self._server.should_exit = True
            return
        self.exit_code = 128 + number
        self._guard.draining = True
        self._keep(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        """Wait until nothing is at work any more, then end the server."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() - start < self._drain_seconds:
            if not self._guard.in_flight and loop.time() - start >= self._notice_seconds:
                break
            await asyncio.sleep(_POLL_SECONDS)
        self._server.should_exit = True

    def _keep(self, task: asyncio.Future[Any]) -> None:
        """Hold on to a task until it is done; the loop itself does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.contextmanager
def _handling(
    loop: asyncio.AbstractEventLoop, handlers: dict[int, Callable[[], None]]
) -> Iterator[None]:
    """Call handlers in the loop when their signals come, inside a `with` block."""
    before = {
        number: signal.signal(
            number,
            lambda *_, handle=handle: loop.call_soon_threadsafe(handle),
        )
        for number, handle in handlers.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
