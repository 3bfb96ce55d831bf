from __future__ import annotations

import copy

import pytest
import torch

from striate.errors import ArgumentError
from striate.transfer.frozen import Tail
from striate.transfer.groups import freeze_prefix, layer_groups, relative_groups


def test_rates_fall_from_the_head_to_the_stem(network) -> None:
    groups = layer_groups(network, depth_decay=0.5, head_scale=3.0, weight_decay=0.1)
    assert {group.name: group.rate_scale for group in groups} == {
        "stem": 0.25,
        "stem, no decay": 0.25,
        "stages.0": 0.5,
        "stages.0, no decay": 0.5,
        "stages.1": 1.0,
        "stages.1, no decay": 1.0,
        "head": 3.0,
        "head, no decay": 3.0,
    }
    for group in groups:
        decays = not group.name.endswith("no decay")
        assert group.weight_decay == (0.1 if decays else 0.0)
        assert all((p.ndim > 1) == decays for p in group.parameters)
    grouped = [id(p) for group in groups for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


def test_frozen_blocks_have_no_groups_and_never_change(network, pixels) -> None:
    freeze_prefix(network, 2)
    groups = layer_groups(network)
    assert {group.name.removesuffix(", no decay") for group in groups} == {"stages.1", "head"}
    before = copy.deepcopy(network.state_dict())
    for _ in range(2):  # a network that is put into training mode again and again
        network.train()
        network(network.preprocessing.normalize(pixels)).sum().backward()
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        f"stages.1.norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert all(p.grad is None for p in network.stem.parameters())
    assert all(p.grad is not None for p in network.stages[1].parameters())


def test_a_copy_stays_frozen(network, pixels) -> None:
    freeze_prefix(network, 1)
    other = copy.deepcopy(network).train()
    other(network.preprocessing.normalize(pixels))
    assert torch.equal(other.stem.norm.running_mean, network.stem.norm.running_mean)
    assert not other.stem.training


@pytest.mark.parametrize("cut", [-1, 4])
def test_a_cut_out_of_range(network, cut: int) -> None:
    with pytest.raises(ArgumentError, match=f"cut={cut}: the network has 3 blocks"):
        freeze_prefix(network, cut)


def test_relative_rates_follow_the_size_of_the_pretrained_values(network) -> None:
    tail = Tail(network, 1)
    with torch.no_grad():
        for parameter in tail.parameters():
            parameter.fill_(2.0 if parameter.ndim > 1 else 0.0)
    groups = relative_groups(tail, tail.head, head_rate=3.0)
    rates = {id(p): g.rate_scale for g in groups for p in g.parameters}
    assert set(rates) == {id(p) for p in tail.parameters()}
    for parameter in tail.blocks.parameters():
        assert rates[id(parameter)] == pytest.approx(2.0 if parameter.ndim > 1 else 0.01)
    assert {rates[id(p)] for p in tail.head.parameters()} == {3.0}
