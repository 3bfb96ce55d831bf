"""Variants of volumes: symmetries by index, turns against scipy, chance from the draws alone."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from striate.errors import ArgumentError, UnknownNameError
from striate.kinds.volume.augment import (
    NUM_DRAWS,
    POLICIES,
    VolumePolicy,
    augment_volumes,
)


def smooth(*shape: int) -> torch.Tensor:
    noise = np.random.default_rng(0).normal(size=shape)
    return torch.from_numpy(
        ndimage.gaussian_filter(noise, [0] * (len(shape) - 3) + [2] * 3) * 10
    ).float()


def draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, NUM_DRAWS))


@pytest.mark.parametrize("name", POLICIES)
def test_a_variant_follows_from_its_own_draws(name: str) -> None:
    volumes, chance, before = smooth(3, 2, 6, 7, 8), draws(3), smooth(3, 2, 6, 7, 8)
    together = augment_volumes(volumes, chance, POLICIES[name])
    alone = augment_volumes(volumes[1:2], chance[1:2], POLICIES[name])
    assert torch.equal(volumes, before)
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)
    assert torch.equal(together, augment_volumes(volumes, chance, POLICIES[name]))
    assert torch.equal(together, volumes) == (name == "none")


@pytest.mark.parametrize(
    ("symmetry", "shape", "count"),
    [
        ("identity", (3, 3, 3), 1),
        ("mirror", (3, 3, 3), 2),
        ("flips", (3, 3, 3), 8),
        ("dihedral", (2, 3, 3), 8),
        ("cube", (3, 3, 3), 48),
        ("cube", (2, 3, 3), 16),
        ("cube", (2, 3, 4), 8),
    ],
)
def test_symmetries_are_all_drawn_and_no_others(
    symmetry: str, shape: tuple[int, ...], count: int
) -> None:
    volume = torch.arange(np.prod(shape), dtype=torch.float32).view(1, 1, *shape)
    many = volume.expand(600, 1, *shape)
    found = augment_volumes(many, draws(600), VolumePolicy(symmetry=symmetry))
    kinds = {tuple(v.flatten().tolist()) for v in found}
    assert len(kinds) == count
    assert all(sorted(kind) == list(range(int(np.prod(shape)))) for kind in kinds)
    # Neighbours stay neighbours: steps along the axes are those of the original, but for order.
    steps = {
        tuple(sorted(abs(v[0].diff(dim=a)).unique().tolist()[0] for a in range(3))) for v in found
    }
    assert len(steps) == 1


def test_a_turn_is_scipys() -> None:
    """Inside, away from the border; both are trilinear, to 1e-4 of values of about one."""
    volume, chance = smooth(1, 1, 16, 16, 16), np.full((1, NUM_DRAWS), 0.5)
    chance[0, 6] = 1.0  # about the third axis (width), by all of 20 degrees
    got = augment_volumes(volume, chance, VolumePolicy(symmetry="identity", rotation=20))[0, 0]
    turned = [
        ndimage.rotate(volume[0, 0].numpy(), angle, axes=(0, 1), reshape=False, order=1)
        for angle in (20, -20)
    ]
    inside = (slice(5, 11),) * 3
    errors = [np.abs(got.numpy() - other)[inside].max() for other in turned]
    assert min(errors) < 1e-4 < 0.05 < max(errors)


def test_an_elastic_field_moves_by_no_more_than_said_and_smoothly() -> None:
    ramp = torch.arange(20.0).view(1, 1, 20, 1, 1).expand(1, 1, 20, 20, 20)
    policy = VolumePolicy(symmetry="identity", elastic=3)
    moved = torch.stack(
        [augment_volumes(ramp, draws(1, seed), policy)[0, 0] - ramp[0, 0] for seed in range(5)]
    )
    assert 0.3 < moved.abs().max() <= 3.0001
    assert moved.diff(dim=2).abs().max() < 0.75  # neighbours move nearly alike
    extreme = np.full((1, NUM_DRAWS), 0.5)
    extreme[:, 11:] = 1.0  # every knot as far as it goes: a plain shift
    shifted = augment_volumes(ramp, extreme, policy)[0, 0]
    torch.testing.assert_close(shifted[:16], ramp[0, 0, 3:19], atol=1e-4, rtol=0)


def test_intensities() -> None:
    volume, chance = smooth(1, 1, 4, 4, 4), np.full((1, NUM_DRAWS), 0.5)
    chance[0, 7], chance[0, 8] = 1.0, 0.0
    policy = VolumePolicy(symmetry="identity", scale=0.2, shift=0.3)
    torch.testing.assert_close(
        augment_volumes(volume, chance, policy), volume * 1.2 - 0.3, atol=1e-6, rtol=0
    )
    noisy = VolumePolicy(symmetry="identity", noise=0.4)
    chance = np.random.default_rng(0).random((64, NUM_DRAWS))
    added = augment_volumes(torch.zeros(64, 1, 8, 8, 8), chance, noisy)
    assert added.mean().abs() < 0.01
    np.testing.assert_allclose(added.flatten(1).std(1), 0.4 * chance[:, 9], rtol=0.15, atol=0.003)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"symmetry": "cubic"}, UnknownNameError),
        ({"rotation": -1}, ArgumentError),
        ({"elastic": -1}, ArgumentError),
        ({"scale": 1}, ArgumentError),
    ],
)
def test_values_out_of_range(values: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        VolumePolicy(**values)
