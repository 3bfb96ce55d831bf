"""Thumbnet: its stages follow the input's side, and its stem whitens the training items."""

import pytest
import torch

from striate.geometry import plan_windows
from striate.models import create_model
from striate.models.thumbnet import STEM_SIZE, Thumbnet
from striate.ops.convolution import sliding_windows


@pytest.mark.parametrize(
    ("side", "stages", "last"), [(8, 1, 4), (16, 2, 4), (28, 3, 3), (60, 4, 3)]
)
def test_the_last_maps_have_a_side_of_about_four(side: int, stages: int, last: int) -> None:
    network = create_model("thumbnet", in_channels=1, input_size=side, num_classes=3).eval()
    with torch.no_grad():
        maps = network.forward_features(torch.zeros(1, 1, side, side))
    assert len(network.stages) == stages
    assert maps.shape == (1, network.num_features, last, last)


@pytest.mark.parametrize("rank", [1, 2])
def test_the_stems_outputs_are_white(rank: int) -> None:
    """Their covariance over the training patches is the identity, but for sampling (0.1)."""
    network = create_model("thumbnet", rank=rank, in_channels=2, input_size=16, stem_channels=8)
    assert isinstance(network, Thumbnet)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, *[16] * rank, generator=draw).cumsum(-1)
    network.fit_features(x, seed=0)
    plan = plan_windows(x.shape[2:], [STEM_SIZE] * rank, stride=1, padding=0, dilation=1)
    windows = sliding_windows(x, plan).movedim(1, rank + 1).flatten(rank + 1).flatten(0, rank)
    outputs = windows @ network.stem.conv.weight[:4].detach().flatten(1).T
    covariance = outputs.T.cov()
    assert (covariance - torch.eye(4)).abs().max() < 0.1
    weight = network.stem.conv.weight.detach()
    assert torch.equal(weight[:4], -weight[4:])
