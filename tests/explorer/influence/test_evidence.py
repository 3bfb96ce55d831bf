"""Where the evidence lies is what `striate.explain` finds, and its check is the one of `explain`."""

from importlib import import_module

import numpy as np
import pytest
import torch
from tests.explorer.conftest import session_of

from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.fidelity import fidelity
from striate.explorer.influence.evidence import STEPS
from striate.explorer.numbers import unpacked


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv6-bn-relu-maxpool-conv8k3-relu-gap-fc4", (3, 20, 18)),
        ("conv6k5-relu-conv6k3-gap-fc3", (2, 40)),
        ("conv4k3-relu-conv4k3-gap-fc3", (1, 8, 9, 7)),
    ],
)
def test_it_is_what_explain_finds(name, shape):
    session = session_of(name, shape)
    found = session.evidence(0)
    outputs = session.item(0)["outputs"]
    target = torch.tensor([outputs[0]["number"]])
    x = session.walked(0).x
    heat = explain(session.subject.network, x, target, found["method"]).heat[0].numpy()
    flat = heat[heat.shape[0] // 2] if heat.ndim == 3 else np.atleast_2d(heat)
    np.testing.assert_allclose(unpacked(found["heat"]), 255 * flat, atol=1)
    assert (found["class"], found["outputs"]) == (outputs[0]["class"], len(outputs))
    checked = fidelity(session.subject.network, x, int(target), heat, steps=STEPS)
    expected = checked.beats_random if heat.any() else None
    then = "occlusion" if expected is False and found["method"] == "gradcam" else None
    assert session.verdict(0) == {"faithful": expected, "then": then}


def test_a_mark_that_counts_is_told_from_one_that_does_not():
    """The output is the mean of the picture's left half, through an untouched channel."""
    session = session_of("conv1k1-relu-gap-fc2", (1, 16, 16))
    network = session.subject.network
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    network.head.linear.weight.data[1] = -1
    assert session.verdict(0)["faithful"] is True


def test_where_the_first_marks_do_not_hold_another_method_can_be_tried(monkeypatch):
    session = session_of("conv6-relu-gap-fc3", (1, 16, 16))
    first = session.evidence(0)
    module = import_module("striate.explorer.influence.evidence")
    monkeypatch.setattr(module, "checked", lambda *_: (True, False))
    assert session.verdict(0) == {"faithful": False, "then": "occlusion"}
    second = session.evidence(0, "occlusion")
    assert (first["method"], second["method"]) == ("gradcam", "occlusion")
    assert session.verdict(0, "occlusion") == {"faithful": False, "then": None}
    with pytest.raises(ArgumentError, match="there are gradcam, occlusion"):
        session.evidence(0, "eigencam")
