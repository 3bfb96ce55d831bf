"""Parameters and shapes of every network, against a file that a person can review.

After a wanted change write it again with `python tests/models/test_golden.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.models import MODELS

GOLDEN = Path(__file__).with_name("golden.json")
VOLUME_SIZE = 64


def measure(name: str, rank: int) -> dict[str, Any]:
    """Facts of a network, from the meta device: nothing is computed."""
    variant = MODELS.get(name)
    config = type(variant.config)(**{**vars(variant.config), "rank": rank})
    with torch.device("meta"):
        network = variant.build(config).eval()
        size = config.input_size if rank < 3 else max(VOLUME_SIZE, network.least_size)
        images = torch.empty(1, 3, *[size] * rank)
    maps = network.multi_scale(images)
    features = images
    for _, block in network.blocks():
        features = block(features)
    assert network.forward_head(features).shape == (1, 1000)
    assert network.pool(features).shape == (1, network.num_features)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "blocks": len(network.blocks()),
        "input": size,
        "stages": [f"{m.shape[1]}x{m.shape[2]}" for m in maps],
        "features": f"{features.shape[1]}x{features.shape[2]}",
    }


RANKS = [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", MODELS.names())
def test_parameters_and_shapes_are_as_reviewed(name: str, rank: int) -> None:
    assert measure(name, rank) == json.loads(GOLDEN.read_text())[name][str(rank)]


def test_every_reviewed_network_is_still_there() -> None:
    assert sorted(json.loads(GOLDEN.read_text())) == sorted(MODELS.names())


def write() -> None:
    """Write the file again: one line a network and rank."""
    lines = []
    for name in sorted(MODELS.names()):
        ranks = [f'    "{rank}": {json.dumps(measure(name, rank))}' for rank in (1, 2, 3)]
        lines.append(f'  "{name}": {{\n' + ",\n".join(ranks) + "\n  }")
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
