"""Plain networks from text: what is built, and the character at which a mistake is."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from torch import nn

from striate.errors import ArgumentError
from striate.models import MODELS, create_model
from striate.models.text import parse

SEED = "[conv32-relu]x2 - maxpool - [conv64-relu]x2 - gap - fc10"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_same_layers_by_hand(rank: int) -> None:
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
    pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[rank]
    network = create_model("[conv4-relu]x2-maxpool-conv6k5s2d2-tanh-gap-fc3", rank=rank).eval()
    by_hand = nn.Sequential(
        *(conv(3, 4, 3, padding=1), nn.ReLU(), conv(4, 4, 3, padding=1), nn.ReLU(), pool(2)),
        *(conv(4, 6, 5, stride=2, dilation=2, padding=4), nn.Tanh()),
    )
    head = nn.Linear(6, 3)
    tensors = list(network.state_dict().values())
    own = [*by_hand.parameters(), *head.parameters()]
    with torch.no_grad():
        for ours, tensor in zip(own, tensors, strict=True):
            ours.copy_(tensor)
        x = torch.randn(2, 3, *[9] * rank)
        expected = head(by_hand(x).flatten(2).mean(-1))
        assert torch.allclose(network(x), expected, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_trains_and_is_made_again_from_its_configuration(rank: int) -> None:
    torch.manual_seed(0)
    text = "conv4 - bn - gelu - avgpool - conv8 - ln - silu - flatten - fc16 - bn - leaky - fc3"
    network = create_model(text, rank=rank, in_channels=2, input_size=9)
    x, labels = torch.randn(6, 2, *[9] * rank), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = torch.nn.functional.cross_entropy(network(x), labels)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    again = create_model(text, **asdict(network.config))
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(x), network.eval()(x))
    assert [m.shape[1:3] for m in network.forward_intermediates(x)[1]] == [(4, 9), (8, 4)]


def test_has_what_every_network_has() -> None:
    network = create_model(SEED, in_channels=1).eval()
    x = torch.randn(2, 1, 12, 10)
    features = x
    for _, block in network.blocks():
        features = block(features)
    assert torch.equal(features, network.forward_features(x))
    assert features.shape == (2, 64, 6, 5) and network(x).shape == (2, 10)
    assert next(key for key, _ in network.blocks()) == "stem"
    network.reset_classifier(4)
    assert network(x).shape == (2, 4)
    assert create_model(SEED, num_classes=7).config.num_classes == 7
    assert SEED not in MODELS


def test_the_minimal_size_is_taken_and_one_less_is_not() -> None:
    network = create_model("conv4s3 - maxpool3 - conv4s2 - avgpool2 - gap - fc2")
    least = network.min_size
    assert network(torch.zeros(1, 3, least, least)).shape == (1, 2)
    with pytest.raises(ArgumentError, match=f"minimum along each axis is {least}"):
        network(torch.zeros(1, 3, least, least - 1))
    network.min_size = 1
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, least - 1, least - 1))


def test_flattened_maps_of_another_size_are_resized() -> None:
    network = create_model("conv4 - relu - maxpool - flatten - fc2", input_size=8).eval()
    assert network.num_features == 4 * 4 * 4
    assert network(torch.randn(1, 3, 20, 12)).shape == (1, 2)
    with pytest.raises(ArgumentError, match=r"the minimum for .* is 8"):
        create_model("conv4 - maxpool8 - flatten - fc2", input_size=7)


def test_groups_may_hold_groups() -> None:
    kinds = [layer.kind for layer in parse("[[conv8-relu]x2-maxpool]x2-gmp-fc3")]
    assert kinds == [*["conv", "relu"] * 2, "maxpool"] * 2 + ["gmp", "fc"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv32 - relu - maxpol - gap - fc10", "at character 17: unknown layer 'maxpol'; did you"),
        ("conv32 - convk3 - gap - fc10", r"at character 10: 'convk3' .* convN\[kK\]\[sS\]\[dD\]"),
        ("[conv32 - relu - gap - fc10", "at character 28: the \\[ of character 1 is not closed"),
        ("[conv32] - gap - fc10", "at character 10: a group needs its count"),
        ("[conv32]x0 - gap - fc10", "at character 10: the count of a group must be at least 1"),
        ("[conv32]x99999999 - gap - fc10", "at character 10: the count"),
        ("conv32 - - gap - fc10", "at character 10: a layer is expected, not '-'"),
        ("conv32 - gap -", "at character 15: a layer is expected, not the end"),
        ("conv32 gap - fc10", "at character 8: 'g' is not expected; join layers with -"),
        ("relu - conv32 - gap - fc10", "at character 1: the first layer must be a conv"),
        ("conv32 - fc10", "at character 10: maps cannot enter fc"),
        ("conv32 - gap - conv3 - fc10", "at character 16: conv cannot follow"),
        ("conv32 - gap - flatten - fc10", "at character 16: the maps have ended before"),
        ("conv32 - gap", "at character 12: the last layer must be fc"),
        ("conv32k4 - gap - fc10", "at character 1: the size of a filter must be odd"),
        ("conv32s0 - gap - fc10", "at character 1: each number must be at least 1"),
        ("conv32 - dropout1.5 - gap - fc10", "at character 10: the probability must be below 1"),
    ],
)
def test_mistakes_are_found_at_their_character(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        create_model(text)
    assert "\n" not in str(caught.value)
