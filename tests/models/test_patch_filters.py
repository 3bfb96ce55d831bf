"""Patch filters against a brute-force oracle, and as a network."""

from itertools import product

import numpy as np
import pytest
import torch

from striate.models import create_model
from striate.models.patches.patch_filters import FLAT, THRESHOLD, PatchFilters


def build(rank: int, side: int, **options: object) -> PatchFilters:
    network = create_model(
        "patch_filters", rank=rank, in_channels=2, input_size=side, num_filters=5, **options
    )
    assert isinstance(network, PatchFilters)
    return network.eval()


def oracle(x: np.ndarray, filters: np.ndarray, offsets: np.ndarray, parts: int) -> np.ndarray:
    """Features of one item (c, *space), one patch after the other."""
    size = filters.shape[-1]
    sides = [length - size + 1 for length in x.shape[1:]]
    maps = np.zeros((2 * len(filters), *sides))
    for place in product(*map(range, sides)):
        window = x[(slice(None), *(slice(p, p + size) for p in place))].ravel()
        flat = (window - window.mean()) / np.sqrt(window.var(ddof=1) + FLAT)
        similar = filters.reshape(len(filters), -1) @ flat - offsets
        both = np.concatenate([similar, -similar]) - THRESHOLD
        maps[(slice(None), *place)] = np.maximum(both, 0)
    found = []
    for part in product(range(parts), repeat=len(sides)):
        ends = [
            (p * n // parts, -(-(p + 1) * n // parts)) for p, n in zip(part, sides, strict=True)
        ]
        inside = maps[(slice(None), *(slice(*end) for end in ends))]
        found.append(inside.reshape(len(maps), -1).mean(1))
    return np.concatenate(found)


@pytest.mark.parametrize(("rank", "side"), [(1, 15), (2, 9), (3, 8)])
def test_features_are_similarities_beyond_the_threshold(rank: int, side: int) -> None:
    """To 1e-4, in single precision."""
    network = build(rank, side)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, *[side] * rank, generator=draw)
    network.fit_features(x, seed=1)
    with torch.no_grad():
        features = network.pool(network.forward_features(x))
    stem = network.stem
    for item, got in zip(x[:2], features, strict=False):
        expected = oracle(
            item.double().numpy(), stem.filters.numpy(), stem.offsets.numpy(), network.config.parts
        )
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-4)


def test_filters_follow_from_items_and_seed_and_have_no_mean() -> None:
    x = torch.randn(20, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    one, same, other = build(2, 12), build(2, 12), build(2, 12)
    for network, seed in ((one, 0), (same, 0), (other, 1)):
        network.fit_features(x, seed)
    assert torch.equal(one.stem.filters, same.stem.filters)
    assert not torch.equal(one.stem.filters, other.stem.filters)
    assert one.stem.filters.flatten(1).mean(1).abs().max() < 1e-6


def test_a_brighter_picture_of_more_contrast_has_the_same_features() -> None:
    """Beyond what `FLAT` lets through: 1 % of the largest."""
    network = build(2, 12)
    x = torch.randn(8, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    network.fit_features(x, 0)
    with torch.no_grad():
        first, second = (network.pool(network.forward_features(y)) for y in (x, 3 * x + 1))
    assert (first - second).abs().max() < 0.01 * first.max()
