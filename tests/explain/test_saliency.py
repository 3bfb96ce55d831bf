"""Gradient times input: a ReLU network without biases is the sum of its contributions."""

import copy

import pytest
import torch

from striate.explain.gradient import gradient_times_input, grid_score


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_biases_the_contributions_sum_to_the_logit(rank, trained):
    network, inputs, labels, _ = trained(rank)
    without = copy.deepcopy(network)
    for module in without.modules():
        if getattr(module, "bias", None) is not None:
            torch.nn.init.zeros_(module.bias)
    with torch.no_grad():
        score = grid_score(without, labels)
        logits = score(inputs)
        total = gradient_times_input(score, inputs).flatten(1).sum(1)
    torch.testing.assert_close(total, logits, atol=1e-4, rtol=1e-4)
