"""A server as a process: where it listens, what it prints, whom it drops and how it ends."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from striate.errors import OptionError
from striate.web.policy import is_loopback
from striate.web.start import bound_socket, url_of

PROGRAM = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from striate.web.guard import Guard
from striate.web.policy import Limits, policy_for
from striate.web.start import run

async def work(request):
    body = await request.body()
    await asyncio.sleep(float(request.query_params.get("seconds", 0)))
    return JSONResponse({"bytes": len(body)})

async def ready(request):
    return JSONResponse({}, 503 if request.scope["state"]["draining"] else 200)

guard = Guard(
    Starlette(routes=[Route("/", work, methods=["POST"]), Route("/ready", ready)]),
    policy_for("127.0.0.1", None, trusts_programs=True),
    Limits(reading_seconds=0.3, connections=20),
)
sys.exit(run(guard, host="127.0.0.1", port=0, announce=lambda url: print(url, flush=True),
             notice_seconds=0.3, on_hangup=lambda: print("hangup", flush=True)))
"""


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first_line = self.process.stdout.readline()
        self.port = int(self.first_line.rpartition(":")[2])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def post(self, path="/", body=b"x"):
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body)) as answer:
            return answer.status, json.load(answer)

    def end(self):
        self.process.kill()
        return self.process.communicate()


@pytest.fixture(scope="module")
def server():
    found = Server()
    yield found
    _, errors = found.end()
    assert "Traceback" not in errors, errors


def request(path="/", length=1, extra=""):
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{extra}\r\n"
    return head.encode()


def everything(connection):
    """What comes until the server closes the connection."""
    found = b""
    try:
        while more := connection.recv(4096):
            found += more
    except ConnectionResetError:
        pass
    return found


def test_the_first_line_is_the_url_on_the_loopback_address(server):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", server.first_line)
    assert server.post(body=b"abc") == (200, {"bytes": 3})


def test_fault_88_headers_that_do_not_end_close_the_connection(server):
    with server.connect() as connection:
        start = time.monotonic()
        for byte in b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 60:
            try:
                connection.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.05)
        assert everything(connection) == b""
        assert 1 < time.monotonic() - start < 4


def test_fault_88_silence_closes_the_connection(server):
    with server.connect() as connection:
        start = time.monotonic()
        assert everything(connection) == b""
        assert time.monotonic() - start < 5


def test_fault_88_a_body_that_does_not_come_is_answered_408_and_closed(server):
    with server.connect() as connection:
        connection.send(request(length=10) + b"123")
        start = time.monotonic()
        answer = everything(connection)
        assert b" 408 " in answer.partition(b"\r\n")[0] and b"within 0.3 s" in answer
        assert time.monotonic() - start < 3


def test_a_second_request_on_a_connection_is_timed_anew(server):
    with server.connect() as connection:
        for _ in range(4):
            connection.send(request() + b"x")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(4096)
            assert b" 200 " in answer
            time.sleep(0.7)


def test_a_request_that_is_at_work_longer_than_it_may_arrive_is_answered(server):
    assert server.post("/?seconds=1.5") == (200, {"bytes": 1})


def test_more_connections_than_allowed_are_refused(server):
    idle = [server.connect() for _ in range(25)]
    try:
        with server.connect() as connection:
            connection.send(request() + b"x")
            assert b" 503 " in connection.recv(4096)
    finally:
        for connection in idle:
            connection.close()
    time.sleep(0.1)
    assert server.post()[0] == 200


def test_a_connection_outlives_requests_that_are_answered_before_their_bodies(server):
    with server.connect() as connection:
        for _ in range(8):
            connection.send(request("/ready", length=2) + b"a")
            answer = b""
            while not answer.endswith(b"Method Not Allowed"):
                more = connection.recv(4096)
                assert more, "the connection was closed"
                answer += more
            connection.send(b"b")
            time.sleep(0.25)  # together longer than a request may take to arrive


def test_after_such_a_request_silence_closes_the_connection(server):
    with server.connect() as connection:
        connection.send(request("/ready", length=2) + b"a")
        connection.recv(4096)
        connection.send(b"b")
        start = time.monotonic()
        everything(connection)
        assert 3 < time.monotonic() - start < 9


def test_a_client_that_is_still_sending_reads_why_it_is_refused(server):
    idle = [server.connect() for _ in range(25)]
    try:
        with server.connect() as connection:
            body = b"x" * 3_000_000
            connection.sendall(request(length=len(body)) + body)
            assert b" 503 " in everything(connection).partition(b"\r\n")[0]
    finally:
        for connection in idle:
            connection.close()
    time.sleep(0.1)


def test_a_client_that_never_stops_sending_is_cut_off(server):
    with server.connect() as connection:
        connection.send(request(length=2**30))
        with pytest.raises(OSError):
            for _ in range(2000):
                connection.sendall(b"x" * 2**16)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        + b"Connection: close\r\n"
        + b"X: y\r\n" * 20_000
        + b"\r\n",
    ],
)
def test_what_is_no_request_of_ours_is_refused_without_a_5xx(server, raw):
    with server.connect() as connection:
        try:
            connection.sendall(raw)
        except OSError:
            return
        status = everything(connection).partition(b"\r\n")[0]
        assert status.split(b" ")[1:2] and status.split(b" ")[1].startswith(b"4")
    assert server.post()[0] == 200


def test_a_hangup_is_passed_on(server):
    server.process.send_signal(signal.SIGHUP)
    assert server.process.stdout.readline() == "hangup\n"
    assert server.post()[0] == 200


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_fault_86_the_end_waits_for_requests_at_work_and_refuses_new_ones(number, code):
    server = Server()
    with server.connect() as first, server.connect() as second, server.connect() as third:
        first.send(request("/?seconds=0.8") + b"x")
        time.sleep(0.2)
        server.process.send_signal(number)
        time.sleep(0.2)
        second.send(request() + b"x")
        assert b" 503 " in second.recv(4096)
        third.send(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 503 " in third.recv(4096)
        assert b" 200 " in first.recv(4096)
    assert server.process.wait(5) == code
    assert "Traceback" not in server.end()[1]


def test_a_second_signal_ends_at_once():
    server = Server()
    with server.connect() as connection:
        connection.send(request("/?seconds=20") + b"x")
        time.sleep(0.2)
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert server.process.wait(5) == 143
    server.end()


def test_an_answer_is_sent_at_once():
    """Without Nagle's algorithm, which held the end of an answer back for 40 ms."""

    async def without_delay():
        found = asyncio.get_running_loop().create_future()

        def serve(_, writer):
            own = writer.get_extra_info("socket")
            found.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = bound_socket("127.0.0.1", 0)
        async with await asyncio.start_server(serve, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            delay = await asyncio.wait_for(found, 10)
            writer.close()
            return delay

    assert asyncio.run(without_delay())


def test_a_port_that_is_taken_is_told_with_a_way_out(server):
    with pytest.raises(OptionError, match=r"in use.*port=0"):
        bound_socket("127.0.0.1", server.port)
    with pytest.raises(OptionError, match="host"):
        bound_socket("no such host", 0)


def test_the_url_of_every_interface_is_one_that_works():
    with bound_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert url_of(bound, "0.0.0.0") == f"http://127.0.0.1:{port}"
        assert url_of(bound, "::1") == f"http://[::1]:{port}"
    assert is_loopback("::1") and not is_loopback("::")
