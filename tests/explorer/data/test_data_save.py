"""The saved site: two pages that ask for nothing, with the numbers of the session inside."""

import base64
import gzip
import hashlib
import json
import re

import pytest

from striate.errors import OptionError
from striate.explorer.data import save
from striate.explorer.save import save_pages
from striate.explorer.session import Session
from striate.explorer.subjects.run_subject import RunSubject


@pytest.fixture(scope="module")
def site(data, small_pages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "site"
    session = Session(RunSubject(data.run.folder.path), has_data=True)
    assert save_pages(session, folder, data) == folder / "index.html"
    return folder


def inside(path):
    packed = re.search(r'id="saved">([^<]*)<', path.read_text())[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))["answers"]


def test_every_answer_is_that_of_the_session(site, data):
    answers = inside(site / "data.html")
    assert answers["api/data/items?part=all"] == data.table(whole=True)
    assert answers["api/data/map?kind=pca"] == data.plane("pca")
    assert answers["api/data/compared?"] == json.loads(json.dumps(data.compared))
    assert answers["api/data/state?turn=0"]["state"] == "ready"
    for number in range(len(data.items)):
        for name in ("item", "nearest", "thumbnail"):
            assert answers[f"api/data/{name}?item={number}"] == getattr(data, name)(number)
    network = inside(site / "index.html")
    for near in network["api/saw?item=0"]["nearest"]:
        picture = network[f"api/data/thumbnail?item={near['item']}"]
        assert picture == data.thumbnail(near["item"])


def test_nothing_else_can_run_or_be_loaded(site):
    for name in ("index.html", "data.html"):
        page = (site / name).read_text()
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
        script = re.search(r"<script>(.*)</script>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
        loaded = re.findall(r'(?:src|href)="((?!data:|#)[^"]*)"', page.split("<script")[0])
        assert set(loaded) <= {"index.html", "data.html"}
        assert 'type="module"' not in page


def test_of_too_many_pictures_mistakes_and_test_items_come_first(data, monkeypatch):
    monkeypatch.setattr(save, "PICTURE_BYTES", 1)
    monkeypatch.setattr(save, "MAX_ITEMS", 4)
    answers = save.data_document(data)["answers"]
    pictures = [key for key in answers if "/thumbnail?" in key]
    details = [int(key.split("=")[1]) for key in answers if "/nearest?" in key]
    assert len(pictures) == 1 and len(details) == 4
    assert {data.items[number].split for number in details} == {"test"}


def test_a_page_of_somebody_elses_is_left_alone(data, tmp_path):
    (tmp_path / "data.html").write_text("mine")
    with pytest.raises(OptionError, match=r"data\.html that striate did not write"):
        save_pages(None, tmp_path, data)
    assert (tmp_path / "data.html").read_text() == "mine"
