"""The steps of attention and of the kernel machine give what torch's own functions give."""

import json

import numpy as np
import pytest
import torch
from tests.explorer.conftest import lively, session_of

from striate.explorer.numbers import unpacked
from striate.explorer.walked import Walked
from striate.models import create_model
from striate.models.kernel_machine import kernel_machine_of
from striate.nn.attention import SelfAttention
from striate.nn.kernel_head import KERNELS, standardize

TOLERANCE = 1e-4


def shown(document, *names):
    """The arrays of a cell after their way through JSON."""
    found = json.loads(json.dumps(document))
    return [unpacked(found[name]).astype(np.float64) for name in names]


@pytest.fixture(scope="module")
def vit():
    return session_of("vit_ti_16", (3, 32, 48))


@pytest.fixture(scope="module")
def parts(vit):
    """Query, key and value of the first attention, (heads, tokens, numbers), by its own layer."""
    attention = next(m for m in vit.subject.network.modules() if isinstance(m, SelfAttention))
    x, taken = vit.walked(0).x, []
    hook = attention.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.inference_mode():
        vit.subject.network(x)
        hook.remove()
        tokens = attention.qkv(taken[0])[0]
    return tokens.unflatten(-1, (3, attention.num_heads, -1)).permute(1, 2, 0, 3).unbind(0)


def products(session):
    nodes = session.network["nodes"]
    return [number for number, node in enumerate(nodes) if node["kind"] == "matmul"][:2]


def test_a_score_is_the_product_of_query_and_key_over_the_root(vit, parts):
    query, key, _ = parts
    cell = vit.cell(0, products(vit)[0], 2, [5, 3])
    q, k = shown(cell, "window", "kernel")
    np.testing.assert_allclose(q, query[2, 5], atol=TOLERANCE)
    np.testing.assert_allclose(k, key[2, 3], atol=TOLERANCE)
    expected = (query[2, 5] @ key[2, 3]).item() / query.shape[-1] ** 0.5
    assert [cell["result"], cell["value"]] == pytest.approx([expected] * 2, abs=TOLERANCE)
    assert (q * k).sum() / cell["divisor"] == pytest.approx(expected, abs=TOLERANCE)


def test_what_a_token_takes_is_the_sum_of_values_by_softmax(vit, parts):
    query, key, value = parts
    mixed = torch.nn.functional.scaled_dot_product_attention(*(p[None] for p in parts))[0]
    for head, token, number in ((0, 0, 0), (2, 6, 63)):
        cell = vit.cell(0, products(vit)[1], head, [token, number])
        scores, powers, weights, values = shown(cell, "scores", "powers", "weights", "values")
        expected = query[head, token] @ key[head].T / query.shape[-1] ** 0.5
        np.testing.assert_allclose(scores, expected, atol=TOLERANCE)
        np.testing.assert_allclose(powers / cell["power"], weights, atol=1e-6)
        np.testing.assert_allclose(weights, torch.softmax(expected, 0), atol=TOLERANCE)
        np.testing.assert_allclose(values, value[head, :, number], atol=TOLERANCE)
        own = mixed[head, token, number].item()
        assert cell["value"] == pytest.approx(own, abs=TOLERANCE)
        assert (weights * values).sum() == pytest.approx(own, abs=TOLERANCE)


def test_every_step_of_a_vit_is_known(vit):
    for number, node in enumerate(vit.network["nodes"]):
        cell = vit.cell(0, number, 0, [0] * len(node["space"]))
        known = cell["form"] != "none" or node["kind"] in ("ClassToken",)
        assert known, (node["name"], cell.get("why"))


@pytest.fixture(scope="module", params=["gaussian", "laplacian"])
def machine(request):
    """A kernel machine with landmarks and statistics at random, and what it makes of an item."""
    torch.manual_seed(0)
    base = lively(create_model("lenet5", weights=None)).eval()
    machine = kernel_machine_of(base, "lenet5", num_landmarks=20, num_classes=3)
    head = machine.head
    head.kernel, head.difference = request.param, KERNELS.get(request.param)
    head.shift.normal_()
    head.scale.uniform_(0.5, 2)
    head.landmarks.copy_(torch.randn(head.landmarks.shape))
    head.gamma.fill_(0.3)
    x = torch.randn(1, base.config.in_channels, 32, 32)
    return machine, x, Walked.through(machine, x)


def test_a_logit_of_a_kernel_machine_is_what_landmarks_add(machine):
    network, x, walked = machine
    head = network.head
    with torch.inference_mode():
        logits = network(x)[0]
        features = standardize(network.stem(x), head.shift, head.scale)
        landmarks = head.landmarks.float()
        power = 2 if head.kernel == "gaussian" else 1
        difference = (features - landmarks).abs().pow(power).mean(1)
    cell = walked.cell(len(walked.found) - 1, 1, [])
    found = shown(cell, "differences", "similarities", "weights")
    expected = difference, (-0.3 * difference).exp(), head.linear.weight[1].detach()
    for own, torchs in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, torchs, atol=TOLERANCE)
    assert cell["form"] == "kernel"
    assert cell["value"] == pytest.approx(logits[1].item(), abs=TOLERANCE)
    assert (found[1] * found[2]).sum() + cell["bias"] == pytest.approx(
        logits[1].item(), abs=TOLERANCE
    )


def test_the_spread_of_a_map_is_that_of_its_values():
    session = session_of("kernel_machine", (3, 64, 64))
    nodes = session.network["nodes"]
    number = next(n for n, node in enumerate(nodes) if node["kind"] == "var_mean")
    given = session.walked(0).found[number].operands[0][0, 3].double()
    cell = session.cell(0, number, 3, [])
    assert cell["operation"] == "variance" and cell["count"] == given.numel()
    assert cell["mean"] == pytest.approx(given.mean().item(), abs=TOLERANCE)
    expected = given.var(correction=0).item()
    assert [cell["value"], cell["result"]] == pytest.approx([expected] * 2, abs=TOLERANCE)


def test_the_way_to_a_kernel_is_shown_number_by_number(machine):
    network, _, walked = machine
    forms = {
        c.layer.name: walked.cell(n, 4, [])["form"]
        for n, c in enumerate(walked.found)
        if c.caller is network.head and c.module is None
    }
    assert forms == (
        {"head.matmul": "dot", "head.sub": "terms"} if network.head.kernel == "gaussian" else {}
    )


@pytest.mark.parametrize("axis", [1, -1])
def test_softmax_within_a_network_is_torchs(axis):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Softmax(axis)).eval()
    x = torch.randn(1, 1, 7, 8)
    scores = network[0](x).detach()
    walked = Walked.through(network, x)
    for channel, position in ((0, (0, 0)), (2, (3, 5))):
        cell = walked.cell(1, channel, position)
        row, number = (
            (scores[0, :, *position], channel)
            if axis == 1
            else (scores[0, channel, position[0]], position[1])
        )
        assert (cell["form"], cell["number"]) == ("softmax", number)
        scored, weights = shown(cell, "scores", "weights")
        np.testing.assert_allclose(scored, row, atol=TOLERANCE)
        expected = torch.softmax(row, 0)
        np.testing.assert_allclose(weights, expected, atol=TOLERANCE)
        assert cell["result"] == pytest.approx(float(expected[number]), abs=TOLERANCE)
        assert cell["result"] == pytest.approx(cell["value"], abs=TOLERANCE)
