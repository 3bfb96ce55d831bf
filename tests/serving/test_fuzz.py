"""Requests of a grammar, and mutated files: whatever comes, never a 5xx and never a crash."""

import base64
import json
import random
import resource
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

names = st.sampled_from(
    ["file", "inputs", "name", "datatype", "shape", "data", "text", "base64", "é"]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["aaaa", "BYTES", "UINT8", "FP32", "array", "text", "file", "\ud800"]),
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["file", "array", "text", "other"]),
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32", "FP16", "INT64", "BOOL"]),
        "shape": st.lists(st.integers(-1, 4), max_size=4),
        "data": st.lists(st.one_of(scalars, st.lists(st.integers(0, 255), max_size=3)), max_size=6),
    }
)
bodies = st.one_of(
    st.binary(max_size=200),
    documents.map(lambda d: json.dumps(d).encode()),
    documents.map(lambda d: json.dumps({"inputs": [d]}).encode()),
    tensors.map(lambda t: json.dumps({"inputs": [t]}).encode()),
    st.sampled_from(
        [
            b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nabc\r\n--x--\r\n",
            b"{",
        ]
    ),
)
paths = st.one_of(
    st.sampled_from(
        [
            "/", "/predict", "/predict?model=probe", "/predict?model=%00", "/docs", "/metrics",
            "/openapi.json", "/v2", "/v2/health/ready", "/v2/models/probe", "/v2/models/probe/infer",
            "/v2/models/probe/versions/1", "/v2/models/%2e%2e/infer", "/v2/models//infer", "/..%2f",
        ]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(lambda t: f"/{t}"),
)  # fmt: skip
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            [
                "application/json", "image/png", "application/octet-stream", "text/plain", "",
                "multipart/form-data; boundary=x", "multipart/form-data", ";", "application/json; x",
            ]
        ),
        "content-encoding": st.sampled_from(["gzip", "identity", "?"]),
        "accept": st.sampled_from(["text/html", "*/*", "image/png"]),
        "origin": st.sampled_from(["http://localhost", "null", "https://evil.example"]),
        "sec-fetch-site": st.sampled_from(["cross-site", "none", "?"]),
        "x-striate-token": st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=5),
        "host": st.sampled_from(["localhost", "evil.example", "[::1", "127.0.0.1:80"]),
    },
)  # fmt: skip
methods = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(method=methods, path=paths, headers=headers, body=bodies)
def test_no_request_of_the_grammar_gives_a_5xx(server, method, path, headers, body):
    try:
        answer = server.ask(method, path, headers=headers, content=body)
    except httpx.InvalidURL:
        assume(False)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["error"]


@settings(max_examples=100, deadline=None)
@given(body=bodies, path=st.sampled_from(["/predict", "/v2/models/probe/infer"]))
def test_no_document_gives_a_5xx(server, body, path):
    headers = {"Content-Type": "application/json"}
    assert server.ask("POST", path, headers=headers, content=body).status_code < 500


def mutated(content, draw):
    """A file with some bytes changed, left out, doubled or cut off."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(changed))
        kind = draw.randrange(4)
        if kind == 0:
            changed[place] = draw.randrange(256)
        elif kind == 1:
            del changed[place : place + draw.randint(1, 50)]
        elif kind == 2:
            changed[place:place] = changed[: draw.randint(1, 50)]
        else:
            changed[place : place + 4] = draw.randbytes(4)
        changed = changed or bytearray(b"x")
    return bytes(changed[: draw.randint(1, len(changed))] if draw.random() < 0.2 else changed)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_thousand_hostile_uploads_crash_nothing_and_keep_memory(server, pictures, photos):
    draw = random.Random(0)
    originals = [*pictures[:5], *(path.read_bytes() for path in sorted(photos.rglob("*.jpg"))[:5])]
    sizes = []
    for step in range(10):
        requests = []
        for _ in range(100):
            content = mutated(draw.choice(originals), draw)
            if draw.random() < 0.3:
                document = {"inputs": [base64.b64encode(content).decode()]}
                requests.append(("POST", "/predict", {"json": document}))
            else:
                requests.append(("POST", "/predict", {"files": {"file": content}}))
        for start in range(0, len(requests), 20):
            answers = server.together(requests[start : start + 20])
            assert all(answer.status_code < 500 for answer in answers)
        if step >= 4:
            sizes.append(resident_bytes())
    assert server.service.batcher.places.held == 0 == server.guard.in_flight
    assert max(sizes) - sizes[0] < 50 * 2**20
    assert server.post(pictures[0]).status_code == 200
