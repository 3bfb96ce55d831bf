"""Bytes on a socket, by a grammar of request lines, headers and bodies: whatever comes, no 5xx."""

import asyncio
import logging
import socket
import threading
import time

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from striate.web.connection import timed_protocol
from striate.web.policy import Limits
from striate.web.start import _Server, bound_socket

ARRIVING_SECONDS = 0.2

methods = st.sampled_from(
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"get",
     b"", b"G\xc3\x89T", b"G" * 300, b"P\x00ST", b"PRI", b"PROPFIND"]
)  # fmt: skip
segments = st.sampled_from(
    [b"predict", b"v2", b"models", b"probe", b"infer", b"versions", b"health", b"ready", b"live", b"docs",
     b"metrics", b"openapi.json", b"..", b".", b"", b"%2e%2e", b"%252e", b"%00", b"%ff", b"%", b"%zz",
     b"a" * 2000, b"\xc3\xa9", b"{name}", b"*", b"a b", b"\\..\\", b";x=1"]
)  # fmt: skip
queries = st.sampled_from(
    [b"", b"?", b"?model=probe", b"?model=%ff", b"?model=", b"?explain=1", b"?explain=%31&explain=x",
     b"?explain=1&model=other", b"?&&==", b"?\xff\xfe", b"?x=" + b"1" * 3000, b"#frag"]
)  # fmt: skip
targets = st.one_of(
    st.tuples(st.lists(segments, max_size=6), queries).map(
        lambda pair: b"/" + b"/".join(pair[0]) + pair[1]
    ),
    st.sampled_from(
        [b"*", b"", b"http://localhost/predict", b"http://[::1", b"predict", b"//", b":"]
    ),
)
versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""])
field_names = st.sampled_from(
    [b"Content-Type", b"Content-Encoding", b"Transfer-Encoding", b"Expect", b"Connection", b"Upgrade",
     b"Origin", b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Authorization", b"X-Striate-Token", b"Cookie",
     b"Range", b"Accept", b"Host", b"Content-Length", b"X-Forwarded-For", b"Sec-WebSocket-Key",
     b"If-None-Match", b"X" * 500, b"X Y", b"", b"\xff"]
)  # fmt: skip
field_values = st.sampled_from(
    [b"application/json", b"image/png", b"multipart/form-data; boundary=x", b"multipart/form-data",
     b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary=" + b"b" * 300,
     b"application/json; charset=utf-7", b"gzip", b"identity", b"chunked", b"chunked, chunked",
     b"100-continue", b"close", b"keep-alive", b"websocket", b"h2c", b"null", b"http://localhost",
     b"http://[", b"cross-site", b"navigate", b"none", b"Bearer", b"Bearer x", b"bearer \xff",
     b"bytes=0-1", b"localhost", b"localhost:0", b"[::1]", b"evil.example", b"0", b"5", b"-1", b"1, 1",
     b"9" * 19, b"9" * 5000, b"1e3", b"", b"\x00", b"a" * 5000]
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"",
            b'{"inputs": ["AAAA"]}',
            b'{"inputs": [[[[1, 2]]]]}',
            b"5\r\nhello\r\n0\r\n\r\n",
            b"FFFFFFFFFFFFFFFF\r\nx",
            b"-1\r\n\r\n",
            b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nabc\r\n--x--\r\n",
            b"--x\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--x--\r\n",
            b"--x\r\n\r\n--x--",
        ]
    ),
)
lengths = st.sampled_from(["right", "right", "right", "none", "short", "long"])


@st.composite
def requests(draw):
    """The bytes of a request."""
    body = draw(bodies)
    lines = [b" ".join([draw(methods), draw(targets), draw(versions)])]
    fields = draw(st.lists(st.tuples(field_names, field_values), max_size=4))
    if draw(st.integers(0, 9)):
        fields.append((b"Host", b"localhost"))
    length = {"right": len(body), "short": len(body) // 2, "long": len(body) + 3}
    if (told := draw(lengths)) != "none":
        fields.append((b"Content-Length", str(length[told]).encode()))
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]))
    lines += [name + b": " + value for name, value in draw(st.permutations(fields))]
    return end.join([*lines, b"", body])


@pytest.fixture(scope="module")
def port(hosts, module_local):
    """The port of the server, which listens in a thread."""
    bound = bound_socket("127.0.0.1", 0)
    config = uvicorn.Config(
        module_local.guard,
        http=timed_protocol(ARRIVING_SECONDS + 0.2),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield bound.getsockname()[1]
    server.should_exit = True
    thread.join()
    bound.close()


@pytest.fixture(scope="module")
def module_local(hosts, make_local):
    return make_local(hosts, limits=Limits(reading_seconds=ARRIVING_SECONDS))


def answered(port, raw):
    """The status of the first answer to some bytes; None where the connection was closed instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        found = b""
        try:
            connection.sendall(raw)
            while b"\r\n\r\n" not in found and (more := connection.recv(65536)):
                found += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    line = found.partition(b"\r\n")[0].split(b" ")
    return int(line[1]) if len(line) > 1 else None


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=requests())
@example(
    raw=b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
)
def test_no_bytes_of_the_grammar_give_a_5xx(port, raw, caplog):
    with caplog.at_level(logging.ERROR):
        status = answered(port, raw)
    assert status is None or 100 <= status < 500
    assert not caplog.records, caplog.text


def test_the_grammar_reaches_what_it_is_to_try(port):
    """An honest request among them is answered, and the server goes on after all the others."""
    good = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert answered(port, good) == 200
    json = b'{"inputs": ["AAAA"]}'
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert answered(port, head + b"Content-Length: 20\r\n\r\n" + json) == 415
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answered(port, chunked + b"1\r\n{\r\n0\r\n\r\n") == 415
    assert answered(port, chunked) == 415  # the type is refused before the body is read
    assert answered(port, b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n") == 405
