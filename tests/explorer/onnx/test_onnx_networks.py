"""Networks that torch exported: what the page shows of the file is what torch's own layers give."""

import json

import numpy as np
import pytest
import torch
from tests.explorer.conftest import hooked, lively
from tests.explorer.test_cells import some_cells, total
from torch import nn

import striate
from striate.explorer.session import Session
from striate.explorer.subjects.onnx_subject import OnnxSubject

NETWORKS = {
    "lenet": ("lenet5", (3, 32, 32), {}),
    "text": (
        "[conv6-bn-relu]x2-avgpool3-conv9k5s2d2-ln-gelu-gmp-fc7-tanh-fc5",
        (3, 25, 22),
        {"dynamo": True, "opset": 18},
    ),
    "vgg": ("vgg11_bn", (3, 64, 64), {"dynamo": True, "opset": 18}),
    "resnet": ("resnet18", (3, 40, 33), {}),
    "inception": ("googlenet", (3, 37, 32), {}),
    "efficientnet": ("efficientnet_lite0", (3, 35, 32), {"dynamo": True}),
    "mobilenet": ("mobilenet_v3_small", (3, 32, 32), {"dynamo": True}),
    "densenet": ("densenet121", (3, 32, 32), {}),
    "convnext": ("convnextv2_atto", (3, 32, 40), {"dynamo": True, "opset": 20}),
    "vit": ("vit_ti_16", (3, 32, 32), {"dynamo": True, "opset": 18}),
    "series": ("inception_time", (2, 70), {"dynamo": True}),
    "volume": ("resnet18", (1, 17, 16, 18), {}),
    "old": ("resnet18", (3, 32, 32), {"opset": 11}),
}
QUICK = ("text", "resnet", "series", "volume")
"""The others take seconds, and have the same operators in other orders."""


class Tied(nn.Module):
    """A network whose layers are functions, with a branch, a constant and a tied layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="zeros")
        self.same = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.rand(4, 1, 1) + 0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        x = torch.cat([self.same(x) * self.scale, x], 1)[:, ::2]
        x = self.same(x) - x / 3
        return self.head(nn.functional.max_pool2d(x, 2).mean((2, 3))).softmax(1)


def network_of(name):
    made, shape, options = NETWORKS[name]
    torch.manual_seed(0)
    size = {"input_size": shape[1]} if made.startswith("vit") else {}
    network = striate.create_model(
        made, rank=len(shape) - 1, in_channels=shape[0], num_classes=5, weights=None, **size
    )
    return lively(network).eval(), shape, options


@pytest.fixture(
    scope="module",
    params=[n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def looked(request, written):
    network, shape, options = network_of(request.param)
    path = written(request.param, network, shape, **options)
    session = Session(OnnxSubject(path))
    return session, network, hooked(network, session.walked(0).x)


def test_the_logits_are_torchs_and_onnx_runtimes(looked):
    session, _, seen = looked
    logits = seen[""][0].numpy()
    got = session.walked(0).logits
    assert np.abs(got - logits).max() <= 1e-4 * np.abs(logits).max()
    note = session.network["notes"][-1]
    assert note.startswith("Its logits equal those of ONNX Runtime to ")
    assert float(note.split()[-1].rstrip(".")) < 1e-4


def test_every_number_is_the_files(looked):
    session, *_ = looked
    rng = np.random.default_rng(0)
    hidden = set()
    for number, node in enumerate(session.network["nodes"]):
        grid = session.walked(0).grids[number]
        for channel, place in some_cells(grid, rng):
            cell = json.loads(json.dumps(session.cell(0, number, channel, place)))
            if cell["form"] == "none":
                hidden.add(node["kind"])
                continue
            # Sums of many large terms are rounded by float32 in proportion to the terms.
            near = 1e-4 * max(1.0, float(np.abs(grid.array).max()))
            assert total(cell) == pytest.approx(cell["value"], rel=1e-4, abs=near), node["name"]
    assert hidden <= {"index", "where", "linalg_vector_norm"}


def test_layers_have_the_names_and_the_numbers_of_torchs(looked):
    """Norms are folded and pools renamed by the exporters; what kept its name is compared."""
    session, network, seen = looked
    modules = dict(network.named_modules())
    compared = 0
    for number, node in enumerate(session.network["nodes"]):
        module = modules.get(node["name"])
        if module is None or type(module).__name__ != node["kind"]:
            continue
        found = session.walked(0).found[number].output
        wanted = seen[node["name"]]
        weight = getattr(module, "weight", None)
        is_folded = weight is not None and not torch.equal(
            session.walked(0).found[number].module.weight, weight
        )
        if is_folded or found.shape != wanted.shape:
            continue
        compared += 1
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max(), node["name"]
    assert compared >= 2


def test_fields_and_costs_are_those_of_the_network(looked):
    from striate.analysis import summary

    session, network, _ = looked
    document = session.network
    expected = summary(network, tuple(document["input_shape"]))
    assert document["multiply_adds"] == pytest.approx(expected.multiply_adds, rel=0.02)
    last = {node["name"]: node for node in document["nodes"]}
    compared = 0
    for layer in expected.layers:
        node = last.get(layer.name)
        if (
            node is None
            or node["kind"] != layer.kind
            or not (layer.space and node["space"] and node["fields"])
        ):
            continue
        compared += 1
        assert node["space"] == list(layer.space)
        for field, own in zip(node["fields"], layer.fields, strict=True):
            assert (field is None) == (own is None)
            if own is not None:
                assert (field["size"], field["jump"]) == (float(own.size), float(own.jump))
    assert compared >= 1


def test_evidence_and_fields_are_found(looked):
    session, *_ = looked
    found = session.evidence(0)
    assert found["method"] in ("gradcam", "occlusion")
    assert session.verdict(0)["faithful"] in (True, False, None)
    number = next(
        n for n, node in enumerate(session.network["nodes"]) if node["kind"].startswith("Conv")
    )
    space = session.network["nodes"][number]["space"]
    assert session.effective(0, number, [size // 2 for size in space])["size"]


def test_functions_constants_and_tied_layers(written):
    torch.manual_seed(0)
    network = Tied()
    session = Session(OnnxSubject(written("tied", network, (3, 12, 10), dynamo=True, opset=18)))
    expected = network(session.walked(0).x)[0].detach()
    shares = {each["number"]: each["share"] for each in session.item(0)["outputs"]}
    assert [shares[k] for k in range(3)] == pytest.approx(expected.tolist(), abs=1e-5)
    kinds = [node["kind"] for node in session.network["nodes"]]
    assert {"MultiplyConstant", "DivideConstant", "sub", "cat", "MaxPool2d"} <= set(kinds)
    assert session.network["parameters"] == sum(p.numel() for p in network.parameters())
    rng = np.random.default_rng(0)
    for number, node in enumerate(session.network["nodes"]):
        for channel, place in some_cells(session.walked(0).grids[number], rng):
            cell = session.cell(0, number, channel, place)
            assert cell["form"] != "none", node
            assert cell["result"] == pytest.approx(cell["value"], rel=1e-4, abs=1e-5)
    assert any("softmax" in note.lower() for note in session.network["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "mobilenet_v2",
        "efficientnet_b0",
        "squeezenet1_1",
        "shufflenet_v2_x1_0",
        "alexnet",
    ],
)
def test_networks_of_torchvision(name, written):
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    network = lively(getattr(models, name)(weights=None, num_classes=6)).eval()
    session = Session(
        OnnxSubject(written(f"tv_{name}", network, (3, 64, 64), dynamo=True, opset=18))
    )
    with torch.no_grad():
        expected = network(session.walked(0).x)[0].numpy()
    assert np.abs(session.walked(0).logits - expected).max() <= 1e-4 * np.abs(expected).max()
    assert session.network["nodes"]
