"""What holds for every method of explanation, in every rank."""

import copy
import re
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.explain import EXPLANATIONS, Method, explain
from striate.explain.method import Unsupported

every_method = pytest.mark.parametrize("method", EXPLANATIONS.names())
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
DOCS = Path(__file__).parent.parent.parent / "docs"


def probability(network, inputs, labels):
    logits = network.forward_head(network.forward_features(inputs))
    return logits.softmax(1).gather(1, labels[:, None])[:, 0]


def curves(network, inputs, labels, heat, steps=16):
    """Mean probability while the hottest places are blanked, and while they are shown alone."""
    ranks = heat.flatten(1).argsort(1, descending=True).argsort(1).view(heat.shape)
    blanked, shown = [], []
    for step in range(steps + 1):
        hot = (ranks < step / steps * ranks[0].numel())[:, None]
        blanked.append(probability(network, inputs * ~hot, labels).mean())
        shown.append(probability(network, inputs * hot, labels).mean())
    return torch.stack(blanked).mean(), torch.stack(shown).mean()


@every_rank
def test_the_network_has_learnt_its_task(rank, trained):
    network, inputs, labels, _ = trained(rank)
    assert (probability(network, inputs, labels) > 0.5).float().mean() > 0.9


@every_method
@every_rank
def test_the_heat_lies_on_the_shape(method, rank, trained, heat_of):
    *_, inside = trained(rank)
    heat = heat_of(method, rank)
    share = (heat * inside).flatten(1).sum(1) / heat.flatten(1).sum(1).clamp(min=1e-9)
    assert share.median() > 1.5 * inside.float().mean()


@every_method
@every_rank
def test_the_hottest_places_matter_more_than_random_ones(method, rank, trained, heat_of):
    network, inputs, labels, _ = trained(rank)
    blanked, shown = curves(network, inputs, labels, heat_of(method, rank))
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(len(inputs), 1, *[4] * rank, generator=draw)
    random = F.interpolate(coarse, size=inputs.shape[2:], mode=MODES[rank])[:, 0]
    blanked_at_random, shown_at_random = curves(network, inputs, labels, random)
    assert blanked < blanked_at_random
    assert shown > shown_at_random


ALIKE = {"eigencam", "layercam"}
"""Methods whose maps follow the features more than the class, as their documentation says: with
random weights they stay much alike (rank correlation 0.94 and 0.64 of images here)."""


@pytest.mark.parametrize("method", [m for m in EXPLANATIONS.names() if m not in ALIKE])
@every_rank
def test_another_network_gives_another_map(method, rank, trained, heat_of):
    """Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: weights put to chance."""
    network, inputs, labels, _ = trained(rank)
    other = copy.deepcopy(network)
    torch.manual_seed(7)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    pairs = zip(heat_of(method, rank), explain(other, inputs, labels, method).heat, strict=True)
    likeness = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in pairs if b.any()]
    assert len(likeness) > len(inputs) / 3
    assert sum(likeness) / len(likeness) < 0.5


@pytest.mark.parametrize("method", [m for m in EXPLANATIONS.names() if m != "eigencam"])
def test_the_predicted_class_is_explained_by_default_and_another_on_request(method, trained):
    network, inputs = trained(2)[0], trained(2)[1][:4]
    answers = network.forward_head(network.forward_features(inputs)).argmax(1)
    usual = explain(network, inputs, method=method).heat
    again = explain(network, inputs, answers, method).heat
    torch.testing.assert_close(usual, again, atol=0, rtol=0)
    assert not torch.allclose(usual, explain(network, inputs, 1 - answers, method).heat)


@every_method
def test_an_item_does_not_depend_on_its_company(method, trained):
    network, inputs, labels, _ = trained(2)
    together = explain(network, inputs[:3], labels[:3], method).heat
    for item, label, heat in zip(inputs, labels, together, strict=False):
        alone = explain(network, item[None], label[None], method).heat[0]
        torch.testing.assert_close(heat, alone, atol=1e-4, rtol=0)


@every_method
def test_inputs_and_network_are_left_as_they_were(method, trained):
    network, inputs, labels, _ = trained(2)
    network = copy.deepcopy(network).train()
    for parameter in network.parameters():
        parameter.requires_grad_()
    before, given = copy.deepcopy(network.state_dict()), inputs[:2].clone()
    explain(network, given, labels[:2], method)
    assert torch.equal(given, inputs[:2]) and not given.requires_grad
    assert network.training and all(p.grad is None for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@every_method
def test_works_inside_inference_mode(method, trained):
    network, inputs, labels, _ = trained(2)
    expected = explain(network, inputs[:2], labels[:2], method).heat
    with torch.inference_mode():
        made_there = inputs[:2].clone()
        found = explain(network, made_there, labels[:2], method).heat
    torch.testing.assert_close(found, expected)


@every_method
def test_a_network_of_one_output_is_explained(method, trained):
    network, inputs, _, _ = trained(2)
    number = copy.deepcopy(network)
    number.linear = torch.nn.Linear(24, 1)
    torch.nn.init.constant_(number.linear.weight, 1.0)
    heat = explain(number, inputs[:2], method=method).heat
    assert heat.shape == inputs[:2, 0].shape and heat.max() == 1


@every_method
def test_the_documentation_names_it(method):
    from striate.cli.runs import explain as command

    page = (DOCS / "command-line.md").read_text()
    section = re.search(r"^## striate explain\n(.*?)(?=^## |\Z)", page, re.S | re.M)
    assert f"| `{method}` |" in section[1]
    assert method in str(command.__annotations__["method"])


def test_a_method_that_is_not_there_says_why():
    reason = Unsupported("a graph has no patches")
    with pytest.raises(
        ArgumentError, match="method of explanation: a graph has no patches; choose"
    ):
        Method(grid=reason, graph=reason).graph(None, None, 0)
