"""A linear probe for numbers: ridge regression on standardized frozen features."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.transfer.probe import LinearProbe, ProbeConfig, feature_scale

STRENGTHS: Final = tuple(float(10.0**power) for power in np.arange(-6, 2.5, 0.5))
"""Inverse penalties tried; leave-one-out errors choose among them."""

FOLDS: Final = 5


def fit_ridge_probe(
    features: Float[Tensor, "n features"],
    targets: Float[Tensor, "n 1"],
    config: ProbeConfig,
) -> LinearProbe:
    """Fit a probe for numbers; its penalty is chosen by leave-one-out errors, in closed form.

    Args:
        features: of the training items.
        targets: their numbers, standardized.
        config: strengths and standardization.

    Returns:
        A layer with one output; `strength` is the inverse penalty, `scores` the mean squared
        leave-one-out error by strength.
    """
    from sklearn.linear_model import RidgeCV

    X, y = features.double().numpy(), targets[:, 0].double().numpy()
    mean, scale = feature_scale(X, config)
    penalties = [1 / strength for strength in config.strengths]
    model = RidgeCV(alphas=penalties, store_cv_results=True).fit((X - mean) * scale, y)
    weight = model.coef_ * scale
    errors = model.cv_results_.mean(axis=0)
    return LinearProbe(
        weight=torch.from_numpy(weight[None]).float(),
        bias=torch.tensor([model.intercept_ - weight @ mean], dtype=torch.float32),
        strength=1 / float(model.alpha_),
        scores=dict(zip(config.strengths, errors.tolist(), strict=True)),
    )


def ridge_cross_outputs(
    features: Float[Tensor, "n features"],
    targets: Float[Tensor, "n 1"],
    groups: Int[np.ndarray, " n"],
    config: ProbeConfig,
) -> Float[Tensor, "n 1"]:
    """What probes of one strength say of items that each was not fitted to, fold by fold.

    Args:
        features: of all items.
        targets: their numbers, standardized.
        groups: items of one group never lie on two sides of a fold; two groups at least.
        config: standardization, and the one strength of every fit.
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    X, y = features.double().numpy(), targets[:, 0].double().numpy()
    found = np.empty(len(y))
    for train, test in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(X, y, groups):
        mean, scale = feature_scale(X[train], config)
        model = Ridge(alpha=1 / config.strengths[0]).fit((X[train] - mean) * scale, y[train])
        found[test] = model.predict((X[test] - mean) * scale)
    return torch.from_numpy(found[:, None]).float()
