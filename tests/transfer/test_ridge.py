"""The ridge probe against scikit-learn on standardized features."""

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, LeaveOneOut, cross_val_score
from sklearn.preprocessing import StandardScaler

from striate.transfer.probe import ProbeConfig
from striate.transfer.ridge import STRENGTHS, fit_ridge_probe, ridge_cross_outputs

CONFIG = ProbeConfig(strengths=STRENGTHS)


def data(noise, seed=0, n=40):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)) * [1, 10, 0.1, 1, 1, 0] + [0, 5, 0, 0, 0, 2]
    numbers = features[:, :2] @ [1.0, 0.05] + noise * rng.normal(size=n)
    targets = (numbers - numbers.mean()) / numbers.std()
    return torch.from_numpy(features).float(), torch.from_numpy(targets).float()[:, None]


def test_predictions_are_those_of_ridge_regression_on_standardized_features():
    features, targets = data(0.3)
    probe = fit_ridge_probe(features, targets, CONFIG)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    ridge = Ridge(alpha=1 / probe.strength).fit(scaled, targets[:, 0].double().numpy())
    np.testing.assert_allclose(
        probe.logits(features)[:, 0].numpy(), ridge.predict(scaled), atol=1e-5
    )


def test_the_penalty_is_that_of_the_least_leave_one_out_error():
    features, targets = data(2.0)
    probe = fit_ridge_probe(features, targets, CONFIG)
    assert probe.strength == min(probe.scores, key=probe.scores.get)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    errors = -cross_val_score(
        Ridge(alpha=1 / probe.strength),
        scaled,
        targets[:, 0].double().numpy(),
        cv=LeaveOneOut(),
        scoring="neg_mean_squared_error",
    )
    np.testing.assert_allclose(probe.scores[probe.strength], errors.mean(), rtol=1e-6)


def test_more_noise_asks_for_a_stronger_penalty():
    quiet, loud = (fit_ridge_probe(*data(noise), CONFIG).strength for noise in (0.01, 5.0))
    assert quiet > loud


def test_cross_outputs_are_of_models_that_did_not_see_the_item():
    features, targets = data(0.3)
    groups = np.arange(len(targets)) // 2
    found = ridge_cross_outputs(features, targets, groups, ProbeConfig(strengths=(0.1,)))
    X, y = features.double().numpy(), targets[:, 0].double().numpy()
    for train, test in GroupKFold(5).split(X, y, groups):
        scaler = StandardScaler().fit(X[train])
        ridge = Ridge(alpha=10.0).fit(scaler.transform(X[train]), y[train])
        np.testing.assert_allclose(
            found[test, 0].numpy(), ridge.predict(scaler.transform(X[test])), atol=1e-5
        )
