"""Coresets: near every patch, the same for the same seed."""

import pytest
import torch

from striate.errors import StoppedError
from striate.transfer.patch_bank import coreset, spread


def radius(rows, chosen):
    return float(torch.cdist(rows, rows[chosen]).amin(1).max())


def test_a_coreset_is_nearer_to_all_than_patches_at_random():
    generator = torch.Generator().manual_seed(0)
    # Few patches are rare: at random they are missed.
    rows = torch.randn(2000, 80, generator=generator) * 0.1
    rows[:20] += 5 * torch.randn(20, 80, generator=generator)
    chosen = coreset(rows, 60, seed=0)
    assert len(set(chosen.tolist())) == 60
    assert set(range(20)) <= set(chosen.tolist())
    assert radius(rows, chosen) < 0.5 * radius(rows, torch.arange(100, 160))


def test_without_a_projection_it_is_the_farthest_point_each_time():
    rows = torch.tensor([[0.0], [1.0], [10.0], [4.0], [9.0]])
    for seed in range(5):
        chosen = coreset(rows, 3, seed=seed).tolist()
        for count in (1, 2):
            nearest = torch.cdist(rows, rows[chosen[:count]]).amin(1)
            assert nearest[chosen[count]] == nearest.max()


def test_a_seed_decides_and_few_patches_are_all_taken():
    rows = torch.randn(300, 70, generator=torch.Generator().manual_seed(1))
    assert torch.equal(coreset(rows, 40, seed=3), coreset(rows, 40, seed=3))
    assert not torch.equal(coreset(rows, 40, seed=3), coreset(rows, 40, seed=4))
    assert coreset(rows, 500, seed=0).tolist() == list(range(300))


def test_copies_are_taken_once():
    assert sorted(coreset(torch.zeros(6, 4), 5, seed=0).tolist())[0] >= 0
    assert len(set(coreset(torch.zeros(6, 4), 5, seed=0).tolist())) == 5


def test_a_search_can_be_ended():
    def stop():
        raise StoppedError

    with pytest.raises(StoppedError):
        coreset(torch.randn(100, 4), 60, seed=0, check=stop)


def test_patches_are_drawn_of_every_item():
    maps = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    rows = spread(maps, 6, torch.Generator().manual_seed(0))
    assert rows.shape == (12, 3)
    places = {tuple(row) for row in maps[0].flatten(1).T.tolist()}
    assert {tuple(row) for row in rows[:6].tolist()} < places
    assert spread(maps, 99, torch.Generator()).shape == (40, 3)
