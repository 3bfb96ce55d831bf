"""The effective field of any unit is the gradient that torch gives."""

import numpy as np
import pytest
import torch
from tests.explorer.conftest import session_of

from striate.errors import ArgumentError
from striate.explorer.numbers import unpacked


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv6-bn-relu-maxpool-conv8k3-relu-gap-fc4", (3, 20, 18)),
        ("conv6k5-relu-conv6k3-gap-fc3", (2, 40)),
        ("conv4k3-relu-conv4k3-gap-fc3", (1, 8, 9, 7)),
    ],
)
def test_it_is_torchs_gradient(name, shape):
    session = session_of(name, shape)
    nodes = session.network["nodes"]
    number = max(n for n, node in enumerate(nodes) if node["kind"].startswith("Conv"))
    position = [n // 3 for n in nodes[number]["space"]]
    found = session.effective(0, number, position)
    x = session.walked(0).x.clone().requires_grad_(True)
    module = session.subject.network.get_submodule(nodes[number]["name"])
    kept = []
    hook = module.register_forward_hook(lambda _, __, y: kept.append(y.clone()))
    session.subject.network(x)
    hook.remove()
    kept[0][(0, slice(None), *position)].sum().backward()
    weight = x.grad[0].abs().mean(0).numpy()
    flat = weight.sum(0) if weight.ndim == 3 else np.atleast_2d(weight)
    np.testing.assert_allclose(unpacked(found["levels"]), 255 * np.sqrt(flat / flat.max()), atol=1)
    fields = nodes[number]["fields"]
    assert all(n <= field["size"] for n, field in zip(found["size"], fields, strict=True))


def test_each_place_has_its_own():
    session = session_of("resnet18", (3, 33, 33))
    node = next(n for n, x in enumerate(session.network["nodes"]) if x["kind"] == "MaxPool2d")
    assert session.effective(0, node, [0, 0])["size"] != session.effective(0, node, [4, 4])["size"]


def test_what_has_no_such_field_is_refused_in_one_line():
    session = session_of("resnet18", (3, 33, 33))
    nodes = session.network["nodes"]
    add = next(n for n, node in enumerate(nodes) if node["kind"] == "add")
    for node, position in ((add, [0, 0]), (0, [99, 0]), (0, []), (len(nodes) - 1, [])):
        with pytest.raises(ArgumentError):
            session.effective(0, node, position)


def test_nothing_is_left_behind():
    session = session_of("conv4-relu-gap-fc2", (1, 9, 9))
    session.effective(0, 0, [4, 4])
    assert not any(m._forward_hooks for m in session.subject.network.modules())
    assert all(p.grad is None for p in session.subject.network.parameters())
    assert torch.is_grad_enabled()
