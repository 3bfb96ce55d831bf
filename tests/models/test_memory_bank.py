"""The network of a memory bank, against distances that are computed plainly."""

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.models import create_model
from striate.models.patches.memory_bank import PatchFeatures, memory_bank_of, middle_levels


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("resnet18", num_classes=5, in_channels=1).eval()


@pytest.fixture(scope="module")
def bank(network):
    torch.manual_seed(1)
    bank = memory_bank_of(network, "resnet18", num_patches=1500)
    bank.pool.patches.normal_(mean=3.0)
    return bank


def test_the_middle_levels_are_those_of_the_paper(network):
    assert middle_levels(network) == (1, 2)
    assert middle_levels(create_model("efficientnet_lite0")) == (2, 4)
    with pytest.raises(ArgumentError, match=r"no maps of three sizes.*choose"):
        middle_levels(create_model("vit_ti_16"))


def test_distances_are_those_of_the_nearest_patches(network, bank):
    x = torch.randn(3, 1, 64, 80, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        _, maps = network.forward_intermediates(x)
        first, second = (F.avg_pool2d(maps[k], 3, 1, 1) for k in (1, 2))
        second = F.interpolate(second, first.shape[2:], mode="bilinear")
        rows = torch.cat([first, second], 1)
        assert torch.allclose(bank.forward_features(x), rows, atol=1e-5)
        plain = (
            torch.cdist(rows.flatten(2).transpose(1, 2).double(), bank.pool.patches.double()).amin(
                2
            )
            / rows.shape[1] ** 0.5
        )
        assert bank.pool.distances(rows).shape == (3, 8, 10)
        assert torch.allclose(bank.pool.distances(rows).flatten(1).double(), plain, atol=1e-4)
        assert torch.allclose(bank(x)[:, 0].double(), plain.amax(1), atol=1e-4)
        heat = bank.activation_map(x, torch.zeros(3, dtype=torch.long))
    assert heat.flatten(1).amin(1).tolist() == [0.0] * 3
    assert torch.equal(heat.flatten(1).argmax(1), plain.argmax(1))


def test_a_patch_of_the_bank_is_not_odd(bank):
    maps = bank.pool.patches[:16].T.reshape(1, -1, 4, 4)
    assert bank.pool.distances(maps).max() < 2e-3


def test_a_bank_is_made_again_from_its_configuration(bank):
    from dataclasses import asdict

    again = create_model("memory_bank", **asdict(bank.config)).eval()
    again.load_state_dict(bank.state_dict())
    x = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(x), bank(x))


def test_what_is_no_bank_is_refused(network):
    with pytest.raises(ArgumentError, match="num_patches=0"):
        create_model("memory_bank", num_patches=0)
    with pytest.raises(ArgumentError, match="maps of 4 levels"):
        PatchFeatures(network, (1, 9))
