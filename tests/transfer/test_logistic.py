"""Quick logistic regressions against scikit-learn's, which solve the same problem."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from striate.transfer import logistic_probe
from striate.transfer.logistic import LogisticSpace
from striate.transfer.logistic_probe import cross_outputs, fit_probe
from striate.transfer.probe import ProbeConfig


def items(count: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = draw.normal(size=(classes, features))
    return centres[labels] + 2 * draw.normal(size=(count, features)), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("features", [6, 90])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_probabilities_are_scikit_learns(classes: int, features: int, C: float) -> None:
    """To 0.01, on features as they are: both stop where the loss has hardly more to fall."""
    X, y = items(60, features, classes)
    space = LogisticSpace(X, np.zeros(features), np.ones(features))
    ((weight, bias),) = space.path(np.arange(len(X)), y, classes, (C,))
    raw, shift = space.layer(weight, bias)
    np.testing.assert_allclose(X @ raw.T + shift, space.items @ weight.T + bias, atol=1e-8)
    logits = X @ raw.T + shift
    got = np.exp(logits - logits.max(1, keepdims=True))
    got /= got.sum(1, keepdims=True)
    model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(got, model.predict_proba(X), atol=0.01)


def test_a_quick_probe_answers_as_a_slow_one() -> None:
    X, y = items(200, 20, 3)
    features, labels = torch.from_numpy(X).float(), torch.from_numpy(y)
    quick, slow = (
        fit_probe(features, labels, 3, config=ProbeConfig(Cs=(0.01,), quick=quick))
        for quick in (True, False)
    )
    assert (quick.logits(features) - slow.logits(features)).abs().max() < 0.05
    chosen = fit_probe(features, labels, 3, config=ProbeConfig(quick=True))
    assert chosen.C in chosen.scores and len(chosen.scores) == 4


def test_held_out_outputs_are_those_of_folds() -> None:
    """The same folds; a class that a fold lacks has a probability of nearly nothing."""
    X, y = items(60, 5, 3)
    y[-1] = 3
    features, labels = torch.from_numpy(X).float(), torch.from_numpy(y)
    quick, covered = cross_outputs(features, labels, 4, config=ProbeConfig(Cs=(0.1,), quick=True))
    slow, _ = cross_outputs(features, labels, 4, config=ProbeConfig(Cs=(0.1,)))
    assert len(covered) == 60
    assert (quick.softmax(1) - slow.softmax(1)).abs().max() < 0.03
    assert quick[-1].softmax(0)[3] < 1e-6


def test_a_probe_of_very_many_numbers_is_fitted_quickly(monkeypatch) -> None:
    X, y = items(300, 40, 3)
    features, labels = torch.from_numpy(X).float(), torch.from_numpy(y)
    fits = {}
    for limit in (features.numel() * 3 + 1, features.numel() * 3):
        monkeypatch.setattr(logistic_probe, "MANY_PRODUCTS", limit)
        fits[limit] = fit_probe(features, labels, 3, config=ProbeConfig(Cs=(0.01,)))
    slow, quick = fits.values()
    told = fit_probe(features, labels, 3, config=ProbeConfig(Cs=(0.01,), quick=True))
    assert torch.equal(quick.weight, told.weight)
    assert not torch.equal(slow.weight, told.weight)
