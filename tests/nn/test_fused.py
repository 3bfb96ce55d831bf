"""Convolutions with their activations in one pass against one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from striate.device import cpu_computes
from striate.models import create_model
from striate.nn import fused as room
from striate.nn.conv import convolution
from striate.nn.fuse import fold_batch_norm
from striate.nn.fused import ACTIVATIONS, FusedConvolution, fuse_activations
from striate.nn.layout import channels_last
from striate.nn.ranks import layers

CHANNELS = 8


def num_fused(network: nn.Module) -> int:
    return sum(isinstance(module, FusedConvolution) for module in network.modules())


def inputs(rank: int = 2, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    sides = (11, 8, 9)[:rank]
    return 3 * channels_last(torch.randn(batch, CHANNELS, *sides, generator=generator))


def outputs(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(x)
    return found


def assert_near(got: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": "same"},
        {"dilation": 2, "groups": 2, "bias": True},
        {"padding": "causal"},
        {"stride": 2, "groups": CHANNELS, "padding": "same"},
        {"groups": CHANNELS},
    ],
    ids=str,
)
def test_the_same_outputs(rank: int, act: type[nn.Module], options, monkeypatch) -> None:
    monkeypatch.setattr(room, "torch_is_fastest", lambda *call: True)
    torch.manual_seed(0)
    network = nn.Sequential(convolution(rank, CHANNELS, CHANNELS, 3, **options), act())
    fused = fuse_activations(network, inputs(rank, batch=1))
    assert num_fused(fused) == 1 and num_fused(network) == 0
    # Another number of items and other sizes than those it was made by.
    for x in (inputs(rank), torch.nn.functional.pad(inputs(rank), (1, 2)).contiguous()):
        assert_near(outputs(fused, x), outputs(network, x))


def test_a_variant_of_an_activation_is_told() -> None:
    network = nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.GELU(approximate="tanh"))
    fused = fuse_activations(network, inputs())
    x = inputs()
    assert_near(outputs(fused, x), outputs(network, x))
    apart = outputs(nn.Sequential(network[0], nn.GELU()), x) - outputs(network, x)
    assert apart.abs().max() > 1e-4  # the variants are told apart by this input


@pytest.mark.skipif(not cpu_computes(torch.bfloat16), reason="this processor has no bfloat16")
@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6])
def test_clipping_gives_the_same_bits_in_bfloat16(act: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(CHANNELS, 32, 3), act()).bfloat16()
    x = inputs().bfloat16()
    fused = fuse_activations(network, x)
    assert num_fused(fused) == 1
    assert torch.equal(outputs(fused, x), outputs(network, x))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v3_small"])
def test_a_network_answers_alike(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name, num_classes=3, weights=None).eval()
    x = channels_last(torch.randn(2, 3, 64, 64))
    ready = fuse_activations(fold_batch_norm(network, x), x)
    assert num_fused(ready) > 8
    assert_near(outputs(ready, x), outputs(network, x), 1e-4)


class _AlsoUsed(nn.Module):
    """The output of the convolution goes by the activation too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(CHANNELS, 8, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.act(y) - y


class _Twice(nn.Module):
    """One activation serves two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(CHANNELS, 8, 3), nn.Conv2d(8, 8, 3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(self.act(self.first(x))))


class _LooksInside(nn.Module):
    """Reads the sizes of its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(CHANNELS, 8, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)) * self.conv.out_channels


@pytest.mark.parametrize(
    "network",
    [
        _AlsoUsed(),
        _Twice(),
        _LooksInside(),
        nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.Tanh()),
        nn.Sequential(nn.Conv2d(CHANNELS, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
    ],
    ids=["also used", "twice", "looks inside", "tanh", "reflect"],
)
def test_what_cannot_be_fused_stays(network: nn.Module) -> None:
    assert fuse_activations(network, inputs()) is network


def test_a_norm_in_between_keeps_them_apart() -> None:
    network = nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    assert fuse_activations(network, inputs()) is network
    assert num_fused(fuse_activations(fold_batch_norm(network, inputs()), inputs())) == 1


def test_a_series_stays() -> None:
    network = nn.Sequential(layers(1).conv(CHANNELS, 8, 3), nn.ReLU())
    assert fuse_activations(network, inputs(1)) is network


def test_our_own_kernels_stay_where_they_are_faster(monkeypatch) -> None:
    depthwise = convolution(2, CHANNELS, CHANNELS, 3, groups=CHANNELS)
    network = nn.Sequential(depthwise, nn.ReLU(), convolution(2, CHANNELS, 8, 3), nn.ReLU())
    monkeypatch.setattr(room, "torch_is_fastest", lambda *call: False)
    fused = fuse_activations(network, inputs())
    assert isinstance(fused[2], FusedConvolution) and not isinstance(fused[0], FusedConvolution)


def test_without_onednn_the_network_stays(monkeypatch) -> None:
    network = nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.ReLU())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert fuse_activations(network, inputs()) is network


def test_where_onednn_refuses_the_network_stays(monkeypatch) -> None:
    def refuses(self: FusedConvolution, x: Tensor) -> Tensor:
        raise RuntimeError("not on this processor")

    network = nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.ReLU())
    monkeypatch.setattr(FusedConvolution, "forward", refuses)
    assert fuse_activations(network, inputs()) is network


def test_gradients_copies_and_export_are_those_of_the_network() -> None:
    network = nn.Sequential(nn.Conv2d(CHANNELS, 8, 3), nn.SiLU())
    fused = copy.deepcopy(fuse_activations(network, inputs()))
    grads = []
    for one in (network, fused):
        x = inputs().requires_grad_()
        one(x).square().sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[1], grads[0])
    exported = torch.export.export(fused, (inputs(),)).module()
    assert_near(outputs(exported, inputs()), outputs(network, inputs()))
