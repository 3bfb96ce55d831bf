"""The field of every variant, in every rank, against the support of a gradient."""

import pytest
import torch
from tests.analysis.positive import (
    Features,
    inside,
    last_map,
    make_linear,
    make_one_map,
    room,
    support,
)

from striate.analysis import receptive_field
from striate.models import MODELS, create_model
from striate.nn.attention import SelfAttention
from striate.nn.blocks import GlobalResponseNorm, SqueezeExcite

GLOBAL = (SqueezeExcite, GlobalResponseNorm, SelfAttention)
"""What makes every position see everything."""

KNOWN = {"vgg16": 212, "alexnet": 195, "resnet50": 427}

FAST = (
    "alexnet", "efficientnet_lite0", "googlenet", "lenet5", "lenet5_original", "mobilenet_v2",
    "resnet18", "vgg16",
)  # fmt: skip
ONE_AXIS = (
    "convnext_tiny", "densenet121", "inception_time_small", "inception_v3", "resnet50", "tcn_small",
)  # fmt: skip
"""Fast too, as series."""

SHORT = {"googlenet": 80}
"""The other axes: as short as torch's average pooling of volumes takes; by default 33."""


def is_fast(name, rank):
    if rank == 1:
        return name in FAST + ONE_AXIS
    return name in FAST and (name, rank) != ("googlenet", 3)


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        pytest.param(name, rank, marks=() if is_fast(name, rank) else pytest.mark.slow)
        for name in MODELS.names()
        for rank in (1, 2, 3)
    ],
)
def test_field_is_the_support_of_a_gradient(name, rank):
    with torch.device("meta"):
        network = Features(create_model(name, rank=rank, in_channels=1))
        counterpart = Features(create_model(name, rank=rank, in_channels=1))
    short = shortest(network, name)
    if any(isinstance(module, GLOBAL) for module in network.modules()):
        assert receptive_field(network, (1, *short))[-1].receptive_field is None
        return
    fields = last_map(network, (1, *short)).fields
    if name in KNOWN:
        assert [field.size for field in fields] == [KNOWN[name]] * rank
    make_one_map(counterpart, rank)
    for axis in range(rank):
        space = [*short]
        space[axis] = max(room(fields[axis]), short[axis])
        check_axis(network, counterpart, axis, space)


def shortest(network, name):
    """A side that the network takes with average pooling in place of maximum pooling."""
    return [max(network.model.min_size, SHORT.get(name, 33))] * network.model.config.rank


def check_axis(network, counterpart, axis, space):
    """The field of the middle along one axis, all of it inside the input."""
    layer = last_map(network, (1, *space))
    field, size = layer.fields[axis], space[axis]
    index = [n // 2 for n in layer.space]
    index[axis] = inside(field, size, layer.space[axis])
    assert index[axis] is not None
    seen = field.positions(index[axis], size)
    assert support(counterpart, (1, *space), index)[axis] == (seen[0], seen[-1])
    assert len(seen) == layer.receptive_field[axis]


FULL = (
    "alexnet", "convnext_tiny", "densenet121", "googlenet", "inception_v3", "lenet5",
    "lenet5_original", "mobilenet_v2", "resnet50", "vgg11_bn",
)  # fmt: skip
FULL_VOLUMES = ("resnet18", "efficientnet_lite0")
"""Variants whose gradient is computed with all their maps in rank 3 too."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FULL, *FULL_VOLUMES])
def test_all_maps_together_see_what_one_sees(name):
    """The same of full networks, so that one map in place of many is known to be no change."""
    for rank in (1, 2, 3) if name in FULL_VOLUMES else (1, 2):
        model = Features(create_model(name, rank=rank, in_channels=1))
        short = shortest(model, name)
        fields = last_map(model, (1, *short)).fields
        make_linear(model, rank)
        for axis in range(rank):
            space = [*short]
            space[axis] = max(room(fields[axis]), short[axis])
            check_axis(model, model, axis, space)
