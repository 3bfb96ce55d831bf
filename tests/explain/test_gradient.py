"""Spikes are cut to the hottest of the other places, one map at a time."""

import torch

from striate.explain.gradient import without_spikes


def test_the_hottest_hundredth_is_as_hot_as_the_next():
    heat = torch.arange(400.0).view(1, 20, 20)
    cut = without_spikes(heat)
    assert torch.equal(cut, heat.clamp(max=395))  # the 396th of 400 places
    both = without_spikes(torch.cat([heat, heat * 1000]))
    assert torch.equal(both, torch.cat([cut, cut * 1000]))


def test_a_map_of_few_hot_places_is_left():
    heat = torch.zeros(1, 20, 20)
    heat[0, 3, 4] = 7
    assert torch.equal(without_spikes(heat), heat)
    assert torch.equal(without_spikes(torch.ones(2, 5)), torch.ones(2, 5))
