"""What holds for every network of the registry; the costly part for the smallest of each family."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ArgumentError, UnknownNameError
from striate.models import MODELS, Network, create_model, describe
from striate.models.catalog import count_parameters
from striate.train.step import CrossEntropy

SIDES = {1: 65, 2: 33, 3: 17}
TRAINING_SIDES = {1: 256, 2: 65, 3: 33}
"""Large enough for the last batch norms to see more than a handful of places."""


def smallest_of_each_family() -> list[str]:
    best: dict[str, str] = {}
    for name, variant in MODELS.items():
        other = best.setdefault(variant.family, name)
        if count_parameters(variant) < count_parameters(MODELS.get(other)):
            best[variant.family] = name
    return list(best.values())


SMALL = smallest_of_each_family()
HEAVY = ("vgg11", "alexnet", "inception_v3", "inception_time_small", "tcn_small")
"""Their volumes take seconds."""

each_family = pytest.mark.parametrize("name", SMALL)
each_family_and_rank = pytest.mark.parametrize(
    ("name", "rank"),
    [
        pytest.param(name, rank, marks=pytest.mark.slow if rank == 3 and name in HEAVY else ())
        for name in SMALL
        for rank in (1, 2, 3)
    ],
)


def build(name: str, **options: Any) -> Network:
    """The network, its hidden layers narrow where it has any: they would hold most weights."""
    if hasattr(MODELS.get(name).config, "hidden_features"):
        options = {"hidden_features": (32, 16), **options}
    return create_model(name, **options)


def inputs(network: Network, channels: int = 3, sides: dict[int, int] = SIDES) -> torch.Tensor:
    rank = network.config.rank
    side = max(sides[rank], network.least_size)
    draw = torch.Generator().manual_seed(rank)
    return torch.randn(4, channels, *[side] * rank, generator=draw)


@each_family_and_rank
def test_a_step_of_training_reaches_every_parameter(name: str, rank: int) -> None:
    torch.manual_seed(0)
    rates = ("dropout", "stochastic_depth", "auxiliary_dropout")
    options = {rate: 0.0 for rate in rates if hasattr(MODELS.get(name).config, rate)}
    network = build(name, rank=rank, in_channels=2, num_classes=3, **options)
    images, labels = inputs(network, 2, TRAINING_SIDES), torch.tensor([0, 1, 2, 0])
    loss = CrossEntropy().total(network(images), labels) / len(labels)
    loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    slope = sum(p.grad.square().sum() for p in network.parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            # So short that a straight line would lower the loss by a hundredth.
            parameter -= 0.01 * loss / slope * parameter.grad
        assert CrossEntropy().total(network(images), labels) / len(labels) < loss


@each_family_and_rank
def test_saved_weights_give_equal_outputs(name: str, rank: int, tmp_path: Path) -> None:
    network = build(name, rank=rank, in_channels=2, num_classes=3).eval()
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    again = create_model(name, weights=path, **asdict(network.config)).eval()
    assert again.config == network.config
    with torch.inference_mode():
        assert torch.equal(network(inputs(network, 2)), again(inputs(network, 2)))


@each_family_and_rank
def test_blocks_in_order_are_the_features(name: str, rank: int) -> None:
    network = build(name, rank=rank).eval()
    images = inputs(network)
    with torch.inference_mode():
        features = images
        for _, block in network.blocks():
            features = block(features)
        assert torch.equal(features, network.forward_features(images))
        assert torch.equal(network.forward_head(features), network(images))
        assert network.pool(features).shape == (4, network.num_features)
        named = dict(network.named_modules())
        assert all(named[key] is block for key, block in network.blocks())


@each_family
def test_channels_last_stays(name: str) -> None:
    # In three dimensions torch's own depthwise convolution does not keep it on the CPU.
    layout = torch.channels_last
    network = build(name).eval().to(memory_format=layout)
    maps = inputs(network).to(memory_format=layout)
    with torch.inference_mode():
        for key, block in network.blocks():
            maps = block(maps)
            # A sequence of tokens has no such layout.
            assert maps.ndim != 4 or maps.is_contiguous(memory_format=layout), key


@each_family
def test_a_new_head_is_the_only_change(name: str) -> None:
    network = build(name, num_classes=4).eval()
    features = network.forward_features(inputs(network))
    network.replace_head(7)
    assert torch.equal(network.forward_features(inputs(network)), features)
    assert network(inputs(network)).shape == (4, 7)
    assert network.config.num_classes == 7
    assert not network.head.training


@pytest.mark.parametrize("name", MODELS.names())
def test_configuration_fits_in_json(name: str) -> None:
    for value in vars(MODELS.get(name).config).values():
        assert isinstance(value, (int, float, str, bool, tuple))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        create_model("resnet5O")
    with pytest.raises(UnknownNameError, match="did you mean 'stochastic_depth'"):
        create_model("efficientnet_b0", stochastic_dept=0.1)
    with pytest.raises(UnknownNameError, match="unknown model 'vggg'"):
        describe("vggg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels=0"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"rank": 4}, "rank=4"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"padding": "valid"}, "choose symmetric or same"),
    ],
)
def test_bad_arguments_give_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        create_model("efficientnet_lite0", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32), "takes 4: items, channels, then space"),
        ((2, 1, 32, 32), "build it with in_channels=1"),
        ((2, 3, 32, 0), r"32 x 0: the least size along each axis is \d+"),
    ],
)
@each_family
def test_bad_inputs_give_one_line(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build(name)(torch.zeros(shape))


def test_descriptions_match_a_pattern() -> None:
    names = [row.name for row in describe("resnet1*")]
    assert names == ["resnet18", "resnet101", "resnet152"]
    (row,) = describe("efficientnet_lite0")
    assert (row.family, row.parameters, row.input_size) == ("efficientnet", 4_652_008, 224)
    assert row.weights[0] == "package"
