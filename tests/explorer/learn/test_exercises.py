"""The answers of the exercises, found again with torch."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.explorer.conftest import hooked, session_of

from striate.explorer.learn.exercises import EXERCISES, PLAYGROUND, _nth
from striate.explorer.numbers import unpacked

NETWORKS = {
    "lenet": ("lenet5", (3, 32, 32)),
    "text": ("conv6-bn-relu-maxpool-conv8k3s2d2-relu-gap-fc4", (3, 20, 18)),
    "resnet": ("resnet18", (3, 64, 64)),
    "series": ("conv6k5-relu-avgpool2-conv6k3-gap-fc3", (2, 70)),
    "volume": ("conv4k3-bn-relu-maxpool-conv4-gap-fc3", (1, 8, 9, 7)),
}
SIZE, KERNEL, FIELD, WEIGHTS, STRIDE = EXERCISES
SEEDS = range(3)


@pytest.fixture(scope="module", params=NETWORKS)
def session(request):
    return session_of(*NETWORKS[request.param])


@pytest.fixture(scope="module")
def seen(session):
    return hooked(session.subject.network, session.walked(0).x)


def asked(session, name, seed):
    return next(each for each in session.exercises(0, seed) if each["name"] == name)


def layer(session, number):
    """A layer's module, its name, and what it takes."""
    node = session.network["nodes"][number]
    module = session.subject.network.get_submodule(node["name"])
    return module, node["name"], session.walked(0).found[number].operands[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_size_is_that_of_torchs_output(session, seen, seed):
    exercise = asked(session, SIZE, seed)
    _, name, _ = layer(session, exercise["look"]["node"])
    assert exercise["answer"] == seen[name].shape[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_kernel_makes_the_map(session, seen, seed):
    exercise = asked(session, KERNEL, seed)
    number, channel = exercise["look"]["node"], exercise["look"]["channel"]
    module, name, _ = layer(session, number)
    right = exercise["answer"]
    assert exercise["channels"][right] == channel
    assert len(set(exercise["channels"])) == len(exercise["channels"]) > 1
    given = exercise["numbers"]
    position = given["position"]
    assert given["value"] == pytest.approx(seen[name][(0, channel, *position)].item(), abs=1e-4)
    window = unpacked(given["window"]).astype(np.float64)
    biases = [bias or 0 for bias in given["biases"]]
    sums = [(window * unpacked(k)).sum() + b for k, b in zip(given["kernels"], biases, strict=True)]
    assert sums[right] == pytest.approx(given["value"], abs=1e-4)
    others = [total for i, total in enumerate(sums) if i != right]
    assert min(abs(total - given["value"]) for total in others) > 1e-3  # computing finds it
    own = module.weight[channel].detach().numpy()
    np.testing.assert_array_equal(unpacked(given["kernels"][right]), own)
    levels = unpacked(exercise["maps"]["levels"])[right]
    torchs = seen[name][0, channel].numpy()
    flat = torchs[torchs.shape[0] // 2] if torchs.ndim == 3 else torchs
    np.testing.assert_allclose(
        (levels.astype(float) - 128) / 127 * exercise["maps"]["scale"],
        flat,
        atol=exercise["maps"]["scale"] / 127,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_field_is_the_support_of_a_gradient(session, seed):
    exercise = asked(session, FIELD, seed)
    number = exercise["look"]["node"]
    _, name, _ = layer(session, number)
    network = smooth(session.subject.network)
    big = (1, session.walked(0).x.shape[1], *(200,) * (session.walked(0).x.ndim - 2))
    if len(big) == 5:
        big = (*big[:2], 48, 48, 48)
    x = torch.ones(big, requires_grad=True)
    kept = {}
    hook = network.get_submodule(name).register_forward_hook(lambda _, __, y: kept.update(y=y))
    network(x)
    hook.remove()
    y = kept["y"][0, 0]
    y[tuple(n // 2 for n in y.shape)].backward()
    reached = x.grad[0].abs().sum(0)
    along = reached.amax(tuple(range(reached.ndim - 1))) if reached.ndim > 1 else reached
    places = along.nonzero()[:, 0]
    assert exercise["answer"] == int(places[-1] - places[0]) + 1


def smooth(network):
    """A copy whose gradients reach all that a unit can see: positive weights, means for maxima."""
    network = copy.deepcopy(network).eval()
    for name, module in list(network.named_modules()):
        if getattr(module, "weight", None) is not None:
            module.weight.data.abs_().add_(0.01)
        if type(module).__name__.startswith("MaxPool"):
            rank = type(module).__name__[-2:]
            kind = getattr(torch.nn, f"AvgPool{rank}")
            parent, _, last = name.rpartition(".")
            mean = kind(module.kernel_size, module.stride, module.padding)
            setattr(network.get_submodule(parent), last, mean)
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.zero_()
        if getattr(module, "bias", None) is not None:
            module.bias.data.abs_()
    return network


@pytest.mark.parametrize("seed", SEEDS)
def test_the_layer_with_most_weights_has_most(session, seed):
    exercise = asked(session, WEIGHTS, seed)
    right = exercise["options"][exercise["answer"]]
    counts = {}
    for name, module in session.subject.network.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        for option in exercise["options"]:
            if f"({name})" in option:
                counts[option] = own
    assert len(counts) == len(exercise["options"])
    assert max(counts, key=counts.get) == right
    assert sum(count == counts[right] for count in counts.values()) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stride_does_what_torch_does_with_it(session, seed):
    exercise = asked(session, STRIDE, seed)
    found = [
        node
        for node in session.network["nodes"]
        if f"({node['name']})" in exercise["question"] and node["window"]
    ]
    (node,) = found
    module = session.subject.network.get_submodule(node["name"])
    given = session.walked(0).found[session.network["nodes"].index(node)].operands[0]
    pads = [end for low_high in reversed(node["window"]["padding"]) for end in low_high]
    rank = given.ndim - 2
    function = getattr(F, f"conv{rank}d")
    strides = [2 * s for s in node["window"]["stride"]]
    made = function(
        F.pad(given, pads), module.weight, None, strides, 0, module.dilation, module.groups
    )
    right = exercise["options"][exercise["answer"]]
    assert right.startswith(f"The map gets {' × '.join(map(str, made.shape[2:]))} places")


def test_the_same_seed_asks_the_same(session):
    assert session.exercises(0, 1) == session.exercises(0, 1)
    assert session.exercises(0, 1) != session.exercises(0, 2)


def test_a_network_without_windows_says_why_it_asks_nothing():
    made = session_of("minirocket", (1, 256)).exercises(0, 0)
    assert [each["form"] for each in made] == ["missing"] * 5
    assert all(each["missing"].endswith(".") for each in made)


def test_the_ends_of_the_sliders_are_those_of_the_page():
    from striate.explorer.app import page_files

    for name, most in PLAYGROUND.items():
        assert any(
            line.startswith(f'["{name}"') and f", {most}, " in line
            for line in page_files()["playground.js"].replace("], [", "],\n[").splitlines()
            for line in [line.strip()]
        ), name


def test_places_are_counted_in_english():
    said = [_nth(number) for number in (2, 3, 4, 11, 12, 21, 32, 112)]
    assert said == ["second", "3rd", "4th", "11th", "12th", "21st", "32nd", "112th"]


def test_each_step_of_a_field_is_an_equation(session):
    exercise = asked(session, FIELD, 0)
    steps = exercise["because"].partition(":")[0].split("; ")
    for step in steps:
        left, right = step.replace("·", "*").split(" = ")
        assert eval(left) == int(right)
    assert steps[-1].endswith(f"= {exercise['answer']}")
