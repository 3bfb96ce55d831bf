"""The guard in front of an application: limits, security headers, and what it does not let through."""

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from striate.web.body import json_depth, media_type, parsed_json, read_json, read_parts
from striate.web.guard import Guard
from striate.web.policy import Limits, Policy

LIMITS = Limits(
    body_bytes=1000, all_bodies_bytes=1500, parts=3, json_depth=4, reading_seconds=0.2, requests=2
)
POLICY = Policy(token="secret", trusts_programs=True)


async def echo(request):
    if request.method == "GET":
        return JSONResponse({}, headers={"Access-Control-Allow-Origin": "*"})
    if media_type(request) == "application/json":
        return JSONResponse(await read_json(request, LIMITS, lambda document: document))
    if media_type(request) == "multipart/form-data":
        parts = await read_parts(request, LIMITS)
        return JSONResponse([[p.name, p.filename, len(p.content)] for p in parts])
    return JSONResponse({"length": len(await request.body())})


async def draining(request):
    return JSONResponse(request.scope["state"])


@pytest.fixture
def guard():
    routes = [Route("/", echo, methods=["GET", "POST"]), Route("/state", draining)]
    return Guard(Starlette(routes=routes), POLICY, LIMITS)


def ask(guard, method="POST", path="/", **request):
    async def asking():
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **request)

    return asyncio.run(asking())


def test_every_answer_has_the_security_headers_and_none_of_cors(guard):
    for answer in (ask(guard, "GET"), ask(guard, "GET", "/none"), ask(guard, content=b"x" * 2000)):
        headers = answer.headers
        policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
        assert policy["object-src"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"] and "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]


def test_a_preflight_request_of_cors_is_refused(guard):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = ask(guard, "OPTIONS", headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["error"]


def test_a_missing_token_says_how_to_send_one(guard):
    answer = ask(guard, headers={"Origin": "http://127.0.0.1"})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["error"]


class Client:
    """One request whose body comes in chunks, which counts what is asked of it."""

    def __init__(self, guard, *chunks, headers=(), pause=0.0):
        self.guard, self.chunks, self.pause = guard, list(chunks), pause
        self.headers = [(b"host", b"127.0.0.1"), *headers]
        self.received = 0
        self.sent = []

    async def receive(self):
        await asyncio.sleep(self.pause)
        if not self.chunks:
            return {"type": "http.disconnect"}
        self.received += 1
        body = self.chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self.chunks)}

    async def send(self, message):
        self.sent.append(message)

    async def ask(self):
        scope = {
            "type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"",
            "root_path": "", "scheme": "http", "headers": self.headers, "http_version": "1.1",
        }  # fmt: skip
        await self.guard(scope, self.receive, self.send)
        return self.sent[0]["status"], dict(self.sent[0]["headers"])


def test_fault_79_a_body_that_is_too_large_by_its_header_is_never_given_to_the_application(guard):
    reached = []

    async def app(scope, receive, send):
        reached.append(scope)

    client = Client(Guard(app, POLICY, LIMITS), b"x" * 1001, headers=[(b"content-length", b"1001")])
    status, headers = asyncio.run(client.ask())
    assert (status, headers[b"connection"], reached) == (413, b"close", [])


def test_one_who_waits_to_send_a_body_is_refused_without_it(guard):
    headers = [(b"content-length", b"5000"), (b"expect", b"100-continue")]
    client = Client(guard, b"x" * 5000, headers=headers)
    assert asyncio.run(client.ask())[0] == 413
    assert client.received == 0


def test_a_body_that_lies_about_its_size_is_cut_off(guard):
    client = Client(guard, *[b"x" * 300] * 100, headers=[(b"content-length", b"10")])
    assert asyncio.run(client.ask())[0] == 413
    assert asyncio.run(Client(guard, *[b"x" * 200] * 5).ask())[0] == 200


def test_the_bodies_at_work_are_bounded_together_and_given_back(guard):
    async def both():
        clients = [Client(guard, b"x" * 900, b"y" * 90, pause=0.05) for _ in range(2)]
        return await asyncio.gather(*(client.ask() for client in clients))

    answers = asyncio.run(both())
    assert sorted(status for status, _ in answers) == [200, 503]
    assert next(h for s, h in answers if s == 503)[b"retry-after"]
    assert asyncio.run(Client(guard, b"x" * 1000).ask())[0] == 200


def test_fault_88_a_body_that_comes_too_slowly_is_answered_408(guard):
    status, headers = asyncio.run(Client(guard, *[b"x"] * 100, pause=0.03).ask())
    assert (status, headers[b"connection"]) == (408, b"close")


def test_a_body_that_never_comes_is_answered_408(guard):
    assert asyncio.run(Client(guard, b"x", pause=5).ask())[0] == 408


def test_more_requests_than_allowed_are_refused_at_once(guard):
    async def three():
        clients = [Client(guard, b"x", pause=0.05) for _ in range(3)]
        return await asyncio.gather(*(client.ask() for client in clients))

    assert sorted(status for status, _ in asyncio.run(three())) == [200, 200, 503]
    assert guard.in_flight == 0


def test_while_draining_only_reading_is_answered(guard):
    guard.draining = True
    answer = ask(guard, content=b"x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] and answer.headers["connection"] == "close"
    assert ask(guard, "GET", "/state").json()["draining"] is True


def test_a_web_socket_is_closed(guard):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(guard({"type": "websocket", "headers": []}, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_parts_are_read_with_their_names_and_too_many_are_refused(guard):
    files = [("file", (name, b"12345")) for name in ("a.png", "../../etc/passwd", "ü\u2028.png")]
    assert ask(guard, files=files).json() == [["file", name, 5] for _, (name, _) in files]
    assert ask(guard, files=[*files, files[0]]).status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=x; charset=nonsense",
        "multipart/form-data; boundary=\xff",
    ],
)
@pytest.mark.parametrize("body", [b"", b"--x\r\n\r\n", b"--x--", b"--x\r\nA: B\r\n\r\nq\r\n--x--"])
def test_a_form_that_is_none_is_the_senders_fault(guard, content_type, body):
    headers = {b"content-type": content_type.encode("latin-1")}
    answer = ask(guard, content=body, headers=headers)
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"NaN",
        b'{"a": -Infinity}',
        b"\xff\xfe",
        b'"\xff"',
        b"[" * 900_000,
        b"9" * 5000,
        b'{"a":' * 5 + b"1" + b"}" * 5,
    ],
)
def test_what_is_no_json_or_nested_too_deeply_is_the_senders_fault(body):
    from starlette.exceptions import HTTPException

    with pytest.raises(HTTPException) as refused:
        parsed_json(body, LIMITS)
    assert refused.value.status_code == 400


def test_json_as_deep_as_allowed_is_read():
    document = {"a": [[{"b": "[[[[[[{{{{{{"}]], "c": '\\"[[[['}
    assert parsed_json(json.dumps(document).encode(), LIMITS) == document
    assert json_depth(b'"[[[') == 0 == json_depth(b"")
    assert json_depth(b"[" * 3 + b"1," * 2**20 + b"[[" + b"]" * 5) == 5  # in more than one piece
