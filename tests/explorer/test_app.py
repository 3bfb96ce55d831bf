"""The page over HTTP: what it hands out, and what it refuses."""

import io
import json
import re

import pytest
from PIL import Image

pytest.importorskip("starlette")

from starlette.testclient import TestClient
from tests.explorer.conftest import session_of

from striate.errors import ArgumentError
from striate.explorer.app import make_app, page_files
from striate.explorer.subjects.subject import Entry
from striate.web.guard import Guard
from striate.web.policy import policy_for

OWN = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
"""What a browser sends along for a page of the server's own."""


@pytest.fixture(scope="module")
def policy():
    return policy_for("127.0.0.1", None)


@pytest.fixture(scope="module")
def client(lenet, policy):
    guarded = Guard(make_app(lenet, policy.token), policy)
    return TestClient(guarded, base_url="http://127.0.0.1:8000")


def test_the_page_and_its_files(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for name in page_files():
        found = client.get(f"/page/{name}")
        assert found.status_code == 200
        assert "http://" not in found.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in found.text


def test_no_script_or_style_is_inline(client):
    page = client.get("/")
    assert "style=" not in page.text and "<style" not in page.text
    assert page.text.count("<script") == 1 and "></script>" in page.text
    assert "onclick=" not in page.text
    allowed = page.headers["content-security-policy"]
    assert "default-src 'self'" in allowed and "unsafe" not in allowed


@pytest.mark.parametrize(
    "path",
    ["/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/app.py", "/page/", "/page/main.js%00"],
)
def test_no_other_file_is_handed_out(client, path):
    assert client.get(path).status_code == 404


def test_the_numbers_are_those_of_the_session(client, lenet):
    assert client.get("/api/network").json() == lenet.network
    where = {"item": 0, "node": 3, "channel": 2, "position": "4,5"}
    assert client.get("/api/cell", params=where).json() == lenet.cell(0, 3, 2, [4, 5])
    assert client.get("/api/item?item=0").json() == lenet.item(0)
    assert client.get("/api/tour?item=0").json() == lenet.tour(0)
    assert client.get("/api/exercises?item=0&seed=3").json() == lenet.exercises(0, 3)
    assert client.get("/api/evidence?item=0").json() == lenet.evidence(0)
    where = {"item": 0, "node": 0, "position": "4,5"}
    assert client.get("/api/effective", params=where).json() == lenet.effective(0, 0, [4, 5])
    maps = client.get("/api/maps?item=0&node=0&first=0").json()
    assert maps["levels"]["shape"] == [6, 28, 28] and maps["scale"] > 0
    assert client.get("/api/map?item=0&node=-1&channel=2").json()["values"]["shape"] == [32, 32]


@pytest.mark.parametrize(
    "query",
    ["item=1&node=0", "item=0&node=99", "item=x&node=0", "item=0&node=0&channel=-1", "item=²"],
)
def test_what_is_not_there_is_refused_in_one_line(client, query):
    answer = client.get(f"/api/cell?{query}&position=1,1")
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]


def test_nothing_is_changed_and_nobody_else_is_answered(client):
    assert client.post("/api/network").status_code in (401, 403, 405)
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/api/network", headers={"origin": "http://evil.example"}).status_code == 403


def picture(draw):
    out = io.BytesIO()
    Image.fromarray(draw).save(out, "PNG")
    return out.getvalue()


def test_a_file_is_given_with_the_token_of_the_page(policy, draw):
    session = session_of("conv4-gap-fc2", (3, 16, 16))
    app = Guard(make_app(session, policy.token), policy)
    client = TestClient(app, base_url="http://127.0.0.1:8000")
    token = re.search(r'name="token" content="([^"]*)"', client.get("/").text)[1]
    shown = {**OWN, "x-striate-token": token}
    content = picture(draw("disc", 0))
    assert client.post("/api/items?name=a.png", content=content, headers=OWN).status_code == 401
    foreign = {**shown, "origin": "http://evil.example"}
    assert client.post("/api/items?name=a.png", content=content, headers=foreign).status_code == 403
    given = client.post("/api/items?name=a.png", content=content, headers=shown).json()
    assert given == {"item": 1, "name": "a.png", "label": None, "answer": None}
    assert client.get("/api/item?item=1").json()["picture"]["shape"] == [16, 16, 3]
    refused = client.post("/api/items?name=b.png", content=b"<html>no picture", headers=shown)
    assert refused.status_code == 422 and "\n" not in refused.json()["error"]
    assert client.get("/api/item?item=2").status_code == 422


def test_files_are_given_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("striate.explorer.session.MAX_ADDED", 2)
    session = session_of("conv4-gap-fc2", (3, 16, 16))
    entries = session.subject.entries
    take = lambda name, content: entries.append(Entry(name=name))  # noqa: E731
    monkeypatch.setattr(session.subject, "add", take)
    for name in ("a\nb", ""):
        session.add(name, b"")
    names = [entry.name for entry in entries]
    assert names == ["a built-in picture", "a\\nb", "a file"]
    with pytest.raises(ArgumentError, match="2 files were given"):
        session.add("c", b"")


def test_answers_are_strict_json(client):
    json.loads(client.get("/api/item?item=0").text, parse_constant=pytest.fail)
