"""Kernel spaces against scikit-learn's kernel; what a linear probe cannot tell apart."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from torch import Tensor

from striate.nn.kernel_head import LIMIT
from striate.transfer import kernel_features
from striate.transfer.kernel_features import kernel_spaces
from striate.transfer.logistic_probe import fit_probe
from striate.transfer.probe import ProbeConfig


def features(num_items: int) -> Tensor:
    return 2 + 3 * torch.randn(num_items, 12, generator=torch.Generator().manual_seed(0))


def standardized(features: Tensor) -> np.ndarray:
    mean, std = features.mean(0), features.std(0, correction=0)
    return ((features - mean) / std).clamp(-LIMIT, LIMIT).double().numpy()


def test_inner_products_are_the_kernel() -> None:
    """Against scikit-learn; to 2e-3, for landmarks are kept in float16."""
    items = features(30)
    for space, gamma in zip(kernel_spaces(items, (0.5, 1.5), seed=0), (0.5, 1.5), strict=True):
        found = space.coordinates(items)
        expected = rbf_kernel(standardized(items), gamma=gamma / 12)
        np.testing.assert_allclose((found @ found.T).numpy(), expected, atol=2e-3)


def rings(num_items: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes that differ in the length of a vector only, which no linear layer can tell."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(num_items, 2, generator=generator)
    labels = torch.arange(num_items) % 2
    radius = 1 + labels + 0.1 * torch.randn(num_items, generator=generator)
    return points / points.norm(dim=1, keepdim=True) * radius[:, None], labels


def test_classes_that_only_a_kernel_tells_apart() -> None:
    """As well as scikit-learn's support vector machine does; a linear probe fails."""
    (train, labels), (test, truth) = rings(200, 0), rings(400, 1)
    (space,) = kernel_spaces(train, (1.0,), seed=0)
    config = ProbeConfig(Cs=(1.0, 30.0), standardize=False)
    probe = fit_probe(space.coordinates(train).float(), labels, 2, config=config)
    with torch.no_grad():
        logits = space.head(probe)(test)
    torch.testing.assert_close(logits, probe.logits(space.coordinates(test)), rtol=1e-3, atol=1e-3)
    accuracy = (logits.argmax(1) == truth).float().mean().item()
    machine = SVC(C=10, gamma=0.5).fit(standardized(train), labels)
    scaled = (test - train.mean(0)) / train.std(0, correction=0)
    assert accuracy >= machine.score(scaled.numpy(), truth) - 0.01 > 0.97
    linear = fit_probe(train, labels, 2)
    assert (linear.logits(test).argmax(1) == truth).float().mean() < 0.7


def test_landmarks_are_a_few_of_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_features, "MAX_LANDMARKS", 10)
    items = features(40)
    first, again = (next(kernel_spaces(items, (1.0,), seed=3)) for _ in range(2))
    other = next(kernel_spaces(items, (1.0,), seed=4))
    assert torch.equal(first.landmarks, again.landmarks)
    assert not torch.equal(first.landmarks, other.landmarks)
    assert first.landmarks.shape == (10, 12)
    assert first.coordinates(items).shape == (40, 10)


def test_constant_features_and_equal_items_do_no_harm() -> None:
    items = features(8)
    items[:, 3] = 7.0
    items = torch.cat([items, items])
    (space,) = kernel_spaces(items, (1.0,), seed=0)
    coordinates = space.coordinates(items)
    assert coordinates.isfinite().all()
    torch.testing.assert_close((coordinates**2).sum(1), torch.ones(16).double(), atol=2e-3, rtol=0)
