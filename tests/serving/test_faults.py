"""What a server meets: faults 77 to 89, by number."""

import asyncio
import struct
import threading
import time
import zlib
from dataclasses import replace

import httpx
import numpy as np
import pytest

from striate.errors import RunError
from striate.run.folder import MODEL
from striate.serving import batching, hosted
from striate.serving.batching import Batcher
from striate.serving.failure import Failure
from striate.serving.hosted import Hosts, Settings, loaded
from striate.web.policy import Limits

CPU = Settings(device="cpu", engine="torch")


def png_of(width, height):
    """A PNG that says it is so large, with next to no pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("content", [b"<html>", b"%PDF-1.7" + bytes(99), b"\x7fELF" + bytes(99)])
def test_fault_77_what_is_no_image_is_415(server, content):
    answer = server.post(content)
    assert answer.status_code == 415 and answer.json()["error"]


def test_fault_78_what_cannot_be_decoded_is_422(server, pictures):
    for content in (
        pictures[0][:200],
        pictures[0][: len(pictures[0]) // 2],
        b"\xff\xd8\xff" + bytes(99),
        b"",
    ):
        assert server.post(content).status_code == 422


def test_fault_79_too_large_is_413_before_it_is_buffered(served_with):
    local = served_with(limits=Limits(body_bytes=10_000))
    taken = 0

    async def chunks():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(1000)

    headers = {"Content-Type": "image/png"}
    answer = local.ask("POST", "/predict", content=chunks(), headers=headers)
    assert answer.status_code == 413 and "larger than" in answer.json()["error"]
    known = {"headers": headers, "content": bytes(20_000)}
    assert local.ask("POST", "/predict", **known).status_code == 413
    assert local.guard._body_bytes == 0


def test_fault_79_what_expands_beyond_reason_is_413(server, monkeypatch, pictures):
    monkeypatch.setattr("striate.serving.service.MAX_ITEM_BYTES", 1000)
    answer = server.post(pictures[0])
    assert answer.status_code == 413 and "expands" in answer.json()["error"]


def test_fault_80_a_pixel_bomb_is_413(server):
    start = time.monotonic()
    answer = server.post(png_of(20_000, 20_000))
    assert answer.status_code == 413 and "pixel limit" in answer.json()["error"]
    assert time.monotonic() - start < 5


class Gate:
    """A network that waits until it may go on."""

    def __init__(self):
        self.open, self.entered = threading.Event(), threading.Event()
        self.computed = []

    def __call__(self, run, items, readings, together):
        self.entered.set()
        self.open.wait(20)
        self.computed += items
        return run.predicted(items, readings, together=together)


def asking(local, steps):
    """Run a coroutine that is given a client of a server."""

    async def inside():
        transport = httpx.ASGITransport(local.guard, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await steps(client)

    return asyncio.run(inside())


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about")


def test_fault_81_a_full_queue_is_429_at_once_with_a_time_to_retry(served_with, pictures):
    gate = Gate()
    local = served_with(gate, capacity=2)

    async def steps(client):
        files = {"file": pictures[0]}
        held = [asyncio.ensure_future(client.post("/predict", files=files)) for _ in range(2)]
        await until(lambda: local.service.batcher.places.held == 2)
        start = time.monotonic()
        refused = await client.post("/predict", files=files)
        seconds = time.monotonic() - start
        gate.open.set()
        return refused, seconds, [answer.status_code for answer in await asyncio.gather(*held)]

    refused, seconds, held = asking(local, steps)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert held == [200, 200] and seconds < 1
    assert local.post(pictures[0]).status_code == 200


def test_fault_81_no_more_are_taken_than_can_be_computed_in_time():
    batcher = Batcher(64, wait_seconds=1.0)
    batcher._item_seconds = 0.4
    with batcher.places.hold(1), batcher.places.hold(1):
        batcher.places.check_room()
        with batcher.places.hold(1), pytest.raises(Failure) as refused:
            batcher.places.check_room()
        assert refused.value.status == 429
        batcher.places.check_room()
    batcher.close()


def test_fault_82_past_the_deadline_is_504_and_the_work_is_dropped(served_with, pictures):
    gate = Gate()
    local = served_with(gate, deadline=2.0)
    gate.open.set()
    local.post(pictures[0])  # the processes that decode have started
    gate.open.clear()
    gate.computed.clear()
    gate.entered.clear()

    async def steps(client):
        files = {"file": pictures[0]}
        asked = [asyncio.create_task(client.post("/predict", files=files))]
        await until(gate.entered.is_set)  # it is at work alone, so the others wait
        asked += [asyncio.create_task(client.post("/predict", files=files)) for _ in range(3)]
        return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asking(local, steps) == [504] * 4
    assert local.service.batcher.places.held == 0
    gate.open.set()
    assert local.post(pictures[0]).status_code == 200
    assert len(gate.computed) <= 2  # the one that was at work, and the last


def test_fault_83_a_client_that_left_frees_its_place(served_with, pictures):
    gate = Gate()
    local = served_with(gate, capacity=2)

    async def steps(client):
        files = {"file": pictures[0]}
        first = asyncio.ensure_future(client.post("/predict", files=files))
        await until(gate.entered.is_set)
        await leaving(local, pictures[0])
        assert local.service.batcher.places.held == 1
        second = asyncio.ensure_future(client.post("/predict", files=files))
        await until(lambda: local.service.batcher.places.held == 2)
        gate.open.set()
        return [(await first).status_code, (await second).status_code]

    assert asking(local, steps) == [200, 200]
    assert len(gate.computed) == 2


async def leaving(local, content):
    """A request whose client leaves while it waits."""
    messages = [{"type": "http.request", "body": content, "more_body": False}]
    left = asyncio.Event()

    async def receive():
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict",
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"content-type", b"image/png")],
    }  # fmt: skip
    asked = asyncio.ensure_future(local.guard(scope, receive, send))
    await until(lambda: local.service.batcher.places.held == 2)
    left.set()
    await asyncio.wait_for(asked, 5)


def test_fault_84_one_bad_item_in_a_batch_fails_alone(served_with, pictures, png):
    def predicted(run, items, readings, together):
        if any((reading.array == 7).all() for reading in readings):
            raise ValueError("the network broke")
        return run.predicted(items, readings, together=together)

    local = served_with(predicted, worthwhile=2)
    flat = png(np.full((64, 64, 3), 7, np.uint8))
    contents = [*pictures[:4], flat, *pictures[4:8]]
    answers = local.together([("POST", "/predict", {"files": {"file": c}}) for c in contents])
    assert [a.status_code for a in answers] == [200] * 4 + [500] + [200] * 4
    assert "network broke" not in answers[4].text


def test_fault_84_one_bad_file_of_a_request_fails_alone(server, pictures):
    answer = server.post(pictures[0], b"<html>", pictures[1][:100], pictures[1])
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert [entry.get("status", 200) for entry in found] == [200, 415, 422, 200]
    assert [entry["item"] for entry in found] == ["0.png", "1.png", "2.png", "3.png"]
    assert [bool(entry.get("reason")) for entry in found] == [False, True, True, False]
    tensor = {"name": "file", "datatype": "BYTES", "shape": [2], "data": ["aaaa", "aaaa"]}
    assert (
        server.ask("POST", "/v2/models/probe/infer", json={"inputs": [tensor]}).status_code == 415
    )


def test_fault_85_before_the_model_is_loaded_it_is_live_and_not_ready(
    probe_run, pictures, local_with
):
    local = local_with(Hosts({"probe": probe_run.folder.path}, CPU))
    assert local.ask("GET", "/v2/health/live").status_code == 200
    assert local.ask("GET", "/v2/health/ready").status_code == 503
    assert local.ask("GET", "/v2/models/probe/ready").status_code == 503
    refused = local.post(pictures[0])
    assert refused.status_code == 503 and refused.headers["retry-after"]


def test_fault_86_while_draining_it_is_not_ready_and_takes_nothing(served_with, pictures):
    gate = Gate()
    local = served_with(gate)

    async def steps(client):
        files = {"file": pictures[0]}
        accepted = [asyncio.ensure_future(client.post("/predict", files=files)) for _ in range(5)]
        await until(lambda: local.service.batcher.places.held == 5)
        local.guard.draining = True
        ready = await client.get("/v2/health/ready")
        live = await client.get("/v2/health/live")
        refused = await client.post("/predict", files=files)
        gate.open.set()
        answers = await asyncio.gather(*accepted)
        return [answer.status_code for answer in (ready, live, refused, *answers)]

    assert asking(local, steps) == [503, 200, 503, *[200] * 5]
    assert local.guard.in_flight == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_fault_87_an_answer_that_is_not_finite_is_500_and_never_a_nan(
    served_with, pictures, number
):
    def predicted(run, items, readings, together):
        found = run.predicted(items, readings, together=together)
        return [replace(p, probabilities=p.probabilities * number) for p in found]

    local = served_with(predicted)
    answer = local.post(pictures[0])
    assert answer.status_code == 500 and "not a finite number" in answer.json()["error"]
    assert "NaN" not in answer.text and "Infinity" not in answer.text


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "gone", "run.json"])
def test_fault_89_a_reload_of_a_broken_model_keeps_the_old_one(
    copied_run, pictures, damage, local_with
):
    hosts = Hosts({"run": copied_run}, CPU)
    hosts.load()
    before = hosts.named("run")
    path = copied_run / ("run.json" if damage == "run.json" else MODEL)
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-100])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    (error,) = hosts.reload()
    assert isinstance(error, RunError) and path.name in str(error)
    assert hosts.named("run") is before and hosts.ready
    local = local_with(hosts)
    assert local.post(pictures[0]).status_code == 200


def test_a_reload_takes_what_the_folder_holds_now(copied_run):
    hosts = Hosts({"run": copied_run}, CPU)
    hosts.load()
    before = hosts.named("run")
    assert hosts.reload() == []
    assert hosts.named("run") is not before and hosts.named("run").version == before.version


def test_a_reload_that_fails_for_any_reason_keeps_the_old_one(copied_run, monkeypatch):
    hosts = Hosts({"run": copied_run}, CPU)
    hosts.load()
    before = hosts.named("run")

    def full(*_):
        raise OSError("no memory")

    monkeypatch.setattr(hosted, "loaded", full)
    (error,) = hosts.reload()
    assert isinstance(error, RunError) and "OSError: no memory" in str(error)
    assert hosts.named("run") is before


def test_what_was_freed_goes_back_once_it_is_quiet(served_with, pictures, monkeypatch):
    given = threading.Event()

    def give():
        # Servers of other tests may become quiet too.
        if threading.current_thread() is local.service.batcher._thread:
            given.set()

    monkeypatch.setattr(batching, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(batching, "give_back_freed_memory", give)
    local = served_with()
    assert local.post(pictures[0]).status_code == 200
    assert given.wait(10)
    given.clear()
    assert not given.wait(0.3)  # once, not again and again
    assert local.post(b"no picture").status_code == 415
    assert given.wait(10)  # what was only read counts too


def test_a_run_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        loaded("x", tmp_path, CPU)


@pytest.fixture
def copied_run(probe_run, tmp_path):
    import shutil

    return shutil.copytree(probe_run.folder.path, tmp_path / "copy")
