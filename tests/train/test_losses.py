"""Losses against torch's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate.nn.heads import AuxiliaryLogits
from striate.train.losses import CrossEntropy, SquaredError, balanced_weights, total_loss


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_probabilities_of_one_are_class_numbers(weights) -> None:
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 3
    loss = CrossEntropy(label_smoothing=0.1, class_weights=weights)
    soft = F.one_hot(labels, 3).float()
    torch.testing.assert_close(loss.total(logits, soft), loss.total(logits, labels))
    torch.testing.assert_close(
        torch.as_tensor(loss.weight(soft)).float(), torch.as_tensor(loss.weight(labels)).float()
    )


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 13)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    got = balanced_weights(torch.bincount(labels))
    torch.testing.assert_close(got.double(), torch.as_tensor(expected), rtol=1e-6, atol=0)


def test_classifiers_on_the_way_weigh_three_tenths_each() -> None:
    draw = torch.Generator().manual_seed(0)
    last, early, middle = torch.randn(3, 8, 3, generator=draw)
    labels = torch.arange(8) % 3
    got = total_loss(CrossEntropy(), AuxiliaryLogits(last, (early, middle)), labels)
    losses = [F.cross_entropy(each, labels, reduction="sum") for each in (last, early, middle)]
    torch.testing.assert_close(got, losses[0] + 0.3 * losses[1] + 0.3 * losses[2])


def test_squared_error_is_torchs_mean_and_adds_outputs_on_the_way():
    generator = torch.Generator().manual_seed(0)
    last, early = torch.randn(2, 6, 1, generator=generator)
    numbers = torch.randn(6, 1, generator=generator)
    loss = SquaredError()
    plain = loss.total(last, numbers) / loss.weight(numbers)
    torch.testing.assert_close(plain, torch.nn.functional.mse_loss(last, numbers))
    together = total_loss(loss, AuxiliaryLogits(last, (early,)), numbers)
    expected = ((last - numbers) ** 2).sum() + 0.3 * ((early - numbers) ** 2).sum()
    torch.testing.assert_close(together, expected)


def test_a_loss_is_moved_with_its_class_weights() -> None:
    plain = CrossEntropy(label_smoothing=0.1)
    assert plain.to(torch.device("meta")) is plain
    moved = CrossEntropy(class_weights=torch.ones(3)).to(torch.device("meta"))
    assert moved.class_weights.device.type == "meta"
    assert SquaredError().to(torch.device("meta")) == SquaredError()
