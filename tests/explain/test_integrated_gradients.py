"""Integrated gradients: the axioms of the paper, and a case with a closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.explain.gradient import NUM_STEPS, grid_score, integrated_gradients


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_attributions_sum_to_the_logits_difference(rank, trained):
    network, inputs, labels, _ = trained(rank)
    inputs, labels = inputs[:4], labels[:4]
    with torch.no_grad():
        score = grid_score(network, labels)
        difference = score(inputs) - score(torch.zeros_like(inputs))
        errors = []
        for steps in (NUM_STEPS // 8, NUM_STEPS):
            total = integrated_gradients(score, inputs, num_steps=steps).flatten(1).sum(1)
            errors.append((total - difference).abs().max() / difference.abs().mean())
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


class Product(nn.Module):
    """The product of two inputs, whose attributions from zero are half the product each."""

    def forward_features(self, x):
        return x

    def forward_head(self, features):
        return features[:, 0, :1] * features[:, 0, 1:2]


def test_a_product_is_shared_equally():
    inputs = torch.tensor([[[3.0, -4.0, 9.0]]])
    with torch.no_grad():
        found = integrated_gradients(grid_score(Product(), torch.tensor([0])), inputs)
    np.testing.assert_allclose(found[0, 0], [-6, -6, 0], atol=1e-5)
