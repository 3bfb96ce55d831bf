"""A small network that has learnt to tell two shapes, at known places, in any rank."""

import pytest
import torch
from torch import nn

from striate.explain import explain
from striate.nn.ranks import layers

SIDES = {1: 96, 2: 32, 3: 12}
PATCH = {1: 24, 2: 10, 3: 6}


class TwoShapes(nn.Module):
    """Three convolutions, global average pooling, one linear layer."""

    def __init__(self, rank):
        super().__init__()
        kinds = layers(rank)
        self.body = nn.Sequential(
            kinds.conv(1, 12, 3, padding=1), nn.ReLU(), kinds.max_pool(2),
            kinds.conv(12, 24, 3, padding=1), nn.ReLU(), kinds.max_pool(2),
            kinds.conv(24, 24, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.linear = nn.Linear(24, 2)

    def forward_features(self, x):
        return self.body(x)

    def forward_head(self, features):
        return self.linear(features.flatten(2).mean(-1))


def shapes(rank, count, seed):
    """Noise with a patch: of one value (class 0), or of two in turn (class 1); and its place."""
    draw = torch.Generator().manual_seed(seed)
    side, patch = SIDES[rank], PATCH[rank]
    items = 0.3 * torch.randn(count, 1, *[side] * rank, generator=draw)
    inside = torch.zeros(count, *[side] * rank, dtype=torch.bool)
    labels = torch.arange(count) % 2
    turns = sum(torch.meshgrid(*[torch.arange(patch)] * rank, indexing="ij")) % 2
    for number in range(count):
        corner = torch.randint(side - patch + 1, (rank,), generator=draw).tolist()
        place = tuple(slice(c, c + patch) for c in corner)
        items[number, 0][place] += 2 * turns - 1.0 if labels[number] else 1.0
        inside[number][place] = True
    return items, labels, inside


@pytest.fixture(scope="session")
def trained():
    """A function: the network of a rank, trained, and 12 items it has not seen."""
    kept = {}

    def make(rank):
        if rank not in kept:
            torch.manual_seed(rank)
            network = TwoShapes(rank)
            items, labels, _ = shapes(rank, 128, seed=0)
            optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
            for step in range(60):
                some = torch.arange(32) + 32 * (step % 4)
                logits = network.forward_head(network.forward_features(items[some]))
                optimizer.zero_grad()
                nn.functional.cross_entropy(logits, labels[some]).backward()
                optimizer.step()
            kept[rank] = network.eval().requires_grad_(False), *shapes(rank, 12, seed=1)
        return kept[rank]

    return make


@pytest.fixture(scope="session")
def heat_of(trained):
    """A function: the heat of those items for their labels, by method and rank."""
    kept = {}

    def make(method, rank):
        if (method, rank) not in kept:
            network, inputs, labels, _ = trained(rank)
            kept[method, rank] = explain(network, inputs, labels, method).heat
        return kept[method, rank]

    return make
