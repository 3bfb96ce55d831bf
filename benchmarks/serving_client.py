"""A light HTTP client for `serving.py`: prepared requests on connections that stay open.

    python benchmarks/serving_client.py URL closed CLIENTS SECONDS FILE...
    python benchmarks/serving_client.py URL open REQUESTS_PER_SECOND SECONDS FILE...

It is a process of its own and the same for every server. `closed`: so many clients, each of which
asks again once it is answered. `open`: requests that come at a rate, whether or not others are
answered. The last line of its output is JSON: the status and the milliseconds of each request (0
where the connection broke without an answer), the seconds from the first to the last of them and
until the last was sent, and the seconds that this process spent on a processor.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

BROKEN = 0
"""The status of a request whose connection ended without an answer."""

MOST_CONNECTIONS = 400

ANSWER_SECONDS = 120.0


class Connection(asyncio.Protocol):
    """One connection, on which requests are asked one after the other."""

    def __init__(self) -> None:
        self.open = True
        self._found = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._found += data
        head, end, body = bytes(self._found).partition(b"\r\n\r\n")
        if not end or self._answer is None:
            return
        status, fields = int(head[9:12]), head.lower()
        _, _, length = fields.partition(b"content-length:")
        if len(body) >= int(length.partition(b"\r\n")[0] or 0):
            self._found.clear()
            if b"connection: close" in fields:
                self.close()
            self._tell(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._tell(BROKEN)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()

    async def ask(self, request: bytes) -> int:
        """The status of the answer to a request."""
        self._answer = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._answer

    def _tell(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


class Client:
    """Connections to a server, those that are free taken again."""

    def __init__(self, url: str, contents: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._free: deque[Connection] = deque()
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self.requests = [
            b"POST /predict HTTP/1.1\r\nHost: %b\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (parts.netloc.encode(), len(content), content)
            for content in contents
        ]

    async def ask(self, request: bytes) -> tuple[int, float]:
        """The status of an answer, and its milliseconds; connecting counts."""
        start = time.perf_counter()
        async with self._room:
            try:
                connection = await self._connection()
                status = await connection.ask(request)
            except OSError:
                return BROKEN, 1000 * (time.perf_counter() - start)
            if connection.open:
                self._free.append(connection)
        return status, 1000 * (time.perf_counter() - start)

    async def _connection(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, self._host, self._port))[1]

    def close(self) -> None:
        for connection in self._free:
            connection.close()


async def closed_loop(client: Client, clients: int, seconds: float) -> list[tuple[int, float]]:
    """What clients met that ask again once they are answered."""
    found: list[tuple[int, float]] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        start = number % len(client.requests)
        mine = cycle(client.requests[start:] + client.requests[:start])
        while time.perf_counter() < end:
            found.append(await client.ask(next(mine)))

    await asyncio.gather(*map(one, range(clients)))
    return found


async def open_loop(
    client: Client, rate: float, seconds: float
) -> tuple[list[tuple[int, float]], float]:
    """What requests met that came at a rate, and the seconds until the last was sent."""
    asked, start = [], time.perf_counter()
    mine = cycle(client.requests)
    for number in range(int(rate * seconds)):
        wait = start + number / rate - time.perf_counter()
        await asyncio.sleep(max(0.0, wait))
        asked.append(asyncio.ensure_future(client.ask(next(mine))))
    sent = time.perf_counter() - start
    return list(await asyncio.gather(*asked)), sent


async def measured(url: str, how: str, number: float, seconds: float, files: Sequence[str]) -> str:
    """The document that is printed."""
    client = Client(url, [Path(name).read_bytes() for name in files])
    for request in client.requests[:4]:
        await client.ask(request)
    start, spent = time.perf_counter(), time.process_time()
    if how == "closed":
        answers, sent = await closed_loop(client, int(number), seconds), seconds
    else:
        answers, sent = await open_loop(client, number, seconds)
    document = {
        "answers": answers,
        "seconds": time.perf_counter() - start,
        "sending_seconds": sent,
        "processor_seconds": time.process_time() - spent,
    }
    client.close()
    return json.dumps(document)


if __name__ == "__main__":
    url, how, number, seconds, *files = sys.argv[1:]
    print(asyncio.run(measured(url, how, float(number), float(seconds), files)))
