"""The data page over HTTP: what it hands out, and what it refuses."""

import json
import re

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient
from tests.explorer.test_app import OWN

from striate.explorer.app import make_app
from striate.explorer.data.session import DataSession
from striate.explorer.session import Session
from striate.explorer.subjects.run_subject import RunSubject
from striate.web.guard import Guard
from striate.web.policy import policy_for

BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def patch(tmp_path_factory):
    return tmp_path_factory.mktemp("patches") / "patch.csv"


@pytest.fixture(scope="module")
def client(data, patch):
    """The pages of a run, with its features computed and corrections saved."""
    session = DataSession(data.run, patch_out=patch)
    session.job.wait(60)
    policy = policy_for("127.0.0.1", None)
    network = Session(RunSubject(data.run.folder.path), has_data=True)
    app = Guard(make_app(network, policy.token, session), policy)
    return TestClient(app, base_url=BASE)


@pytest.fixture(scope="module")
def token(client):
    return re.search(r'name="token" content="([^"]*)"', client.get("/data.html").text)[1]


def test_both_pages_and_nothing_inline(client):
    for path in ("/", "/index.html", "/data.html"):
        page = client.get(path)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert "style=" not in page.text and "<style" not in page.text
        assert page.text.count("<script") == 1 and "></script>" in page.text
        assert "unsafe" not in page.headers["content-security-policy"]
    assert client.get("/").text == client.get("/index.html").text != client.get("/data.html").text
    assert client.get("/api/network").json()["data"] is True


def test_the_numbers_are_those_of_the_session(client, data):
    assert client.get("/api/data/state?turn=0").json()["state"] == "ready"
    assert (
        client.get("/api/data/items?part=table").json()["names"] == data.table(whole=False)["names"]
    )
    assert client.get("/api/data/map?kind=pca").json() == data.plane("pca")
    for name in ("item", "nearest", "thumbnail"):
        answer = client.get(f"/api/data/{name}?item=3").json()
        assert answer == getattr(data, name)(3)
    assert client.get("/api/data/about").json()["classes"] == list(data.run.classes)
    json.loads(client.get("/api/data/items?part=all").text, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "query",
    ["item?item=9999", "item?item=-1", "nearest?item=x", "thumbnail?item=²", "item", "map?kind=tsne",
     "compared", "thumbnail?item=../../run.json"],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_one_line(client, query):
    answer = client.get(f"/api/data/{query}")
    assert answer.status_code == 422 and "\n" not in answer.json()["error"]


def test_a_label_is_corrected_with_the_token_of_the_page(client, data, token, patch):
    label = next(name for name in data.run.classes if name != data.items[0].label)
    body = json.dumps({"item": 0, "label": label})
    shown = {**OWN, "x-striate-token": token}
    assert client.post("/api/data/correct", content=body, headers=OWN).status_code == 401
    foreign = {**shown, "origin": "http://evil.example"}
    assert client.post("/api/data/correct", content=body, headers=foreign).status_code == 403
    assert client.get("/api/data/correct").status_code == 405
    assert not patch.exists()
    answer = client.post("/api/data/correct", content=body, headers=shown).json()
    assert answer["corrections"] == [{"item": 0, "label": label, "reason": "by hand"}]
    assert answer == client.get("/api/data/patch").json()
    assert f"{data.items[0].id},{label},{data.items[0].label},by hand\n" in patch.read_text()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "1", "{}", '{"item": "0", "label": ""}', '{"item": true, "label": ""}',
     '{"item": 0, "label": 3}', '{"item": 0, "label": "/etc/passwd"}', "[" * 100_000, "\xff"],
)  # fmt: skip
def test_a_body_that_is_no_correction_is_refused_in_one_line(client, token, body):
    headers = {**OWN, "x-striate-token": token}
    answer = client.post("/api/data/correct", content=body.encode("latin-1"), headers=headers)
    assert answer.status_code == 422 and "\n" not in answer.json()["error"]


@pytest.mark.parametrize("path", ["about", "items", "thumbnail?item=0", "patch"])
def test_nobody_else_is_answered(client, path):
    address = f"/api/data/{path}"
    assert client.get(address, headers={"host": "evil.example"}).status_code == 421
    assert client.get(address, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get(address, headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_what_it_saw_is_what_predict_says(client, data, photos):
    entries = client.get("/api/network").json()["items"]
    found = client.get("/api/saw?item=1").json()
    (prediction,) = data.run.predict(photos / entries[1]["name"])
    assert found["answer"] == prediction.answer()
    assert found["set"] == list(prediction.prediction_set)
    assert found["unknown"] is prediction.unknown
    assert found["novelty"] == pytest.approx(prediction.novelty, abs=1e-6)
    told = [(each["class"], each["probability"]) for each in found["probabilities"]]
    assert told == [(name, pytest.approx(p)) for name, p in prediction.top(8)]
    number = next(n for n, item in enumerate(data.items) if item.id == entries[1]["name"])
    names = [each["name"] for each in data.nearest(number)["nearest"]]
    assert [each["name"] for each in found["nearest"]] == names
    assert client.get("/api/saw?item=9999").status_code == 422
