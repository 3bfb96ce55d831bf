"""What holds for every network of the registry; the costly part for the smallest of each family."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import striate
from striate.errors import ArgumentError, UnknownNameError
from striate.models import MODELS, GraphNetwork, Network, create_model, describe, list_models
from striate.models.catalog import check_model_name
from striate.nn.blocks import StochasticDepth
from striate.ops.graph_adjacency import sort_by_target
from striate.ops.graph_batch import GraphBatch
from striate.ops.inputs import Inputs
from striate.train.losses import CrossEntropy, total_loss

SIDES = {1: 65, 2: 33, 3: 17}
TRAINING_SIDES = {1: 256, 2: 65, 3: 33}
"""Large enough for the last batch norms to see more than a handful of places."""

HEAVY = (
    *(
        "vgg11",
        "alexnet",
        "inception_v3",
        "inception_time_small",
        "tcn_small",
        "kernel_machine",
        "memory_bank",
    ),
    *("efficientnet_v2_s", "googlenet", "densenet121", "resnext50_32x4d"),
)
"""Their volumes take seconds."""

NARROW: dict[str, dict[str, Any]] = {
    "hidden_features": {"hidden_features": (32, 16)},
    "num_landmarks": {"num_landmarks": 6},
    "num_patches": {"num_patches": 6},
    "num_kernel_features": {"num_kernel_features": 840},
    "num_filters": {"num_filters": 20},
    "takes_edges": {},
}
"""Options that keep a network small, by a field that it has."""

NOTHING_TO_TRAIN = {
    "graph_features": "features are fixed, a linear layer alone is fitted to them",
    "hydra": "features are fixed, a linear layer alone is fitted to them",
    "minirocket": "features are fixed, a linear layer alone is fitted to them",
    "multirocket": "features are fixed, a linear layer alone is fitted to them",
    "multirocket_hydra": "features are fixed, a linear layer alone is fitted to them",
    "patch_filters": "filters are patches of items, a linear layer alone is fitted to them",
    "kernel_machine": "landmarks are training items, and a ridge regression is fitted to them",
    "memory_bank": "patches are of training items, and nothing else is learnt",
}
"""Networks whose features are not trained by gradients, and why."""


def smallest_of_each_family() -> list[str]:
    best: dict[str, str] = {}
    for name, variant in MODELS.items():
        other = best.setdefault(variant.family, name)
        if variant.num_parameters < MODELS.get(other).num_parameters:
            best[variant.family] = name
    return list(best.values())


SMALL = smallest_of_each_family()
GRIDS = [name for name in SMALL if MODELS.get(name).ranks]


def cases(names: list[str]) -> list[Any]:
    """Each name with each of its ranks; 0 stands for a graph's."""
    return [
        pytest.param(name, rank, marks=pytest.mark.slow if rank == 3 and name in HEAVY else ())
        for name in names
        for rank in MODELS.get(name).ranks or (0,)
    ]


each_grid = pytest.mark.parametrize("name", GRIDS)
each_family = pytest.mark.parametrize("name", SMALL)
each_family_and_rank = pytest.mark.parametrize(("name", "rank"), cases(SMALL))
each_grid_and_rank = pytest.mark.parametrize(("name", "rank"), cases(GRIDS))


def build(name: str, rank: int | None = None, **options: Any) -> Network:
    """The network, its hidden layers narrow where it has any: they would hold most weights."""
    config = MODELS.get(name).config
    for field, narrow in NARROW.items():
        if getattr(config, field, None):
            options = {**narrow, **options}
    return create_model(name, rank=rank or None, **options)


def inputs(network: Network, sides: dict[int, int] = SIDES) -> Inputs:
    """Four items as the network takes them."""
    config = network.config
    draw = torch.Generator().manual_seed(config.rank)
    if not config.rank:
        edges, _ = sort_by_target(torch.randint(12, (2, 40), generator=draw))
        return GraphBatch(
            nodes=torch.randn(12, config.in_channels, generator=draw),
            edges=edges,
            graph_of_node=torch.arange(12) // 3,
            num_graphs=4,
        )
    side = max(sides[config.rank], network.min_size)
    return torch.randn(4, config.in_channels, *[side] * config.rank, generator=draw)


@each_family_and_rank
def test_a_step_of_training_reaches_every_parameter(name: str, rank: int) -> None:
    torch.manual_seed(0)
    network = build(name, rank, in_channels=2, num_classes=3)
    for module in network.modules():  # without chance
        if isinstance(module, StochasticDepth):
            module.rate = 0.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    given, labels = inputs(network, TRAINING_SIDES), torch.tensor([0, 1, 2, 0])
    loss = total_loss(CrossEntropy(), network(given), labels) / len(labels)
    loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    slope = sum(p.grad.square().sum() for p in network.parameters())
    if name in NOTHING_TO_TRAIN:  # only the last layer, which is fitted otherwise, would move
        return
    with torch.no_grad():
        for parameter in network.parameters():
            # So short that a straight line would lower the loss by a hundredth.
            parameter -= 0.01 * loss / slope * parameter.grad
        assert total_loss(CrossEntropy(), network(given), labels) / len(labels) < loss


@each_family_and_rank
def test_saved_weights_give_equal_outputs(name: str, rank: int, tmp_path: Path) -> None:
    network = build(name, rank, in_channels=2, num_classes=3).eval()
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    again = create_model(name, weights=path, **asdict(network.config)).eval()
    assert again.config == network.config
    assert again.config.rank == rank
    with torch.inference_mode():
        assert torch.equal(network(inputs(network)), again(inputs(network)))


@each_grid_and_rank
def test_blocks_in_order_are_the_features(name: str, rank: int) -> None:
    network = build(name, rank).eval()
    images = inputs(network)
    with torch.inference_mode():
        features = images
        for _, block in network.blocks():
            features = block(features)
        assert torch.equal(features, network.forward_features(images))
        assert torch.equal(network.forward_head(features), network(images))
        assert network.pool(features).flatten(1).shape == (4, network.num_features)
        named = dict(network.named_modules())
        assert all(named[key] is block for key, block in network.blocks())


@each_family_and_rank
def test_intermediates_are_those_that_are_asked_for(name: str, rank: int) -> None:
    network = build(name, rank).eval()
    with torch.inference_mode():
        given = inputs(network)
        features, maps = network.forward_intermediates(given)
        assert torch.equal(features, network.forward_features(given))
        assert not rank or all(part.ndim == rank + 2 for part in maps)
        if maps:
            _, last = network.forward_intermediates(given, 1)
            _, first = network.forward_intermediates(given, [0])
            _, also_last = network.forward_intermediates(given, [-1])
            for got, expected in ((last, maps[-1]), (first, maps[0]), (also_last, maps[-1])):
                assert len(got) == 1 and torch.equal(got[0], expected)
        with pytest.raises(ArgumentError, match=rf"indices=\[{len(maps)}\]"):
            network.forward_intermediates(given, [len(maps)])


@each_grid
def test_channels_last_stays(name: str) -> None:
    if 2 not in MODELS.get(name).ranks:
        pytest.skip("not of images")
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
    if name == "kernel_machine":
        with pytest.raises(ArgumentError, match="fit it to the new items"):
            network.reset_classifier(7)
        assert network.config.num_classes == network.classifier.out_features == 4
        return
    features = network.forward_features(inputs(network))
    network.reset_classifier(7)
    assert torch.equal(network.forward_features(inputs(network)), features)
    assert network(inputs(network)).shape == (4, 7)
    assert network.config.num_classes == network.classifier.out_features == 7
    assert not any(module.training for module in network.modules())
    with pytest.raises(ArgumentError, match="num_classes=0"):
        network.reset_classifier(0)


@pytest.mark.parametrize("name", MODELS.names())
def test_configuration_fits_in_json(name: str) -> None:
    options = asdict(MODELS.get(name).config)
    read = json.loads(json.dumps(options))
    again = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
    assert again == options


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        create_model("resnet5O")
    with pytest.raises(UnknownNameError, match="did you mean 'stochastic_depth'"):
        create_model("efficientnet_b0", stochastic_dept=0.1)
    with pytest.raises(UnknownNameError, match="unknown model 'vggg'"):
        describe("vggg")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet-50", "resnet50"),
        ("ResNet50", "resnet50"),
        ("resnet_50", "resnet50"),
        ("ResNet 50", "resnet50"),
        ("VGG16", "vgg16"),
        ("efficientnet-b0", "efficientnet_b0"),
        ("ConvNeXt-Tiny", "convnext_tiny"),
        ("mini-rocket", "minirocket"),
        ("GIN", "gin"),
    ],
)
def test_other_spellings_are_answered_by_the_name(name: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"did you mean '{meant}'\?"):
        check_model_name(name)
    check_model_name(meant)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("efficientnet_lite0", {"in_channels": 0}, "in_channels=0"),
        ("efficientnet_lite0", {"num_classes": 0}, "num_classes=0"),
        ("efficientnet_lite0", {"num_classes": 2.5}, "num_classes=2.5"),
        ("efficientnet_lite0", {"rank": 4}, "rank=4"),
        ("efficientnet_lite0", {"dropout": 1.0}, "dropout=1.0"),
        ("efficientnet_lite0", {"padding": "valid"}, "choose symmetric or same"),
        ("minirocket", {"rank": 2}, "rank=2 for minirocket: the network has rank 1"),
        ("tri_planar", {"rank": 2}, "rank=2 for tri_planar: the network has rank 3"),
        ("gin", {"rank": 2}, "rank=2 for gin: a graph has no spatial axes"),
    ],
)
def test_bad_arguments_give_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra_axes", "extra_channels", "side", "message"),
    [
        (1, 0, 32, r"takes \d: items, channels, then space"),
        (0, 2, 32, r"build it with in_channels=\d"),
        (0, 0, 0, r"0: the minimum along each axis is \d+"),
    ],
)
@each_grid
def test_bad_inputs_give_one_line(
    name: str, extra_axes: int, extra_channels: int, side: int, message: str
) -> None:
    network = build(name)
    channels, rank = network.config.in_channels + extra_channels, network.config.rank + extra_axes
    with pytest.raises(ArgumentError, match=message):
        network(torch.zeros(2, channels, *[32] * (rank - 1), side))


def test_descriptions_match_a_pattern() -> None:
    names = [row.name for row in describe("resnet1*")]
    assert names == ["resnet18", "resnet101", "resnet152"]
    (row,) = describe("efficientnet_lite0")
    assert (row.family, row.parameters, row.input_size) == ("efficientnet", 4_652_008, 224)
    assert row.weights[0] == "package"
    (row,) = describe("gin")
    assert (row.ranks, row.input_size, row.weights) == ((), None, ())


def test_names_are_listed_by_pattern_and_by_weights() -> None:
    assert sorted(striate.list_models()) == sorted(MODELS.names())
    assert striate.list_models("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert list_models("nothing*") == []
    pretrained = list_models("*", pretrained=True)
    assert {"resnet50", "efficientnet_lite0", "tri_planar"} <= set(pretrained)
    assert not {"gin", "minirocket", "lenet5", "kernel_machine", "memory_bank"} & set(pretrained)
    assert pretrained == [row.name for row in describe(pretrained=True)]


def test_graph_networks_are_networks() -> None:
    network = create_model("gcn")
    assert isinstance(network, GraphNetwork) and isinstance(network, Network)
    assert network.config.rank == network.config.input_size == 0
    with pytest.raises(ArgumentError, match=r"transform\(\) of a network of rank 0"):
        network.transform()


def test_numbers_of_numpy_are_numbers_and_truth_values_are_none() -> None:
    network = create_model("lenet5", num_classes=np.arange(5).max() + 1, in_channels=np.int64(1))
    assert json.loads(json.dumps(asdict(network.config)))["num_classes"] == 5
    with pytest.raises(ArgumentError, match="num_classes=True: it must be a whole number"):
        create_model("lenet5", num_classes=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": None}, "the network is of type NoneType; give its name"),
        ({"name": "lenet5", "weights": True}, 'weights=True; write weights="imagenet"'),
        ({"name": "lenet5", "pretrained": True}, 'pretrained=True; write weights="imagenet"'),
    ],
)
def test_what_other_libraries_take_is_refused_with_what_to_write(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        create_model(**options)
