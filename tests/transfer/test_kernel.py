"""Kernel spaces against scikit-learn's kernel; what a linear probe cannot tell apart."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC
from torch import Tensor

from striate.models.kernel_machine import LIMIT
from striate.transfer import kernel
from striate.transfer.kernel import kernel_spaces
from striate.transfer.probe import ProbeConfig, fit_probe


def features(num_items: int, num_views: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 + 3 * torch.randn(num_views, num_items, 12, generator=generator)


def standardized(views: Tensor) -> np.ndarray:
    mean, std = views[0].mean(0), views[0].std(0, correction=0)
    return ((views - mean) / std).clamp(-LIMIT, LIMIT).double().numpy()


@pytest.mark.parametrize("num_views", [1, 2])
def test_inner_products_are_the_kernels_mean_over_pairs_of_views(num_views: int) -> None:
    """Against scikit-learn, to 1e-5."""
    views = features(30, num_views)
    spaces = list(kernel_spaces(views, (0.5, 1.5), seed=0))
    for space, sharpness in zip(spaces, (0.5, 1.5), strict=True):
        found = space.coordinates(views)
        plain = standardized(views)
        expected = np.mean([rbf_kernel(a, b, sharpness / 12) for a in plain for b in plain], axis=0)
        np.testing.assert_allclose((found @ found.T).numpy(), expected, atol=1e-5)


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
    (space,) = kernel_spaces(train[None], (1.0,), seed=0)
    config = ProbeConfig(strengths=(1.0, 30.0), standardize=False)
    probe = fit_probe(space.coordinates(train[None]).float(), labels, 2, config=config)
    with torch.no_grad():
        logits = space.head(probe)(test)
    torch.testing.assert_close(
        logits, probe.logits(space.coordinates(test[None])), rtol=1e-3, atol=1e-3
    )
    accuracy = (logits.argmax(1) == truth).float().mean().item()
    machine = SVC(C=10, gamma=0.5).fit(standardized(train[None])[0], labels)
    scaled = (test - train.mean(0)) / train.std(0, correction=0)
    assert accuracy >= machine.score(scaled.numpy(), truth) - 0.01 > 0.97
    linear = fit_probe(train, labels, 2)
    assert (linear.logits(test).argmax(1) == truth).float().mean() < 0.7


def test_views_of_an_item_are_told_to_be_the_same() -> None:
    """The answer for one view is that for the other: the head's mean over views is symmetric."""
    train, labels = rings(100, 0)
    flipped = torch.stack([train, -train])
    (space,) = kernel_spaces(flipped, (1.0,), seed=0)
    config = ProbeConfig(strengths=(10.0,), standardize=False)
    probe = fit_probe(space.coordinates(flipped).float(), labels, 2, config=config)
    head = space.head(probe)
    test, _ = rings(20, 1)
    with torch.no_grad():
        one, other = ((head(x) + head(-x)) / 2 for x in (test, -test))
        expected = probe.logits(space.coordinates(torch.stack([test, -test])))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one, expected, rtol=1e-3, atol=1e-3)


def test_landmarks_are_a_few_of_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MAX_LANDMARKS", 10)
    views = features(40, 2)
    first, again = (next(kernel_spaces(views, (1.0,), seed=3)) for _ in range(2))
    other = next(kernel_spaces(views, (1.0,), seed=4))
    assert torch.equal(first.landmarks, again.landmarks)
    assert not torch.equal(first.landmarks, other.landmarks)
    assert first.landmarks.shape == (20, 12)
    assert first.coordinates(views).shape == (40, 10)


def test_constant_features_and_equal_items_do_no_harm() -> None:
    views = features(8)
    views[:, :, 3] = 7.0
    views = torch.cat([views, views], 1)
    (space,) = kernel_spaces(views, (1.0,), seed=0)
    coordinates = space.coordinates(views)
    assert coordinates.isfinite().all()
    torch.testing.assert_close((coordinates**2).sum(1), torch.ones(16).double(), atol=1e-5, rtol=0)
