"""Frozen features against the plain forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.transfer import features as frozen_features


def extract(*arguments, **options) -> Tensor:
    return torch.cat(list(frozen_features.extract(*arguments, **options)))


def plain_features(network, pixels: Tensor) -> Tensor:
    x = network.preprocessing.normalize(pixels)
    with torch.no_grad():
        for _, block in network.blocks():
            x = block(x)
        return network.pool(x)


def test_features_are_the_pooled_maps_of_the_plain_network(network, pixels) -> None:
    features = extract(network, [pixels[:13], pixels[13:]], dtype=torch.float32)
    torch.testing.assert_close(features, plain_features(network, pixels), rtol=1e-5, atol=1e-5)
    assert features.dtype == torch.float32


def test_parts_come_a_few_at_a_time_in_the_order_of_the_items(network, pixels) -> None:
    parts = list(frozen_features.extract(network, [pixels[:13], pixels[13:]], dtype=torch.float32))
    whole = extract(network, [pixels[:13], pixels[13:]], dtype=torch.float32)
    assert len(parts) > 2
    assert torch.equal(torch.cat(parts), whole)


def test_other_features_of_the_network_are_computed_where_asked_for(network, pixels) -> None:
    largest = nn.Sequential(network.stem, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    features = extract(network, [pixels], features=largest, dtype=torch.float32)
    with torch.no_grad():
        expected = network.stem(network.preprocessing.normalize(pixels)).amax((2, 3))
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
