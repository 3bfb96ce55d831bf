"""Parameters and shapes of every network, against files that a person can review.

After a wanted change write them again with `python tests/models/test_golden.py`: the golden file,
and the table that `striate models` shows.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.cli.lists import NETWORKS
from striate.models import MODELS, GridNetwork, describe
from striate.models.catalog import Variant
from striate.models.create import configure

GOLDEN = Path(__file__).with_name("golden.json")
VOLUME_SIZE = 64


def measure(name: str, rank: int) -> dict[str, Any]:
    """Facts of a network, from the meta device: nothing is computed."""
    variant = MODELS.get(name)
    options = {"rank": rank} if rank else {}
    with torch.device("meta"):
        network = variant.build(configure(name, variant.config, options)).eval()
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in network.parameters())}
    if not isinstance(network, GridNetwork):
        return {**facts, "blocks": len(network.stages), "features": network.num_features}
    config = network.config
    size = config.input_size if rank < 3 else max(VOLUME_SIZE, network.min_size)
    images = torch.empty(1, config.in_channels, *[size] * rank, device="meta")
    features, maps = network.forward_intermediates(images)
    assert network.forward_head(features).shape == (1, config.num_classes)
    assert network.pool(features).flatten(1).shape == (1, network.num_features)
    # Of a transformer, which gives the map of every block, its only stage's.
    maps = maps[-1:] if network.every_block else maps
    return {
        **facts,
        "blocks": len(network.blocks()),
        "input": size,
        "stages": [f"{m.shape[1]}x{m.shape[2]}" for m in maps],
        "features": "x".join(map(str, features.shape[1:3])),
    }


def ranks_of(name: str) -> tuple[int, ...]:
    """The ranks of a network; 0 stands for a graph's."""
    return MODELS.get(name).ranks or (0,)


CASES = [
    pytest.param(name, rank, marks=pytest.mark.slow if rank in (1, 3) else ())
    for name in MODELS.names()
    for rank in ranks_of(name)
]


@pytest.mark.parametrize(("name", "rank"), CASES)
def test_parameters_and_shapes_are_as_reviewed(name: str, rank: int) -> None:
    assert measure(name, rank) == json.loads(GOLDEN.read_text())[name][str(rank)]


def test_every_reviewed_network_is_still_there() -> None:
    reviewed = json.loads(GOLDEN.read_text())
    assert {name: [*map(int, ranks)] for name, ranks in reviewed.items()} == {
        name: list(ranks_of(name)) for name in MODELS.names()
    }


def test_the_table_of_networks_is_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variant, "num_parameters", 0)  # counted above, which takes seconds
    golden, rows = json.loads(GOLDEN.read_text()), json.loads(NETWORKS.read_text())
    for row in rows:
        rank = 2 if 2 in row["ranks"] else max(row["ranks"], default=0)
        assert row.pop("parameters") == golden[row["name"]][str(rank)]["parameters"]
    described = [asdict(row) for row in describe()]
    for row in described:
        del row["parameters"]
    assert rows == json.loads(json.dumps(described))


def write() -> None:
    """Write the files again: one line a network and rank, and one a network."""
    lines = []
    for name in sorted(MODELS.names()):
        ranks = [f'    "{rank}": {json.dumps(measure(name, rank))}' for rank in ranks_of(name)]
        lines.append(f'  "{name}": {{\n' + ",\n".join(ranks) + "\n  }")
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    rows = ",\n".join(json.dumps(asdict(row)) for row in describe())
    NETWORKS.write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    write()
