"""The check of an explanation tells a true map from one that knows nothing."""

import numpy as np
import pytest
import torch

from striate.explain.fidelity import (
    NUM_ORDERS,
    NUM_STEPS,
    _cells,
    beats_random,
    fidelities,
    fidelity,
)
from striate.models import create_model


class Sum(torch.nn.Module):
    """The logit is the sum of the input."""

    def forward_features(self, x):
        return x

    def forward_head(self, x):
        return x.flatten(1).sum(1, keepdim=True)


def test_curves_of_a_sum_are_known():
    x = torch.arange(64.0).flip(0).view(1, 1, 64)
    told = fidelity(Sum(), x, 0, x[0, 0].numpy(), steps=3)
    cells = np.arange(63, -1, -1.0)
    assert told.deletion == pytest.approx([cells[k:].sum() for k in (16, 32, 48)])
    assert told.insertion == pytest.approx([cells[:k].sum() for k in (16, 32, 48)])
    assert told.beats_random and len(told.random_gains) == NUM_ORDERS


def test_a_reversed_map_has_the_opposite_gain():
    x = torch.rand(1, 2, 16, 24)
    heat = x[0].sum(0).numpy()
    right, wrong = (fidelity(Sum(), x, 0, one) for one in (heat, heat.max() - heat))
    assert wrong.gain == pytest.approx(-right.gain, rel=1e-5)
    assert right.beats_random and not wrong.beats_random


@pytest.mark.parametrize("steps", [NUM_STEPS, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_heat_on_the_shape_beats_random_and_noise_does_not(rank, steps, trained):
    network, inputs, labels, inside = trained(rank)
    noise = np.random.default_rng(0)
    true = false = 0
    for item, label, place in zip(inputs[:8], labels, inside, strict=False):
        heat = place.float().numpy()
        true += beats_random(network, item[None], int(label), heat, steps=steps)
        unknowing = noise.random(heat.shape)
        false += beats_random(network, item[None], int(label), unknowing, steps=steps)
    assert true >= 6 and false <= 2, (true, false)


def test_the_verdict_alone_is_the_same_and_stops_when_it_is_certain(trained):
    network, inputs, labels, inside = trained(2)
    noise = np.random.default_rng(0)
    calls = []
    hook = network.linear.register_forward_hook(lambda _, given, __: calls.append(len(given[0])))
    passes = {True: set(), False: set()}
    for item, label, place in zip(inputs, labels, inside, strict=False):
        heat = place.float().numpy()
        for one in (heat, 1 - heat, noise.random(heat.shape)):
            expected = fidelity(network, item[None], int(label), one, steps=4).beats_random
            calls.clear()
            assert beats_random(network, item[None], int(label), one, steps=4) == expected
            passes[expected].add(sum(calls))
    hook.remove()
    assert passes[True] == {8 * (NUM_ORDERS + 1)}
    assert min(passes[False]) == 8 and passes[False] <= {8 * n for n in range(1, NUM_ORDERS + 2)}


def test_cells_are_few_and_cover_the_grid():
    for space in ((5,), (300,), (9, 100), (8, 12, 16)):
        cells = _cells(space)
        assert cells.shape == space
        assert sorted(np.unique(cells)) == list(range(cells.max() + 1))
        assert cells.max() < 64


def test_any_network_is_checked():
    network = create_model("lenet5", in_channels=1, num_classes=3).eval()
    told = fidelity(network, torch.randn(1, 1, 28, 28), 2, np.random.rand(28, 28), steps=4)
    assert told.deletion.shape == told.insertion.shape == (4,)


def test_several_maps_of_one_input_are_each_measured_as_one_alone():
    x = torch.rand(1, 2, 16, 24)
    heats = [x[0].sum(0).numpy(), np.random.default_rng(0).random((16, 24))]
    for heat, told in zip(heats, fidelities(Sum(), x, 0, heats, steps=3), strict=True):
        alone = fidelity(Sum(), x, 0, heat, steps=3)
        assert told.gain == alone.gain
        np.testing.assert_array_equal(told.random_gains, alone.random_gains)
