"""The engine against gradients, against torchvision's published costs, and on odd modules."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis.positive import (
    Branches,
    Features,
    inside,
    last_map,
    make_linear,
    room,
    support,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from striate.analysis import min_input_side
from striate.analysis.walk import walk
from striate.errors import ArgumentError
from striate.models import create_model
from striate.nn.ranks import layers


@st.composite
def networks(draw):
    """Small random networks of convolutions, pools, sums and concatenations, and their rank."""
    rank = draw(st.integers(1, 3))
    named = layers(rank)

    def conv(into, kernel, stride, dilation=1):
        padding = draw(st.integers(0, dilation * (kernel - 1) // 2))
        return named.conv(into, 2, kernel, stride, padding, dilation)

    modules, channels = [], 2
    for _ in range(draw(st.integers(1, 4))):
        match draw(st.sampled_from(["conv", "pool", "add", "cat"])):
            case "conv":
                kernel = draw(st.integers(1, 3))
                stride, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
                modules.append(conv(channels, kernel, stride, dilation))
                channels = 2
            case "pool":
                kernel = draw(st.integers(2, 3))
                modules.append(named.avg_pool(kernel, draw(st.integers(1, 2)), kernel // 2))
            case join:
                same = named.conv(channels, channels, 3, padding=2, dilation=2)
                far = named.conv(channels, channels, 5, padding=2)
                other = draw(st.sampled_from([nn.Identity(), far]))
                modules.append(Branches(same, other, join=join))
                channels *= 2 if join == "cat" else 1
    return rank, nn.Sequential(*modules)


def check_against_gradients(model, rank, in_channels, short=None):
    """Along each axis, with the others short where that saves time."""
    for axis in range(rank) if short else range(1):
        guess = [short or 48] * rank
        guess[axis] = max(guess[axis], 512 if short else 48)
        field = last_map(model, (in_channels, *guess)).fields[axis]
        side = room(field)
        space = [short or side] * rank
        space[axis] = max(side, short or side)
        layer = last_map(model, (in_channels, *space))
        index = [n // 2 for n in layer.space]
        axes = [axis] if short else range(rank)
        for a in axes:
            index[a] = inside(layer.fields[a], space[a], layer.space[a])
            assert index[a] is not None
        bounds = support(model, (in_channels, *space), index)
        for a in axes:
            seen = layer.fields[a].positions(index[a], space[a])
            assert bounds[a] == (seen[0], seen[-1])
            assert len(seen) == layer.receptive_field[a]


@settings(max_examples=40, deadline=None)
@given(networks())
def test_random_networks_see_what_their_gradient_says(network):
    rank, model = network
    check_against_gradients(make_linear(model, rank), rank, 2)


@pytest.mark.parametrize(
    ("name", "expected"), [("vgg16", 212), ("alexnet", 195), ("squeezenet1_0", None)]
)
def test_torchvision_features(name, expected):
    model = make_linear(getattr(torchvision.models, name)().features, 2)
    layer = last_map(model, (3, 224, 224))
    assert expected is None or layer.receptive_field == (expected, expected)
    check_against_gradients(model, 2, 3, short=32 if name != "alexnet" else 63)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_resnet18_in_every_rank(rank):
    model = Features(create_model("resnet18", rank=rank, in_channels=1))
    assert last_map(model, (1, *(64,) * rank)).receptive_field == (435,) * rank
    if rank < 3:
        check_against_gradients(make_linear(model, rank), rank, 1, short=33)


def test_reshapes_that_move_space_are_followed():
    class Rearranged(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3)
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            n, c, h, w = x.shape
            x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4)  # space to depth
            x = self.conv(x.reshape(n, 4 * c, h // 2, w // 2))
            x = self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return x[:, :, 1:-1, ::2]

    model = make_linear(Rearranged(), 2)
    layer = last_map(model, (2, 32, 32))
    rows, columns = layer.fields
    assert (rows.size, rows.jump, rows.start) == (6, 2, 2)
    assert (columns.size, columns.jump, columns.start) == (6, 4, 0)
    seen = [f.positions(i, 32) for f, i in zip(layer.fields, (4, 3), strict=True)]
    assert support(model, (2, 32, 32), (4, 3)) == [(s[0], s[-1]) for s in seen]


def test_space_that_was_split_is_put_together_again():
    def selects(x):
        corners = [x[:, :, i::2, j::2] for i in range(2) for j in range(2)]
        return torch.cat(corners, 1)

    def blocks(x):
        n, c, h, w = x.shape
        x = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 1, 3, 5)
        x = x.reshape(n * h // 4 * w // 4, c, 4, 4) * 2
        x = x.view(n, h // 4, w // 4, c, 4, 4).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(n, c, h, w)

    def unshuffled(x):
        n, c, h, w = x.shape
        return x.view(n, c, h // 2, 2, w // 2, 2)[:, :, :, 1, :, 0]

    for function, expected in (
        (selects, ((4, 4), (2, 2), (-1, -1))),
        (blocks, ((3, 3), (1, 1), (-1, -1))),
        (unshuffled, ((3, 3), (2, 2), (0, -1))),
        (lambda x: F.pixel_unshuffle(x, 2), ((4, 4), (2, 2), (-1, -1))),
    ):
        layer = walk(Functional(function), (3, 16, 16))[0][-1]
        assert (layer.receptive_field, layer.jump, layer.start) == expected


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["nearest", "linear", "transposed", "shuffle"])
def test_upsampling_sees_at_least_its_gradient_and_at_most_one_more_a_side(rank, mode):
    named = layers(rank)
    if mode == "shuffle" and rank != 2:
        pytest.skip("torch shuffles pixels in rank 2 only")
    up = {
        "nearest": nn.Upsample(scale_factor=2),
        "linear": nn.Upsample(scale_factor=3, mode=["linear", "bilinear", "trilinear"][rank - 1]),
        "transposed": named.conv_transpose(2, 2, 4, 2, 1),
        "shuffle": nn.Sequential(nn.Conv2d(2, 8, 1), nn.PixelShuffle(2)),
    }[mode]
    model = nn.Sequential(named.conv(2, 2, 3, 2, 1), up, named.conv(2, 2, 3, 1, 1))
    model = make_linear(model, rank)
    shape = (2, *(24,) * rank)
    layer = last_map(model, shape)
    for index in range(layer.space[0] // 2, layer.space[0] // 2 + 3):
        for (first, last), field in zip(
            support(model, shape, (index,) * rank), layer.fields, strict=True
        ):
            seen = field.positions(index, 24)
            assert seen[0] <= first
            assert seen[-1] >= last
            assert len(seen) - (last - first + 1) <= 2 * 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0]


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    "model",
    [
        Attention(),
        Functional(lambda x: F.adaptive_avg_pool2d(x, 1)),
        Functional(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
        Functional(lambda x: x.flatten(2).softmax(-1).view_as(x)),
        Functional(lambda x: F.group_norm(x, 2)),
        Functional(lambda x: F.instance_norm(x)),
        Functional(lambda x: F.pad(x, (1, 1, 1, 1), mode="circular")),
        Functional(lambda x: torch.einsum("nchw,ncxy->nhwxy", x, x)),
        Functional(lambda x: torch.fft.fft2(x).real),
        Functional(lambda x: x.roll(1, 2)),
        Functional(lambda x: x.flip(2)),
        Functional(lambda x: x.sort(2).values),
        Functional(lambda x: x + x.transpose(2, 3)),
    ],
)
def test_global_operations_see_everything(model):
    layers, _ = walk(model, (3, 16, 16))
    assert layers[-1].receptive_field is None
    first = next(layer for layer in layers if layer.multiply_adds)
    assert first.receptive_field in ((3, 3), (4, 4))


def test_a_mean_over_one_axis_leaves_the_other():
    layer = walk(Functional(lambda x: x.mean(3)), (3, 16, 16))[0][-1]
    assert layer.receptive_field == (3, None)
    assert layer.jump == (1, None)


def test_an_operator_without_a_rule_is_named():
    assert walk(Functional(lambda x: x.roll(1, 2)), (3, 16, 16))[1] == ("aten.roll",)
    assert walk(torchvision.models.resnet18(), (3, 64, 64))[1] == ()


@pytest.mark.parametrize(
    "name", ["resnet50", "mobilenet_v3_small", "shufflenet_v2_x0_5", "vit_b_16"]
)
def test_costs_equal_an_independent_count(name):
    with torch.device("meta"):
        model = getattr(torchvision.models, name)().eval()
    layers, _ = walk(model, (3, 224, 224))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, 224, 224, device="meta"))
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    products = sum(layer.multiply_adds for layer in layers)
    assert sum(layer.parameters for layer in layers) == published["num_params"]
    assert products / 1e9 == pytest.approx(published["_ops"], abs=6e-4)
    if name != "vit_b_16":  # the counter does not see torch's fused attention
        assert products == counter.get_total_flops() / 2


def test_functional_calls_count_as_layers_do():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.weight = nn.Parameter(torch.zeros(8, 3, 3, 3))

        def forward(self, x):
            return self.act(F.conv2d(x, self.weight, stride=2))

    first, second = walk(Plain(), (3, 9, 9))[0]
    assert (first.name, first.parameters, first.multiply_adds) == ("convolution", 216, 216 * 16)
    assert first.dense_parameters == 3 * 81 * 8 * 16
    assert (second.name, second.kind, second.output_shape) == ("act", "ReLU", (8, 4, 4))
    assert second.receptive_field == (3, 3)
    assert second.memory == 8 * 16 * 4


def test_the_model_is_left_as_it_was():
    model = torchvision.models.resnet18()
    model.layer1.eval()
    before = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    walk(model, (3, 64, 64))
    assert [m.training for m in model.modules()] == before
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_input_too_small_names_the_minimal_side():
    model = nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.Conv2d(4, 4, 3))
    assert min_input_side(model, 3, 2) == 9
    with pytest.raises(ArgumentError, match=r"input of 3 x 8 x 8.*the minimal side is 9"):
        walk(model, (3, 8, 8))
    with pytest.raises(ArgumentError, match="does not take an input of 4 x 20 x 20"):
        walk(model, (4, 20, 20))
    with pytest.raises(ArgumentError, match="positive sizes"):
        walk(model, (3, 0, 20))


def test_borders_count_the_outputs_that_see_padding():
    layer = walk(nn.Conv1d(1, 1, 5, 2, padding=2), (1, 10))[0][-1]
    assert layer.borders == ((1, 1),)
    assert layer.start == (-2,)
