"""Linear probes of several labels: a logistic regression for each, with one C for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from striate.data.splits.iterative import iterative_parts
from striate.tasks.multilabel.scoring import cross_entropies
from striate.transfer.logistic_probe import logistic_path
from striate.transfer.probe import FOLDS, LinearProbe, ProbeConfig, fit_threads
from striate.transfer.ridge_probe import fit_ridge_probe, ridge_cross_outputs, wanted_logits


def fit_label_probes(
    features: Float[Tensor, "n features"],
    members: Bool[np.ndarray, "n labels"],
    groups: Int64[np.ndarray, " n"],
    config: ProbeConfig,
) -> LinearProbe:
    """Fit a logistic regression for each label, the C of all chosen by cross-validation.

    Args:
        features: Features of the training items.
        members: Whether each item has each label.
        groups: Items of one group never lie on two sides of a fold.
        config: How the probes are fitted.
    """
    if config.squared:
        return fit_ridge_probe(features, wanted_logits(members), config)
    X = features.double().numpy()
    scores: dict[float, float] = {}
    C = config.Cs[0]
    with fit_threads(X.size):
        if len(config.Cs) > 1:
            scores = _cross_validation_losses(X, members, groups, config)
            C = min(scores, key=lambda C: (scores[C], C))
        (layer,) = _layers(X, members, (C,), config)
    return LinearProbe.of(*layer, C, scores)


def label_cross_outputs(
    features: Float[Tensor, "n features"],
    members: Bool[np.ndarray, "n labels"],
    groups: Int64[np.ndarray, " n"],
    config: ProbeConfig,
    judged: Float[Tensor, "n features"] | None = None,
) -> Float[Tensor, "n labels"]:
    """Logits of regressions for items that each was not fitted to, fold by fold.

    Args:
        features: Features of all items.
        members: Whether each item has each label.
        groups: Items of one group never lie on two sides of a fold; at least two groups.
        config: How the probes are fitted, with the one C of every fit.
        judged: Other features of the same items, of which the outputs are; `features` without it.
    """
    if config.squared:
        folds = _folds(members, groups, config)
        outputs, _ = ridge_cross_outputs(features, wanted_logits(members), folds, config, judged)
        return outputs
    X = features.double().numpy()
    X_judged = X if judged is None else judged.double().numpy()
    logits = np.empty(members.shape)
    with fit_threads(X.size):
        for train, test in _folds(members, groups, config):
            ((weight, bias),) = _layers(X[train], members[train], config.Cs[:1], config)
            logits[test] = X_judged[test] @ weight.T + bias
    return torch.from_numpy(logits).float()


def _cross_validation_losses(
    X: NDArray[np.float64],
    members: NDArray[np.bool_],
    groups: NDArray[np.int64],
    config: ProbeConfig,
) -> dict[float, float]:
    """Mean binary cross entropy of held-out items by C."""
    totals = np.zeros(len(config.Cs))
    for train, test in _folds(members, groups, config):
        for i, (weight, bias) in enumerate(_layers(X[train], members[train], config.Cs, config)):
            totals[i] += cross_entropies(X[test] @ weight.T + bias, members[test]).sum()
    return dict(zip(config.Cs, (totals / members.size).tolist(), strict=True))


def _folds(
    members: NDArray[np.bool_], groups: NDArray[np.int64], config: ProbeConfig
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions to fit to and to hold out: folds with every label in proportion."""
    count = max(2, min(FOLDS, len(np.unique(groups))))
    parts = iterative_parts(members, groups, [1 / count] * count, seed=config.seed)
    for part in np.unique(parts):
        if (parts != part).any():
            yield np.flatnonzero(parts != part), np.flatnonzero(parts == part)


def _layers(
    X: NDArray[np.float64], members: NDArray[np.bool_], Cs: tuple[float, ...], config: ProbeConfig
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Weights (labels, features) and biases (labels,) for each C."""
    weights = np.zeros((len(Cs), members.shape[1], X.shape[1]))
    biases = np.zeros((len(Cs), members.shape[1]))
    for k, has in enumerate(members.T):
        if has.all() or not has.any():  # only its share is known
            biases[:, k] = np.log((has.sum() + 0.5) / ((~has).sum() + 0.5))
            continue
        for i, (rows, shift) in enumerate(logistic_path(X, has.astype(np.int64), 2, Cs, config)):
            weights[i, k], biases[i, k] = rows[1] - rows[0], shift[1] - shift[0]
    return list(zip(weights, biases, strict=True))
