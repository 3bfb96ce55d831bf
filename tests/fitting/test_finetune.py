"""Which blocks stay frozen."""

import pytest
import torch

from striate.fitting.methods import finetune
from striate.models import create_model

STRIDE = 12


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_blocks_on_fine_maps_stay_frozen_and_some_do_not(name):
    network = create_model(name, num_classes=2).eval()
    count = finetune.frozen_blocks(network, (3, 64, 64), STRIDE)
    assert 0 < count < len(network.blocks())
    maps = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        for index, (_, module) in enumerate(network.blocks()):
            maps = module(maps)
            assert (index < count) == (64 / maps.shape[-1] <= STRIDE)
