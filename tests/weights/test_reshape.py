"""Filters for other ranks and channels keep their response, exactly where the docs say so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import ArgumentError
from striate.models import Network, create_model
from striate.weights import adapt_channels, inflate

NAMES = ["resnet18", "efficientnet_lite0"]


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def with_statistics(network: Network) -> Network:
    """The network with batch-norm statistics of some data."""
    network(draw(4, 3, 64, 64))
    return network.eval()


def as_rank(network: Network, name: str, rank: int, mode: str) -> Network:
    other = create_model(name, rank=rank)
    other.load_state_dict(inflate(network.state_dict(), rank, mode))
    return other.eval()


@pytest.mark.parametrize("name", NAMES)
def test_a_centred_volume_of_equal_slices_is_the_picture(name: str) -> None:
    network = with_statistics(create_model(name))
    volume = as_rank(network, name, 3, "center")
    images = draw(2, 3, 40, 33)
    with torch.inference_mode():
        expected = network(images)
        got = volume(images.unsqueeze(2).expand(-1, -1, 10, -1, -1))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_centred_series_is_a_picture_of_one_row(name: str) -> None:
    network = with_statistics(create_model(name))
    series = as_rank(network, name, 1, "center")
    signal = draw(2, 3, 70)
    with torch.inference_mode():
        expected = network(signal.unsqueeze(2))
        torch.testing.assert_close(series(signal), expected, rtol=1e-4, atol=1e-4)


def test_an_averaged_filter_answers_the_same_without_change_along_the_new_axis() -> None:
    state = {"conv.weight": draw(5, 3, 3, 3), "linear.weight": draw(4, 5)}
    signal, image = draw(1, 3, 9), draw(1, 3, 8, 9)
    rows = signal.unsqueeze(2).expand(-1, -1, 6, -1)
    expected = F.conv2d(rows, state["conv.weight"])
    got = F.conv1d(signal, inflate(state, 1, "average")["conv.weight"])
    torch.testing.assert_close(got.unsqueeze(2).expand_as(expected), expected)
    slices = image.unsqueeze(2).expand(-1, -1, 6, -1, -1)
    got = F.conv3d(slices, inflate(state, 3, "average")["conv.weight"])
    expected = F.conv2d(image, state["conv.weight"]).unsqueeze(2)
    torch.testing.assert_close(got, expected.expand_as(got))
    assert inflate(state, 3)["linear.weight"] is state["linear.weight"]


def test_rank_two_stays() -> None:
    weight = draw(5, 3, 3, 3)
    assert inflate({"w": weight}, 2)["w"] is weight


def test_unknown_ranks_and_modes_give_one_line() -> None:
    with pytest.raises(ArgumentError, match="rank=4"):
        inflate({}, 4)
    with pytest.raises(ArgumentError, match=r"mode='middle'.*choose center or average"):
        inflate({}, 3, "middle")


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 13])
def test_channels_are_adapted_as_in_timm(in_channels: int) -> None:
    """To 1e-6; filters of images alone, for timm knows no other rank."""
    manipulate = pytest.importorskip("timm.models._manipulate")
    weight = draw(5, 3, 3, 3)
    expected = manipulate.adapt_input_conv(in_channels, weight.clone())
    torch.testing.assert_close(adapt_channels(weight, in_channels), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("in_channels", [1, 3, 6])
def test_equal_channels_give_the_same_response(in_channels: int) -> None:
    weight = draw(5, 3, 3, 3)
    grey = draw(1, 1, 8, 8)
    expected = F.conv2d(grey.expand(-1, 3, -1, -1), weight)
    got = F.conv2d(grey.expand(-1, in_channels, -1, -1), adapt_channels(weight, in_channels))
    torch.testing.assert_close(got, expected)
