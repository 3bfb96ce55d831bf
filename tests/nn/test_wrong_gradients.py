"""What torch computes wrong on processors is not trained that way."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import striate
from striate.device import fast_dtype
from striate.nn.layout import channels_last_module, contiguous_module, placed
from striate.nn.ranks import CONV_TYPES
from striate.nn.wrong_gradients import trains_channels_last, trains_in

CPU = torch.device("cpu")

WRONG = [
    nn.Conv2d(16, 16, 3, dilation=2, padding=2),
    nn.Conv2d(24, 24, 3, dilation=(1, 4), padding=(1, 4), groups=24),
    nn.Conv2d(4, 8, 1, stride=2),
    nn.Conv2d(32, 8, 1, stride=(1, 2), groups=4),
]
RIGHT = [
    nn.Conv2d(16, 16, 3, padding=1, stride=2),
    nn.Conv2d(4, 8, 1),
    nn.Conv2d(16, 8, 1, stride=2),
    nn.Conv3d(4, 8, 3, dilation=2),
    nn.Conv3d(4, 8, 1, stride=2),
    nn.Conv1d(4, 8, 3, dilation=2),
]


@pytest.mark.parametrize("layer", WRONG, ids=repr)
def test_a_convolution_with_wrong_gradients_is_found_in_a_network(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(layer))
    assert not trains_channels_last(network, CPU, torch.bfloat16)
    assert trains_channels_last(network, CPU, torch.float32) == (max(layer.dilation) > 1)
    assert trains_channels_last(network, torch.device("cuda"), torch.bfloat16)


def test_small_maps_do_not_slow_the_usual_networks_down() -> None:
    inputs = torch.randn(1, 3, 32, 32)
    for name in ("resnet18", "efficientnet_lite0", "convnextv2_atto"):
        network = striate.create_model(name, num_classes=2)
        assert trains_in(network, inputs, torch.bfloat16), name


@pytest.mark.parametrize("layer", RIGHT, ids=repr)
def test_other_convolutions_train_with_channels_innermost(layer: nn.Module) -> None:
    assert trains_channels_last(nn.Sequential(layer), CPU, torch.bfloat16)


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "efficientnet_lite0", "convnext_tiny"])
def test_the_usual_networks_train_with_channels_innermost(name: str) -> None:
    with torch.device("meta"):
        network = striate.create_model(name, num_classes=2)
    assert trains_channels_last(network, CPU, torch.bfloat16)


@pytest.mark.parametrize("layer", WRONG + RIGHT[:3], ids=repr)
@pytest.mark.parametrize("side", [32, 64])
def test_gradients_in_the_layout_and_precision_of_training(layer: nn.Conv2d, side: int) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(4, layer.in_channels, side, side)
    expected = copy.deepcopy(layer).double()
    expected(inputs.double()).square().sum().backward()
    dtype = fast_dtype("cpu")
    last = trains_channels_last(layer, CPU, dtype)
    trained = (channels_last_module if last else contiguous_module)(copy.deepcopy(layer))
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        outputs = trained(placed(inputs, CPU, last=last))
    outputs.float().square().sum().backward()
    wanted = expected.weight.grad.float()
    assert (trained.weight.grad - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize(
    ("rank", "size", "kernel", "stride", "right"),
    [(1, 1, 3, 2, False), (2, 1, 3, 2, False), (2, 2, 7, 1, False), (2, 2, 3, 3, False),
     (3, 2, 3, 1, False), (3, 4, 5, 2, False), (1, 2, 3, 2, True), (2, 1, 3, 1, True),
     (2, 3, 7, 1, True), (3, 5, 5, 1, True)],
)  # fmt: skip
def test_kernels_larger_than_their_maps_are_trained_in_float32(rank, size, kernel, stride, right):
    torch.manual_seed(0)
    layer = CONV_TYPES[rank - 1](32, 16, kernel, stride=stride, padding=kernel // 2)
    network = nn.Sequential(nn.Dropout(0.5), layer)
    network[0].eval()
    inputs = torch.randn(4, 32, *[size] * rank)
    assert trains_in(network, inputs, torch.bfloat16) == right
    assert trains_in(network, inputs, torch.float32)
    assert network.training and not network[0].training
    assert not layer._forward_pre_hooks
    dtype = fast_dtype("cpu") if right else torch.float32
    expected = copy.deepcopy(layer).double()
    expected(inputs.double()).square().sum().backward()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        outputs = network(placed(inputs, CPU))
    outputs.float().square().sum().backward()
    wanted = expected.weight.grad.float()
    assert (layer.weight.grad - wanted).norm() < 0.02 * wanted.norm()
