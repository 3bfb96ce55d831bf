"""The probe against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from striate.errors import DataError
from striate.transfer.probe import ProbeConfig, cross_outputs, fit_probe


def clusters(num_classes: int, n: int = 240, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping clusters; features of very different scales and offsets."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % num_classes
    centres = torch.randn(num_classes, 6, generator=generator)
    features = centres[labels] + 1.2 * torch.randn(n, 6, generator=generator)
    scale = torch.tensor([1e-3, 0.1, 1.0, 5.0, 30.0, 100.0])
    return features * scale + 3 * scale, labels


def reference(strength: float, class_weight: str | None = None):
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight=class_weight, max_iter=1000)
    )


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_probabilities_are_those_of_scikit_learn(num_classes: int, class_weight) -> None:
    X, y = clusters(num_classes)
    X, y = X[: -num_classes * 7 + 3], y[: -num_classes * 7 + 3]  # classes of unequal size
    config = ProbeConfig(strengths=(0.05,), class_weight=class_weight)
    probe = fit_probe(X, y, num_classes, config=config)
    expected = (
        reference(0.05, class_weight).fit(X.double().numpy(), y).predict_proba(X.double().numpy())
    )
    torch.testing.assert_close(
        probe.predict_proba(X).double(), torch.from_numpy(expected), rtol=0, atol=1e-5
    )
    with torch.no_grad():
        head = probe.as_head()(X).softmax(1)
    torch.testing.assert_close(head, probe.predict_proba(X), rtol=0, atol=1e-5)
    assert head.shape == (len(y), num_classes)


def test_cross_validation_scores_are_those_of_scikit_learn() -> None:
    X, y = clusters(3)
    strengths = (1e-3, 1e-2, 1e-1)
    probe = fit_probe(X, y, 3, config=ProbeConfig(strengths=strengths, folds=4, seed=7))
    splitter = StratifiedKFold(4, shuffle=True, random_state=7)
    for strength in strengths:
        total = 0.0
        for train, test in splitter.split(X, y):
            p = reference(strength).fit(X[train].double(), y[train]).predict_proba(X[test].double())
            total += log_loss(y[test], p, normalize=False)
        assert probe.scores[strength] == pytest.approx(total / len(y), rel=2e-3)
    assert probe.strength == min(probe.scores, key=probe.scores.__getitem__)


def test_validation_chooses_where_it_is_given() -> None:
    X, y = clusters(2)
    # Validation items with wrong labels: the strongest regularization errs least.
    probe = fit_probe(X, y, 2, validation=(X, 1 - y))
    assert probe.strength == ProbeConfig().strengths[0]


def test_groups_are_kept_whole() -> None:
    """Copies on both sides of a fold would reward memory: the weakest regularization."""
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(40, 60, generator=generator)
    y = torch.arange(40) % 2  # nothing to learn
    X, y, groups = X.repeat(4, 1), y.repeat(4), np.tile(np.arange(40), 4)
    assert fit_probe(X, y, 2).strength > 0.05
    assert fit_probe(X, y, 2, groups=groups).strength < 0.05


def test_a_class_of_one_and_constant_features() -> None:
    X, y = clusters(2)
    X, y = torch.cat([X, 50 + X[:1]]), torch.cat([y, torch.tensor([2])])
    X = torch.cat([X, torch.full((len(X), 1), 0.1)], dim=1)
    probe = fit_probe(X, y, 3)
    assert torch.isfinite(probe.predict_proba(X)).all()
    assert probe.weight[:, -1].abs().max() == 0


def test_a_class_without_items_is_refused() -> None:
    X, y = clusters(2)
    with pytest.raises(DataError, match="class number 2 has no training item"):
        fit_probe(X, y, 3)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_many_features_of_few_items_give_scikit_learns_probe(num_classes: int) -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % num_classes
    hidden = torch.randn(40, 8, generator=draw) + torch.nn.functional.one_hot(labels, 8)
    X = hidden @ torch.randn(8, 600, generator=draw) + 0.3 * torch.randn(40, 600, generator=draw)
    X[:, 5] = 2.0  # a constant feature
    probe = fit_probe(X, labels, num_classes, config=ProbeConfig(strengths=(0.01,)))
    exact = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000, tol=1e-8))
    exact.fit(X.double().numpy(), labels)
    other = torch.randn(20, 8, generator=draw) @ torch.randn(8, 600, generator=draw)
    expected = exact.predict_proba(other.double().numpy())
    np.testing.assert_allclose(probe.predict_proba(other).numpy(), expected, atol=2e-3)


def test_cross_outputs_are_of_probes_that_did_not_see_the_item():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    features = torch.randn(40, 3, generator=generator) + labels[:, None]
    memory = torch.eye(40)  # a feature that names the item: useless for all but that one
    found, covered = cross_outputs(
        torch.cat([features, memory], 1), labels, 2, config=ProbeConfig(strengths=(1e-2,))
    )
    assert covered.tolist() == list(range(40))
    again, _ = cross_outputs(
        torch.cat([features, 5 * memory], 1), labels, 2, config=ProbeConfig(strengths=(1e-2,))
    )
    torch.testing.assert_close(found, again)
    whole = fit_probe(features, labels, 2, config=ProbeConfig(strengths=(1e-2,)))
    agree = (found.argmax(1) == whole.logits(features).argmax(1)).float().mean()
    assert agree > 0.8
