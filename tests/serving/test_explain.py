"""Explanations on request: with their verdict, within a time, in nobody's way."""

import asyncio
import base64
import io
import threading
import time

import httpx
import pytest
from PIL import Image

from striate.run.explain import PictureMaker
from striate.serving.explaining import CAPACITY


def explanation(answer):
    (entry,) = answer.json()["predictions"]
    return entry.pop("explanation"), entry


def test_an_explanation_comes_with_the_verdict_that_the_item_has_without_it(server, pictures):
    plain = server.post(pictures[0]).json()["predictions"]
    answer = server.post(pictures[0], path="/predict?explain=1")
    assert answer.status_code == 200
    found, entry = explanation(answer)
    assert [entry] == plain
    assert found["target"] == entry["label"] and found["method"]
    assert (found["media_type"], type(found["found"])) == ("image/png", bool)
    picture = Image.open(io.BytesIO(base64.b64decode(found["base64"])))
    assert picture.format == "PNG" and picture.size == (64, 64)
    assert "explanation" not in server.post(pictures[0], path="/predict?explain=0").text


def test_the_inference_protocol_gives_it_where_its_parameters_ask(server, pictures):
    text = [base64.b64encode(picture).decode() for picture in pictures[:2]]
    tensor = {"name": "file", "datatype": "BYTES", "shape": [2], "data": text}
    path = "/v2/models/probe/infer"
    asked = {"inputs": [tensor], "parameters": {"explain": True}}
    outputs = {t["name"]: t for t in server.ask("POST", path, json=asked).json()["outputs"]}
    found = outputs["explanation"]
    assert (found["datatype"], found["shape"]) == ("BYTES", [2])
    assert found["parameters"]["target"] == outputs["label"]["data"]
    assert base64.b64decode(found["data"][1]).startswith(b"\x89PNG")
    plain = server.ask("POST", path, json={"inputs": [tensor]}).json()["outputs"]
    assert "explanation" not in [t["name"] for t in plain]
    for wrong in ({"explain": 1}, {"explain": "yes"}, []):
        answer = server.ask("POST", path, json={**asked, "parameters": wrong})
        assert answer.status_code == 400 and "explain" in answer.json()["error"]


def test_another_value_is_400(server, pictures):
    assert server.post(pictures[0], path="/predict?explain=yes").status_code == 400


def test_one_that_takes_too_long_is_given_up_and_the_verdict_is_not(served_with, pictures):
    local = served_with(explain=1e-6)
    found, entry = explanation(local.post(pictures[0], path="/predict?explain=1"))
    assert found == {"target": entry["label"], "reason": "not ready within 1e-06 s"}
    assert entry["probabilities"]
    assert local.service.explainer.places.held == 0


class Stopped:
    """Drawing that goes on once it may."""

    def __init__(self, monkeypatch):
        self.entered, self.open = threading.Event(), threading.Event()
        draw = PictureMaker.__call__

        def waiting(maker, *arguments):
            self.entered.set()
            self.open.wait(20)
            return draw(maker, *arguments)

        monkeypatch.setattr(PictureMaker, "__call__", waiting)


def asking(local, steps):
    """Run a coroutine that is given a client of a server."""

    async def inside():
        transport = httpx.ASGITransport(local.guard, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await steps(client)

    return asyncio.run(inside())


async def entered(stopped):
    for _ in range(500):
        if stopped.entered.is_set():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was drawn")


def test_others_are_predicted_while_one_is_drawn_and_a_full_queue_is_429(
    served_with, pictures, monkeypatch
):
    local, stopped = served_with(), Stopped(monkeypatch)

    async def steps(client):
        file = {"file": pictures[0]}
        explain = {"explain": "1"}
        drawn = [
            asyncio.ensure_future(client.post("/predict", files=file, params=explain))
            for _ in range(CAPACITY)
        ]
        await entered(stopped)
        plain = [(await client.post("/predict", files=file)).status_code for _ in range(3)]
        for _ in range(500):
            if local.service.explainer.places.held == CAPACITY:
                break
            await asyncio.sleep(0.02)
        full = await client.post("/predict", files=file, params=explain)
        stopped.open.set()
        return plain, full, [answer.json() for answer in await asyncio.gather(*drawn)]

    plain, full, drawn = asking(local, steps)
    assert plain == [200] * 3
    assert full.status_code == 429 and int(full.headers["retry-after"]) >= 1
    assert all("base64" in answer["predictions"][0]["explanation"] for answer in drawn)
    assert local.service.explainer.places.held == 0


def test_one_that_is_not_ready_by_the_deadline_is_told(served_with, hosts, pictures, monkeypatch):
    local, stopped, hosted = served_with(), Stopped(monkeypatch), hosts.named(None)
    source = hosted.run.open([pictures[0]])
    ((item, reading),) = hosted.run.read(source, source.listing.items)
    (prediction,) = hosted.run.predicted([item], [reading])
    deadline = time.monotonic() + 0.7
    found = asyncio.run(local.service.explainer.explain(hosted, reading, prediction, deadline))
    stopped.open.set()
    assert found.target == prediction.label and not found.content
    assert found.reason == "not ready before the request's deadline"


@pytest.mark.parametrize("number", [1, CAPACITY + 1])
def test_no_more_items_than_there_are_places(server, pictures, number):
    answer = server.post(*pictures[:number], path="/predict?explain=1")
    assert answer.status_code == (413 if number > CAPACITY else 200)
