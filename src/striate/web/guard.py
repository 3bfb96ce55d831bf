"""The guard in front of a web application: an ASGI application that lets through what may pass.

It refuses by the `Policy`, counts what requests bring, ends those that do not arrive, and sets the
security headers of every answer. It sends no header of CORS and takes out those that the
application sends, so that no page of another site reads an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.exceptions import HTTPException

from striate.web.policy import SAFE_METHODS, SECURITY_HEADERS, Headers, Limits, Policy, Refusal

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_SECONDS: Final = 1
"""When to ask again, told with a refusal for want of room."""


class Guard:
    """An application behind its guard.

    Args:
        app: The application, Starlette's or another whose handlers see the `HTTPException` that
            `receive` raises when a body is too large or too late.
        policy: Who may ask what.
        limits: How much.
        on_refusal: Told the status of each request that is refused before it is read.

    Attributes:
        draining: Whether nothing but GET and HEAD is accepted any more; the application sees it as
            `scope["state"]["draining"]`.
        in_flight: The number of requests at work.
    """

    def __init__(
        self,
        app: App,
        policy: Policy,
        limits: Limits | None = None,
        on_refusal: Callable[[int], None] | None = None,
    ) -> None:
        self._on_refusal = on_refusal
        self.policy, self.limits = policy, limits or Limits()
        self.draining = False
        self.in_flight = 0
        self._app = app
        self._body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it; a connection of another protocol is closed."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            if self._on_refusal is not None:
                self._on_refusal(refusal.status)
            await _refuse(send, refusal, scope["method"])
            return
        scope.setdefault("state", {})["draining"] = self.draining
        body = _Body(self, receive)
        self.in_flight += 1
        try:
            await self._app(scope, body.receive, _secured(send))
        finally:
            self.in_flight -= 1
            self._body_bytes -= body.count

    def _refusal(self, scope: Scope) -> Refusal | None:
        """Why a request is refused before its body is read."""
        headers: Headers = scope["headers"]
        refused = self.policy.refusal(scope["method"], scope["path"], headers)
        if refused is not None:
            return refused
        if self.in_flight >= self.limits.requests:
            return Refusal(status=503, reason="too many requests are at work; ask again later")
        if self.draining and scope["method"] not in SAFE_METHODS:
            return Refusal(status=503, reason="the server is about to end; ask another")
        lengths = [value for name, value in headers if name == b"content-length"]
        declared = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
        return self.over(declared, declared)

    def over(self, count: int, more: int) -> Refusal | None:
        """Why a body is refused that has `count` bytes by now, `more` of them not yet counted."""
        if count > self.limits.body_bytes:
            most = f"{self.limits.body_bytes / 2**20:g} MiB"
            return Refusal(status=413, reason=f"the request is larger than {most}")
        if self._body_bytes + more > self.limits.all_bodies_bytes:
            return Refusal(status=503, reason="the requests at work hold too much; ask again later")
        return None

    def take(self, more: int) -> None:
        """Count bytes of a body."""
        self._body_bytes += more


class _Body:
    """The body of one request, counted and timed while it arrives."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self.count = 0
        self._guard, self._receive = guard, receive
        self._deadline = asyncio.get_running_loop().time() + guard.limits.reading_seconds
        self._complete = False

    async def receive(self) -> Message:
        """The next message; once the body is complete, only the client's leaving is waited for.

        Raises:
            HTTPException: The body is too large (413), too late (408), or there is no room (503).
        """
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            seconds = f"{self._guard.limits.reading_seconds:g} s"
            raise _exception(
                Refusal(status=408, reason=f"the request did not arrive within {seconds}")
            ) from None
        if message["type"] == "http.request":
            more = len(message.get("body", b""))
            refusal = self._guard.over(self.count + more, more)
            if refusal is not None:
                raise _exception(refusal)
            self.count += more
            self._guard.take(more)
            self._complete = not message.get("more_body", False)
        return message


def _exception(refusal: Refusal) -> HTTPException:
    headers = {name.decode(): value.decode() for name, value in _extra_headers(refusal)}
    return HTTPException(refusal.status, refusal.reason, headers)


def _extra_headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    headers = []
    if refusal.status in (408, 413, 503):
        headers.append((b"connection", b"close"))
    if refusal.status in (429, 503):
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


async def _refuse(send: Send, refusal: Refusal, method: str) -> None:
    body = json.dumps({"error": refusal.reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *_extra_headers(refusal),
    ]
    secured = _secured(send)
    await secured({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await secured({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


def _secured(send: Send) -> Send:
    """`send` that adds the security headers and takes out those of CORS."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [
                (name, value)
                for name, value in message.get("headers", [])
                if not name.lower().startswith(b"access-control-")
            ]
            names = {name.lower() for name, _ in own}
            added = [pair for pair in SECURITY_HEADERS.items() if pair[0] not in names]
            message = {**message, "headers": [*own, *added]}
        await send(message)

    return sending
