"""Ridge regression on standardized frozen features: of numbers, and of classes by least squares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from striate.transfer.probe import FOLDS, LinearProbe, ProbeConfig, feature_scale, fit_threads

RIDGE_CS: Final = tuple(float(10.0**power) for power in np.arange(-6, 2.5, 0.5))
"""Values of C tried for a ridge regression."""

SQUARED_LOGIT: Final = 5.0
"""Output that least squares aim at for a class that an item has; its negative for any other.

Where no held-out item is wrong there is nothing to calibrate by, and this says how sure a probe is.
The temperatures of eight sets of series, fitted to outputs of 1, are those of logits of 2 to 6.
"""


def fit_ridge_probe(
    features: Float[Tensor, "n features"], targets: Float[Tensor, "n k"], config: ProbeConfig
) -> LinearProbe:
    """Fit a ridge regression, its C chosen by squared leave-one-out errors, in closed form.

    Args:
        features: Features of the training items.
        targets: Their regression values, standardized, or wanted logits. One C is chosen for all
            columns.
        config: How the probe is fitted.
    """
    from sklearn.linear_model import RidgeCV

    X, Y = features.double().numpy(), targets.double().numpy()
    mean, scale = feature_scale(X, config)
    model = RidgeCV(alphas=[1 / C for C in config.Cs], store_cv_results=True)
    with fit_threads(X.size * Y.shape[1]):
        model.fit((X - mean) * scale, Y)
    weight = model.coef_.reshape(Y.shape[1], -1) * scale
    errors = model.cv_results_.reshape(-1, len(config.Cs)).mean(axis=0)
    bias = np.atleast_1d(model.intercept_ - weight @ mean)
    scores = dict(zip(config.Cs, errors.tolist(), strict=True))
    return LinearProbe.of(weight, bias, 1 / float(model.alpha_), scores)


def ridge_cross_outputs(
    features: Float[Tensor, "n features"],
    targets: Float[Tensor, "n k"],
    folds: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    config: ProbeConfig,
    judged: Float[Tensor, "n features"] | None = None,
) -> tuple[Float[Tensor, "m k"], Int64[np.ndarray, " m"]]:
    """Outputs of ridge regressions for items that each was not fitted to, fold by fold.

    Args:
        features: Features of all items.
        targets: Their regression values, standardized, or wanted logits.
        folds: Positions of the items to fit to and of those to hold out.
        config: How the probes are fitted, with the one C of every fit.
        judged: Other features of the same items, of which the outputs are; `features` without it.

    Returns:
        Outputs, and the positions of the items that they are of, ascending: those of the folds.
    """
    from sklearn.linear_model import Ridge

    X, Y = features.double().numpy(), targets.double().numpy()
    X_judged = X if judged is None else judged.double().numpy()
    found = np.full(Y.shape, np.nan)
    with fit_threads(X.size * Y.shape[1]):
        for train, test in folds:
            mean, scale = feature_scale(X[train], config)
            model = Ridge(alpha=1 / config.Cs[0]).fit((X[train] - mean) * scale, Y[train])
            found[test] = model.predict((X_judged[test] - mean) * scale).reshape(len(test), -1)
    covered = np.flatnonzero(np.isfinite(found).all(1))
    return torch.from_numpy(found[covered]).float(), covered


def wanted_logits(members: Bool[np.ndarray, "n k"]) -> Float[Tensor, "n k"]:
    """The targets of least squares, of whether each item has each class or label."""
    return torch.from_numpy(np.where(members, SQUARED_LOGIT, -SQUARED_LOGIT))


def group_folds(
    groups: Int64[np.ndarray, " n"],
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Folds that keep groups whole, the same each time; there must be two groups at least."""
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(min(FOLDS, len(np.unique(groups))))
    yield from splitter.split(groups, groups, groups)
