"""The probes against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, LeaveOneOut, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from striate.errors import DataError
from striate.transfer.logistic_probe import class_folds, cross_outputs, fit_probe
from striate.transfer.probe import ProbeConfig
from striate.transfer.ridge_probe import (
    RIDGE_CS,
    fit_ridge_probe,
    group_folds,
    ridge_cross_outputs,
    wanted_logits,
)

RIDGE_CONFIG = ProbeConfig(Cs=RIDGE_CS)


def clusters(num_classes: int, n: int = 240, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping clusters; features of very different scales and offsets."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % num_classes
    centres = torch.randn(num_classes, 6, generator=generator)
    features = centres[labels] + 1.2 * torch.randn(n, 6, generator=generator)
    scale = torch.tensor([1e-3, 0.1, 1.0, 5.0, 30.0, 100.0])
    return features * scale + 3 * scale, labels


def reference(C: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_probabilities_are_those_of_scikit_learn(num_classes: int) -> None:
    X, y = clusters(num_classes)
    X, y = X[: -num_classes * 7 + 3], y[: -num_classes * 7 + 3]  # classes of unequal size
    probe = fit_probe(X, y, num_classes, config=ProbeConfig(Cs=(0.05,)))
    expected = reference(0.05).fit(X.double().numpy(), y).predict_proba(X.double().numpy())
    found = probe.logits(X).softmax(1)
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=0, atol=1e-5)
    with torch.no_grad():
        head = probe.as_head()(X).softmax(1)
    torch.testing.assert_close(head, found, rtol=0, atol=1e-5)
    assert head.shape == (len(y), num_classes)


def test_cross_validation_scores_are_those_of_scikit_learn() -> None:
    X, y = clusters(3)
    Cs = (1e-3, 1e-2, 1e-1)
    probe = fit_probe(X, y, 3, config=ProbeConfig(Cs=Cs, seed=7))
    splitter = StratifiedKFold(5, shuffle=True, random_state=7)
    for C in Cs:
        total = 0.0
        for train, test in splitter.split(X, y):
            p = reference(C).fit(X[train].double(), y[train]).predict_proba(X[test].double())
            total += log_loss(y[test], p, normalize=False)
        assert probe.scores[C] == pytest.approx(total / len(y), rel=2e-3)
    assert min(probe.scores, key=probe.scores.__getitem__) == probe.C


def test_groups_are_kept_whole() -> None:
    """Copies on both sides of a fold would reward memory: the weakest regularization."""
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(40, 60, generator=generator)
    y = torch.arange(40) % 2  # nothing to learn
    X, y, groups = X.repeat(4, 1), y.repeat(4), np.tile(np.arange(40), 4)
    assert fit_probe(X, y, 2).C > 0.05
    assert fit_probe(X, y, 2, groups=groups).C < 0.05


def test_a_class_of_one_and_constant_features() -> None:
    X, y = clusters(2)
    X, y = torch.cat([X, 50 + X[:1]]), torch.cat([y, torch.tensor([2])])
    X = torch.cat([X, torch.full((len(X), 1), 0.1)], dim=1)
    probe = fit_probe(X, y, 3)
    assert torch.isfinite(probe.logits(X)).all()
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
    probe = fit_probe(X, labels, num_classes, config=ProbeConfig(Cs=(0.01,)))
    exact = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000, tol=1e-8))
    exact.fit(X.double().numpy(), labels)
    other = torch.randn(20, 8, generator=draw) @ torch.randn(8, 600, generator=draw)
    expected = exact.predict_proba(other.double().numpy())
    found = probe.logits(other).softmax(1)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_cross_outputs_are_of_probes_that_did_not_see_the_item():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    features = torch.randn(40, 3, generator=generator) + labels[:, None]
    memory = torch.eye(40)  # a feature that names the item: useless for all but that one
    found, covered = cross_outputs(
        torch.cat([features, memory], 1), labels, 2, config=ProbeConfig(Cs=(1e-2,))
    )
    assert covered.tolist() == list(range(40))
    again, _ = cross_outputs(
        torch.cat([features, 5 * memory], 1), labels, 2, config=ProbeConfig(Cs=(1e-2,))
    )
    torch.testing.assert_close(found, again)
    whole = fit_probe(features, labels, 2, config=ProbeConfig(Cs=(1e-2,)))
    agree = (found.argmax(1) == whole.logits(features).argmax(1)).float().mean()
    assert agree > 0.8


def numbers_with_noise(noise, seed=0, n=40):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)) * [1, 10, 0.1, 1, 1, 0] + [0, 5, 0, 0, 0, 2]
    numbers = features[:, :2] @ [1.0, 0.05] + noise * rng.normal(size=n)
    targets = (numbers - numbers.mean()) / numbers.std()
    return torch.from_numpy(features).float(), torch.from_numpy(targets).float()[:, None]


def test_predictions_are_those_of_ridge_regression_on_standardized_features():
    features, targets = numbers_with_noise(0.3)
    probe = fit_ridge_probe(features, targets, RIDGE_CONFIG)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    ridge = Ridge(alpha=1 / probe.C).fit(scaled, targets[:, 0].double().numpy())
    np.testing.assert_allclose(
        probe.logits(features)[:, 0].numpy(), ridge.predict(scaled), atol=1e-5
    )


def test_the_penalty_is_that_of_the_least_leave_one_out_error():
    features, targets = numbers_with_noise(2.0)
    probe = fit_ridge_probe(features, targets, RIDGE_CONFIG)
    assert min(probe.scores, key=probe.scores.get) == probe.C
    scaled = StandardScaler().fit_transform(features.double().numpy())
    errors = -cross_val_score(
        Ridge(alpha=1 / probe.C),
        scaled,
        targets[:, 0].double().numpy(),
        cv=LeaveOneOut(),
        scoring="neg_mean_squared_error",
    )
    np.testing.assert_allclose(probe.scores[probe.C], errors.mean(), rtol=1e-6)


def test_more_noise_asks_for_a_stronger_penalty():
    quiet, loud = (
        fit_ridge_probe(*numbers_with_noise(noise), RIDGE_CONFIG).C for noise in (0.01, 5.0)
    )
    assert quiet > loud


def test_cross_outputs_are_of_models_that_did_not_see_the_item():
    features, targets = numbers_with_noise(0.3)
    groups = np.arange(len(targets)) // 2
    config = ProbeConfig(Cs=(0.1,))
    found, _ = ridge_cross_outputs(features, targets, group_folds(groups), config)
    X, y = features.double().numpy(), targets[:, 0].double().numpy()
    for train, test in GroupKFold(5).split(X, y, groups):
        scaler = StandardScaler().fit(X[train])
        ridge = Ridge(alpha=10.0).fit(scaler.transform(X[train]), y[train])
        np.testing.assert_allclose(
            found[test, 0].numpy(), ridge.predict(scaler.transform(X[test])), atol=1e-5
        )


def test_classes_by_least_squares_are_those_of_a_ridge_regression_of_logits():
    features, targets = numbers_with_noise(0.3)
    members = np.stack([targets[:, 0].numpy() > 0, targets[:, 0].numpy() < 0.5], 1)
    wanted = wanted_logits(members)
    assert wanted.unique().tolist() == [-5, 5]
    probe = fit_ridge_probe(features, wanted, RIDGE_CONFIG)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    ridge = Ridge(alpha=1 / probe.C).fit(scaled, wanted.numpy())
    np.testing.assert_allclose(probe.logits(features).numpy(), ridge.predict(scaled), atol=1e-4)
    config = ProbeConfig(Cs=(probe.C,), squared=True)
    labels = members.argmax(1)
    found, covered = ridge_cross_outputs(
        features, wanted, class_folds(labels, None, config), config
    )
    assert covered.tolist() == list(range(len(labels)))
    train, test = next(class_folds(labels, None, config))
    scaler = StandardScaler().fit(features[train].double().numpy())
    ridge = Ridge(alpha=1 / probe.C).fit(scaler.transform(features[train].double()), wanted[train])
    expected = ridge.predict(scaler.transform(features[test].double()))
    np.testing.assert_allclose(found[test].numpy(), expected, atol=1e-4)
