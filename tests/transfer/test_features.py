"""Frozen features against the plain forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate.errors import UnknownNameError
from striate.transfer.features import extract


class Count:
    done = 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count


def plain_features(network, pixels: Tensor) -> Tensor:
    x = network.preprocessing.normalize(pixels)
    with torch.no_grad():
        for _, block in network.blocks():
            x = block(x)
        return network.pool(x)


def test_features_are_the_pooled_maps_of_the_plain_network(network, pixels) -> None:
    count = Count()
    features = extract(network, [pixels[:13], pixels[13:]], dtype=torch.float32, tracker=count)
    torch.testing.assert_close(features, plain_features(network, pixels), rtol=1e-5, atol=1e-5)
    assert features.dtype == torch.float32
    assert count.done == len(pixels)


def test_stages_are_averaged_and_put_in_front(network, pixels) -> None:
    features = extract(network, [pixels], stages=("stem", "stages.0"), dtype=torch.float32)
    with torch.no_grad():
        stem = network.stem(network.preprocessing.normalize(pixels))
        first = network.stages[0](stem)
    expected = torch.cat(
        [stem.mean((2, 3)), first.mean((2, 3)), plain_features(network, pixels)], dim=1
    )
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near(network, pixels) -> None:
    features = extract(network, [pixels], dtype=torch.bfloat16)
    expected = plain_features(network, pixels)
    assert (features - expected).abs().max() < 0.03 * expected.abs().max()


def test_the_network_stays_as_it_is(network, pixels) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    extract(network, [pixels])
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_an_unknown_stage_names_the_nearest(network, pixels) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown block 'stages\.7'.*did you mean"):
        extract(network, [pixels], stages=("stages.7",))
