"""The saved page: one file that asks for nothing, with the numbers of the session inside."""

import base64
import gzip
import hashlib
import json
import re
from urllib.parse import parse_qsl

import pytest
from tests.explorer.conftest import session_of

from striate.errors import OptionError
from striate.explorer.app import page_files
from striate.explorer.bundle import joined
from striate.explorer.save import SEEDS, _Saving, save_pages


@pytest.fixture(scope="module")
def small():
    return session_of("conv4-bn-relu-maxpool-conv4k3-gap-fc3", (3, 12, 10))


@pytest.fixture(scope="module")
def page(small, tmp_path_factory):
    return save_pages(small, tmp_path_factory.mktemp("saved") / "site").read_text()


@pytest.fixture(scope="module")
def saved(page):
    packed = re.search(r'id="saved">([^<]*)<', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def restored(value, arrays):
    if isinstance(value, list):
        return [restored(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    return {key: restored(each, arrays) for key, each in value.items()}


def test_every_answer_is_that_of_the_session(small, saved):
    names = set()
    for address, answer in saved["answers"].items():
        name, _, query = address.removeprefix("api/").partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        texts = ("position", "method")
        numbers = {key: int(value) for key, value in given.items() if key not in texts}
        found = restored(answer, saved["arrays"])
        names.add(name)
        if name == "network":
            assert found == small.network
        elif name == "cell":
            position = [int(part) for part in given["position"].split(",") if part]
            assert found == small.cell(**numbers, position=position)
        elif name in ("maps", "map"):
            assert found == getattr(small, name)(**numbers, depth=numbers.get("depth"))
        else:
            method = [given["method"]] if "method" in given else []
            assert found == getattr(small, name)(*numbers.values(), *method)
    assert names == {
        "network",
        "item",
        "maps",
        "map",
        "vector",
        "cell",
        "tour",
        "exercises",
        "evidence",
        "verdict",
    }


def test_of_a_small_network_every_cell_is_there(small, saved):
    for number, node in enumerate(small.network["nodes"]):
        count = node["channels"]
        for size in node["space"]:
            count *= size
        assert len(set(saved["cells"][str(number)])) == count


def test_what_the_tour_leads_to_is_saved():
    session = session_of("conv2s2-relu-gap-fc3", (1, 20, 20, 20))
    found = _Saving(session).document()
    assert found["seeds"] == SEEDS
    looks = [step["look"] for step in session.tour(0)]
    looks += [each["look"] for seed in range(SEEDS) for each in session.exercises(0, seed)]
    for look in looks:
        if look and look["view"] == "network" and look["position"] is not None:
            key = f"{look['channel']}:{','.join(map(str, look['position']))}"
            assert key in found["cells"][look["node"]]


def test_nothing_else_can_run_or_be_loaded(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    script = re.search(r"<script>(.*)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.search(r'(src|href)="(?!data:|#|data\.html")', page)
    assert 'type="module"' not in page


def test_the_modules_are_joined_without_their_imports():
    joint = set()
    for entry in ("main.js", "data_main.js"):
        script = joined(page_files(), entry)
        assert not re.search(r"^(import|export) ", script, re.M)
        names = re.findall(r'^modules\["([\w./]+)"\] = ', script, re.M)
        assert len(names) == len(set(names)) and names[-1] == entry
        joint |= set(names)
    assert joint == {name for name in page_files() if name.endswith(".js")}


def test_a_page_of_the_users_is_not_replaced(small, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(OptionError, match="did not write"):
        save_pages(small, tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_saved_page_can_be_saved_again(small, tmp_path):
    first = save_pages(small, tmp_path / "site").read_bytes()
    assert save_pages(small, tmp_path / "site").read_bytes() == first
