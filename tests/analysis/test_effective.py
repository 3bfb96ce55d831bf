import numpy as np
import pytest
import torch
from torch import nn

from striate.analysis import EffectiveField, effective_field, receptive_field
from striate.errors import ArgumentError


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_box_filter_weighs_its_field_evenly(rank):
    from striate.nn.ranks import layers

    model = layers(rank).avg_pool(3, 1, 1)
    found = effective_field(model, torch.randn(2, 1, *(9,) * rank))
    expected = np.zeros((9,) * rank)
    expected[(slice(3, 6),) * rank] = 1 / 3**rank
    np.testing.assert_allclose(found.weight, expected, atol=1e-7)
    assert found.size() == (3,) * rank
    assert found.size(1 / 3) == (1,) * rank


def test_deep_plain_networks_use_the_square_root_of_their_field():
    """The sum of n uniform steps of -1, 0, 1 has deviation sqrt(2n/3)."""
    depth = 24
    model = nn.Sequential(*(nn.AvgPool1d(3, 1, 1) for _ in range(depth)))
    found = effective_field(model, torch.zeros(1, 1, 101))
    theoretical = receptive_field(model, (1, 101))[-1].receptive_field
    assert theoretical == (2 * depth + 1,)
    deviation = (2 * depth / 3) ** 0.5
    assert found.size(0.95)[0] == pytest.approx(2 * 1.96 * deviation, abs=1)


def test_the_picture_is_white_at_the_greatest_weight():
    weight = np.zeros((5, 7))
    weight[2, 3], weight[2, 4] = 0.8, 0.2
    picture = EffectiveField(weight=weight).picture()
    assert (picture.shape, picture.dtype) == ((5, 7), np.uint8)
    assert (picture[2, 3], picture[2, 4], picture[0, 0]) == (255, 128, 0)
    assert EffectiveField(weight=np.ones((2, 3, 4))).picture().shape == (3, 4)
    assert EffectiveField(weight=np.ones(4)).picture().shape == (1, 4)


def test_it_runs_in_evaluation_mode_and_leaves_the_model_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    effective_field(model, torch.randn(1, 3, 8, 8))
    assert model.training
    assert model[1].num_batches_tracked == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bad_features_are_named():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    with pytest.raises(ArgumentError, match="features of 2 axes for an input of 4"):
        effective_field(model, torch.randn(1, 1, 8, 8))
    assert effective_field(model, torch.randn(1, 1, 8, 8), model[0]).size() == (3, 3)
    with pytest.raises(ArgumentError, match="no gradient"):
        effective_field(model[0], torch.randn(1, 1, 8, 8), lambda x: model[0](x) * 0)
