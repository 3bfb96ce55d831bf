"""Stored maps and the tail against the whole network."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from striate.data.batches import Batches
from striate.errors import StorageError
from striate.transfer import frozen
from striate.transfer.frozen import FrozenPrefix, MapStore, Tail, relative_groups


def store_of(prefix: FrozenPrefix, pixels: torch.Tensor, folder: Path, **changed) -> MapStore:
    copies = torch.stack([pixels, pixels.flip(-1)], dim=1)
    arguments = {
        "pixel_shape": pixels.shape[1:],
        "num_items": len(pixels),
        "num_copies": 2,
        "data_key": "cells",
        "folder": folder,
        "budget_bytes": 1 << 30,
    }
    return prefix.store([copies[:10], copies[10:]], **{**arguments, **changed})


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tail_after_prefix_is_the_network(
    network, pixels, tmp_path, monkeypatch, cut, dtype
) -> None:
    monkeypatch.setattr(frozen, "MAP_DTYPE", dtype)
    monkeypatch.setattr(frozen, "fast_dtype", lambda device: dtype)
    prefix = FrozenPrefix(network, cut)
    store = store_of(prefix, pixels, tmp_path)
    tail = Tail(network, cut).eval()
    inputs = network.preprocessing.normalize(pixels)
    for number, seen in enumerate([inputs, inputs.flip(-1)]):
        with torch.no_grad():
            expected = network(seen)
            maps = store.read(torch.arange(len(pixels)), number)
            got = tail(maps.float())
        tolerance = 1e-5 if dtype == torch.float32 else 0.03
        assert (got - expected).abs().max() <= tolerance * expected.abs().max()
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_the_tail_shares_the_networks_parameters(network) -> None:
    tail = Tail(network, 2)
    assert tail.head.weight is network.head.weight
    own = {id(p) for p in network.parameters()}
    assert {id(p) for p in tail.parameters()} < own


def test_maps_computed_before_are_found(network, pixels, tmp_path) -> None:
    prefix = FrozenPrefix(network, 1)
    first = store_of(prefix, pixels, tmp_path)
    again = FrozenPrefix(network, 1).store(
        iter(()),
        pixel_shape=pixels.shape[1:],
        num_items=len(pixels),
        num_copies=2,
        data_key="cells",
        folder=tmp_path,
        budget_bytes=1 << 30,
    )
    assert again.path == first.path
    assert torch.equal(again.maps, first.maps)
    assert first.path.stat().st_size == 4 + prefix.required_bytes(pixels.shape[1:], 2 * len(pixels))
    assert [path.name for path in tmp_path.iterdir()] == [first.path.name]


def test_other_weights_or_data_have_other_files(network, pixels, tmp_path) -> None:
    paths = [store_of(FrozenPrefix(network, 1), pixels, tmp_path).path]
    paths.append(store_of(FrozenPrefix(network, 1), pixels, tmp_path, data_key="other").path)
    network.stem.conv.weight.data[0, 0, 0, 0] += 1
    paths.append(store_of(FrozenPrefix(network, 1), pixels, tmp_path).path)
    assert len(set(paths)) == 3


def test_a_truncated_file_is_made_again(network, pixels, tmp_path) -> None:
    first = store_of(FrozenPrefix(network, 1), pixels, tmp_path)
    expected = first.maps.clone()
    first.path.write_bytes(first.path.read_bytes()[:100])
    assert torch.equal(store_of(FrozenPrefix(network, 1), pixels, tmp_path).maps, expected)


def test_the_budget_is_checked_first(network, pixels, tmp_path) -> None:
    with pytest.raises(
        StorageError, match=r"need 0\.00 GB, 0\.00 GB are allowed; use fewer augmented copies"
    ):
        store_of(FrozenPrefix(network, 1), pixels, tmp_path / "new", budget_bytes=100)
    assert not (tmp_path / "new").exists()


def test_the_free_space_is_checked_first(network, pixels, tmp_path, monkeypatch) -> None:
    usage = namedtuple("Usage", "total used free")(10, 10, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="are free"):
        store_of(FrozenPrefix(network, 1), pixels, tmp_path)


def test_computing_leaves_the_network_in_its_mode(network, pixels, tmp_path) -> None:
    network.train()
    store_of(FrozenPrefix(network, 2), pixels, tmp_path)
    assert all(module.training for module in network.modules())


@pytest.fixture
def numbered(tmp_path: Path) -> MapStore:
    """21 items of 8 copies; each map holds its item and its copy."""
    items = torch.arange(21).view(-1, 1, 1, 1).expand(21, 8, 2, 2)
    copies = torch.arange(8).view(1, -1, 1, 1).expand(21, 8, 2, 2)
    return MapStore(path=tmp_path / "none", maps=torch.stack([items, copies], dim=-1).float())


def make_batches(store: MapStore) -> Batches:
    ids = [f"item-{i}" for i in range(21)]
    return store.training_batches(torch.arange(21), ids, batch_size=5, seed=3)


def test_each_item_once_an_epoch_in_one_copy(numbered) -> None:
    batches = make_batches(numbered)
    assert batches.steps_per_epoch == 4  # 5, 5, 5 and 6: no batch of one
    seen: list[tuple[int, ...]] = []
    for epoch in range(40):
        chosen = list(batches.epoch(epoch))
        labels = torch.cat([targets for _, targets in chosen])
        maps = torch.cat([inputs for inputs, _ in chosen])
        assert maps.shape == (21, 2, 2, 2)
        assert sorted(labels.tolist()) == list(range(21))
        assert torch.equal(maps[:, 0, 0, 0].long(), labels)
        copies = torch.empty(21, dtype=torch.long)
        copies[labels] = maps[:, 1, 0, 0].long()
        seen.append(tuple(copies.tolist()))
        names = [name for step in range(4) for name in batches.ids(epoch, step)]
        assert names == [f"item-{i}" for i in labels.tolist()]
    assert len(set(seen)) == 40
    counts = torch.bincount(torch.tensor(seen).flatten(), minlength=8)
    assert (counts > 60).all()  # 840 draws, 105 of each expected


def test_an_epoch_taken_up_again_is_the_same(numbered) -> None:
    whole = list(make_batches(numbered).epoch(2))
    for start in range(5):
        rest = list(make_batches(numbered).epoch(2, start_step=start))
        assert len(rest) == 4 - start
        for (a, b), (c, d) in zip(whole[start:], rest, strict=True):
            assert torch.equal(a, c)
            assert torch.equal(b, d)


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
