"""The numbers that the page shows of a cell make the number that torch's own layer gave."""

import json
import math

import numpy as np
import pytest
import torch
from tests.explorer.conftest import hooked, session_of

from striate.errors import ArgumentError
from striate.explorer.numbers import unpacked

NETWORKS = {
    "lenet": ("lenet5", (3, 32, 32)),
    "lenet-1998": ("lenet5_original", (1, 32, 32)),
    "text": ("[conv6-bn-relu]x2-avgpool3-conv9k5s2d2-ln-gelu-gmp-fc7-tanh-fc5", (3, 25, 22)),
    "vgg": ("vgg11", (3, 32, 32)),
    "resnet": ("resnet18", (3, 40, 33)),
    "inception": ("googlenet", (3, 37, 32)),
    "efficientnet-lite": ("efficientnet_lite0", (3, 35, 32)),
    "efficientnet": ("efficientnet_b0", (3, 32, 32)),
    "convnext": ("convnext_tiny", (3, 32, 40)),
    "series": ("inception_time", (2, 70)),
    "volume": ("resnet18", (1, 17, 16, 18)),
}
LONG = ("lenet-1998", "vgg", "efficientnet")
"""Of these the others leave little to test, and they take seconds."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in NETWORKS],
)
def looked(request):
    name, shape = NETWORKS[request.param]
    session = session_of(name, shape)
    return session, hooked(session.subject.network, session.walked(0).x)


def some_cells(grid, rng):
    """A corner, where windows reach into the padding, and a place anywhere."""
    corner = [size - 1 for size in grid.space]
    anywhere = [int(rng.integers(size)) for size in grid.space]
    return [(int(rng.integers(grid.channels)), place) for place in (corner, anywhere)]


def total(cell):
    """What the numbers shown add up to, computed here."""
    form = cell["form"]
    if form == "products":
        window, kernel = (unpacked(cell[key]).astype(np.float64) for key in ("window", "kernel"))
        return (window * kernel).sum() + (cell["bias"] or 0)
    if form == "window":
        window = unpacked(cell["window"])[0].astype(np.float64)
        for axis, (start, step, size) in enumerate(
            zip(cell["start"], cell["step"], cell["space"], strict=True)
        ):
            index = start + step * np.arange(window.shape[axis])
            window = np.compress((index >= 0) & (index < size), window, axis)
        return window.max() if cell["operation"] == "maximum" else window.sum() / cell["count"]
    if form == "norm":
        if "vector" in cell:
            vector = unpacked(cell["vector"]).astype(np.float64)
            assert (vector.mean(), vector.var()) == pytest.approx((cell["mean"], cell["variance"]))
        spread = math.sqrt(cell["variance"] + cell["epsilon"])
        return (cell["x"] - cell["mean"]) / spread * cell["scale"] + cell["shift"]
    if form == "terms":
        first, *others = (term["value"] for term in cell["terms"])
        if cell["operation"] in ("add", "subtract"):
            return first + sum(others) if cell["operation"] == "add" else first - sum(others)
        product = math.prod(others)
        return first * product if cell["operation"] == "multiply" else first / product
    return cell["result"]


def torchs(seen, name, grid, channel, place):
    """Torch's own number of a module."""
    values = seen[name][0].double().numpy()
    return np.moveaxis(np.atleast_1d(values), -1 if grid.channels_last else 0, 0)[(channel, *place)]


def test_every_number_is_torchs(looked):
    session, seen = looked
    rng = np.random.default_rng(0)
    forms = set()
    for number, node in enumerate(session.network["nodes"]):
        grid = session.walked(0).grids[number]
        for channel, place in some_cells(grid, rng):
            cell = json.loads(json.dumps(session.cell(0, number, channel, place)))
            assert cell["form"] != "none", (node["name"], cell["why"])
            forms.add(cell["form"])
            assert total(cell) == pytest.approx(cell["value"], rel=1e-4, abs=1e-4), node["name"]
            if node["name"] in seen:  # a function has no hook
                own = torchs(seen, node["name"], grid, channel, place)
                assert cell["value"] == pytest.approx(own, rel=1e-4, abs=1e-4), node["name"]
            for step in cell["then"]:
                after = session.network["nodes"][step["node"]]["name"]
                own = torchs(seen, after, session.walked(0).grids[step["node"]], channel, place)
                assert step["value"] == pytest.approx(own, rel=1e-4, abs=1e-4), after
                assert total(step) == pytest.approx(own, rel=1e-4, abs=1e-4), after
    assert {"products", "window", "function"} <= forms


def test_softmax_is_torchs(looked):
    session, seen = looked
    expected = torch.softmax(seen[""][0].double(), 0)
    outputs = session.item(0)["outputs"]
    assert len(outputs) == min(len(expected), 1000)
    powers = sum(each["power"] for each in outputs)
    for each in outputs[:20]:
        assert each["share"] == pytest.approx(expected[each["number"]].item(), abs=1e-4)
        assert each["power"] / powers == pytest.approx(each["share"], abs=1e-4)
        assert each["logit"] == pytest.approx(seen[""][0, each["number"]].item(), abs=1e-4)


def test_the_maps_are_torchs(looked):
    session, _ = looked
    for number in range(0, len(session.network["nodes"]), 5):
        grid = session.walked(0).grids[number]
        if not grid.space:
            values = unpacked(session.vector(0, number)["values"])
            np.testing.assert_array_equal(values, grid.array)
            continue
        found = session.map(0, number, grid.channels - 1, None)
        values, array = unpacked(found["values"]), grid.array[-1]
        np.testing.assert_array_equal(
            values, array if found["depth"] is None else array[found["depth"]]
        )


def test_what_follows_a_convolution_is_shown_with_it():
    session = session_of("conv6-bn-relu-gap-fc3", (3, 9, 9))
    kinds = [
        session.network["nodes"][s["node"]]["kind"] for s in session.cell(0, 0, 1, [4, 4])["then"]
    ]
    assert kinds == ["BatchNorm2d", "ReLU"]


def test_a_depthwise_window_is_of_its_own_channel():
    session = session_of("convnextv2_atto", (3, 32, 32))
    number = next(n for n, x in enumerate(session.network["nodes"]) if "depthwise" in x["what"])
    cell = session.cell(0, number, 5, [0, 0])
    assert cell["channels"] == [5, 1]
    assert (cell["start"], cell["window"]["shape"]) == ([-3, -3], [1, 7, 7])


def test_a_place_that_is_not_there_is_refused(lenet):
    for node, channel, place in (
        (0, 6, [0, 0]),
        (0, 0, [28, 0]),
        (0, 0, [-1, 0]),
        (0, 0, [0]),
        (99, 0, []),
    ):
        with pytest.raises(ArgumentError):
            lenet.cell(0, node, channel, place)


def test_steps_that_do_not_give_the_number_are_not_shown(lenet, monkeypatch):
    from striate.explorer.steps import windows

    monkeypatch.setattr(windows, "padding_of", lambda conv, space: ((1, 1),) * len(space))
    assert lenet.cell(0, 0, 0, [5, 5])["form"] == "none"
