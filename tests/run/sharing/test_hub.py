"""Runs pushed to a hub and loaded from it: both directions, the cache, and every refusal."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.cli.main import run as command
from striate.errors import MissingExtraError, OptionError, RunError, WeightsUnavailableError
from striate.run.sharing.hub import Address, address_of
from striate.run.sharing.published import HIDDEN, hide, private_texts

# The hub's client hands files to its HTTP library in a way that the library warns of.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAME = "ada/shapes"


@pytest.fixture
def pushed(hub, probe_run):
    return probe_run.push_to_hub(NAME)


def picture_of(run):
    return sorted(Path(run.record.data).rglob("*.png"))[0]


def test_a_pushed_run_predicts_as_the_first(hub, pushed, probe_run, photos):
    loaded = striate.load(f"hf://{NAME}")
    pictures = sorted(photos.rglob("*.png"))[::9]
    ours, theirs = (one.predict(pictures) for one in (probe_run, loaded))
    for a, b in zip(ours, theirs, strict=True):
        assert a.label == b.label
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
    assert loaded.metrics == probe_run.metrics
    assert set(hub.repos[NAME].files()) == {
        "README.md",
        "SHA256SUMS",
        "history.csv",
        "model.safetensors",
        "report.html",
        "report.json",
        "run.json",
    }
    assert pushed.address == f"hf://{NAME}@{hub.repos[NAME].names['main']}"
    assert pushed.url == f"{hub.url}/{NAME}"


def test_nothing_of_the_items_or_the_machine_is_pushed(hub, pushed, probe_run, photos):
    lock = json.loads((probe_run.folder.path / "data.lock.json").read_text())
    ids = [item["id"] for item in lock["items"]]
    assert "disc/01.png" in ids
    private = [*ids, str(photos), str(probe_run.folder.path), str(Path.home()), str(Path.cwd())]
    for name, content in hub.repos[NAME].files().items():
        if name == "model.safetensors":
            continue
        text = content.decode()
        found = [one for one in private if one in text or json.dumps(one)[1:-1] in text]
        assert not found, name
        assert "data:image" not in text or name == "report.html"
    record = json.loads(hub.repos[NAME].files()["run.json"])
    assert record["data"] == "photos" and record["command"] == []
    own = (probe_run.folder.path / "report.html").read_text()
    assert any(name in own for name in ids)  # the test could fail


def test_texts_are_hidden_in_any_place(probe_run, photos):
    private = private_texts(probe_run)
    text = {"a": [f"cannot read {photos}/disc/01.png", "disc/02.png"], "b": 3, "disc/03.png": None}
    shown = hide(text, private)
    assert "disc/0" not in json.dumps(shown) and str(photos) not in json.dumps(shown)
    assert shown["a"][1] == HIDDEN and shown["b"] == 3


def test_the_card_is_the_page_of_the_run(hub, pushed, probe_run):
    text = hub.repos[NAME].files()["README.md"].decode()
    assert f"striate.load('hf://{NAME}')" in text
    for name in probe_run.classes:
        assert f"| {name} | 20 |" in text  # how many items each class has is told


def test_a_revision_stays_what_it_was(hub, pushed, probe_run, kernel_run):
    kernel_run.push_to_hub(NAME)
    assert striate.load(f"hf://{NAME}").record.method == "kernel"
    assert striate.load(pushed.address).record.method == "probe"
    hub.repos[NAME].names["v1"] = pushed.address.partition("@")[2]
    assert striate.load(f"hf://{NAME}@v1").record.method == "probe"
    with pytest.raises(RunError, match="has no revision 'v9'"):
        striate.load(f"hf://{NAME}@v9")


def test_a_commit_in_the_cache_asks_nobody(hub, pushed):
    striate.load(pushed.address)
    before = len(hub.requests)
    assert striate.load(pushed.address).record.method == "probe"
    assert len(hub.requests) == before


def test_without_a_network_the_cache_answers(hub, pushed):
    striate.load(f"hf://{NAME}")
    hub.stop()
    assert striate.load(f"hf://{NAME}").record.method == "probe"
    with pytest.raises(
        WeightsUnavailableError, match=r"does not answer .* not in its cache"
    ) as got:
        striate.load("hf://ada/other")
    assert "\n" not in str(got.value)


def test_a_hub_that_fails_is_like_none(hub, pushed):
    striate.load(f"hf://{NAME}")
    hub.failing = 503
    assert striate.load(f"hf://{NAME}").record.method == "probe"
    with pytest.raises(WeightsUnavailableError, match="the hub answered 503"):
        striate.load("hf://ada/other")


def test_a_missing_or_private_repository_is_one_line(hub, probe_run, monkeypatch):
    with pytest.raises(RunError, match="no such repository, or it is private"):
        striate.load("hf://ada/none")
    probe_run.push_to_hub("ada/secret", private=True)
    assert hub.repos["ada/secret"].private
    assert striate.load("hf://ada/secret").record.method == "probe"
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    with pytest.raises(RunError, match=r"it is private .* `hf auth login`") as got:
        striate.load("hf://ada/secret")
    assert "\n" not in str(got.value)
    with pytest.raises(RunError, match="there is no valid login"):
        probe_run.push_to_hub("ada/more")


def test_a_public_repository_is_not_taken_for_a_private_one(hub, pushed, probe_run):
    before = dict(hub.repos[NAME].commits)
    with pytest.raises(RunError, match="is public already, and nothing was pushed"):
        probe_run.push_to_hub(NAME, private=True)
    assert hub.repos[NAME].commits == before


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", "report.html", "SHA256SUMS"])
def test_a_flipped_bit_is_refused(hub, pushed, name):
    files = hub.repos[NAME].files()
    damaged = bytearray(files[name])
    damaged[len(damaged) // 2] ^= 1
    files[name] = bytes(damaged)
    with pytest.raises(RunError, match="not what") as got:
        striate.load(f"hf://{NAME}")
    assert name in str(got.value) and "\n" not in str(got.value)


def test_a_file_flipped_in_the_cache_is_refused(hub, pushed):
    path = striate.load(f"hf://{NAME}").folder.path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().chmod(0o644)
    path.resolve().write_bytes(content)
    with pytest.raises(RunError, match=r"not what was pushed; delete .*models--ada--shapes"):
        striate.load(f"hf://{NAME}")


def test_pickles_are_refused(hub, pushed):
    from striate.files import sha256
    from striate.run.checksums import checksum_lines, read_checksums

    files = hub.repos[NAME].files()
    sums = read_checksums(files["SHA256SUMS"])
    assert sums is not None
    content = b"\x80\x04N."
    sums["model.safetensors"] = sha256(content)
    hub.repos[NAME].commit({"model.safetensors": content, "SHA256SUMS": checksum_lines(sums)}, [])
    with pytest.raises(RunError, match="it is no safetensors file"):
        striate.load(f"hf://{NAME}")
    hub.repos[NAME].commit({"pytorch_model.bin": content}, [])
    with pytest.raises(RunError, match=r"pytorch_model.bin, which may be a pickle"):
        striate.load(f"hf://{NAME}")
    asked = [path for _, path in hub.requests if path.endswith(".bin")]
    assert not asked


def test_other_repositories_are_no_runs(hub, pushed):
    hub.repos[NAME].commit({}, ["run.json"])
    with pytest.raises(RunError, match=r"no run of Striate .* run.json is missing"):
        striate.load(f"hf://{NAME}")


def test_what_tells_of_known_items_goes_only_if_asked_for(hub, probe_run):
    probe_run.push_to_hub(NAME, novelty=True)
    loaded = striate.load(f"hf://{NAME}")
    (told,) = loaded.predict(picture_of(probe_run))
    (known,) = probe_run.predict(picture_of(probe_run))
    assert told.novelty == known.novelty is not None
    probe_run.push_to_hub(NAME)
    assert "novelty.safetensors" not in hub.repos[NAME].files()
    assert striate.load(f"hf://{NAME}").predict(picture_of(probe_run))[0].novelty is None


def test_the_commands_take_an_address(hub, pushed, probe_run, capsys):
    assert command(["eval", f"hf://{NAME}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    picture = str(picture_of(probe_run))
    assert command(["predict", f"hf://{NAME}", picture, "--json"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert command(["predict", str(probe_run.folder.path), picture, "--json"]) == 0
    here = json.loads(capsys.readouterr().out)
    assert there["predictions"][0]["label"] == here["predictions"][0]["label"]
    assert command(["predict", "hf://ada", picture]) == 2
    assert "is no address; write hf://user/name" in capsys.readouterr().err


def test_the_command_pushes(hub, probe_run, capsys):
    arguments = ["push", str(probe_run.folder.path), "ada/new", "--private", "--json"]
    assert command(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["address"].startswith("hf://ada/new@") and hub.repos["ada/new"].private
    assert set(told["files"]) == set(hub.repos["ada/new"].files())


def test_a_damaged_run_is_not_pushed(hub, probe_run, tmp_path):
    copy = Path(shutil.copytree(probe_run.folder.path, tmp_path / "copy"))
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="not what the run wrote"):
        striate.load(copy).push_to_hub(NAME)
    assert NAME not in hub.repos


def test_addresses():
    assert address_of("hf:/ada/cells@v2") == Address(repo="ada/cells", revision="v2")
    for wrong in ("hf://ada", "hf://ada/b/c", "hf://ada/../x", "hf://ada/b@"):
        with pytest.raises(RunError, match="is no address"):
            address_of(wrong)


def test_a_wrong_name_and_a_missing_client(hub, probe_run, monkeypatch):
    with pytest.raises(OptionError, match="write it as user/name"):
        probe_run.push_to_hub("shapes")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"striate\[hub\]"):
        striate.load(f"hf://{NAME}")
