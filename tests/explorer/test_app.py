"""The page over HTTP: what it hands out, and what it refuses."""

import json

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from striate.explorer.app import make_app, page_files
from striate.web.guard import Guard
from striate.web.policy import policy_for


@pytest.fixture(scope="module")
def client(lenet):
    guarded = Guard(make_app(lenet), policy_for("127.0.0.1", None))
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
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy


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


def test_answers_are_strict_json(client):
    json.loads(client.get("/api/item?item=0").text, parse_constant=pytest.fail)
