"""Logistic regression on standardized frozen features, its C chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import DataError
from striate.transfer.logistic import LogisticSpace
from striate.transfer.probe import (
    CONSTANT,
    FOLDS,
    LinearProbe,
    ProbeConfig,
    feature_scale,
    fit_threads,
)

MAX_JUDGES: Final = 4000
"""Items by which a quick fit chooses its C, at most; of more a random part is taken."""

QUICK_CS: Final = 5
"""Values of C of which a quick fit tries all; of more it tries every second."""

MANY_PRODUCTS: Final = 100_000_000
"""Products in a pass over the features from which on every logistic regression is fitted quickly:
the usual one would take minutes."""

FEW_JUDGES: Final = 1000
"""Items from which on one fold of five chooses the C of a quick fit."""

_MAX_ITERATIONS: Final = 1000
"""Iterations of L-BFGS in one fit, at most."""

_FAR_MORE: Final = 2
"""Features for each item from which on a fit goes by the axes that the items span."""

_ABSENT_BIAS: Final = -30.0
"""Bias of a class without a training item in a fold: a probability of nearly nothing."""


def fit_probe(
    features: Float[Tensor, "n features"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    config: ProbeConfig | None = None,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> LinearProbe:
    """Fit a logistic regression, its C chosen by cross-validation.

    Args:
        features: Features of the training items.
        labels: Their class numbers; each class occurs.
        num_classes: Number of outputs.
        config: How the probe is fitted; the defaults without it.
        groups: Items of one group never lie on two sides of a fold.

    Raises:
        DataError: A class has no training item.
    """
    config = config or ProbeConfig()
    y = labels.numpy()
    missing = sorted(set(range(num_classes)) - set(y.tolist()))
    if missing:
        raise DataError(
            f"class number {missing[0]} has no training item",
            fix="add items of it or leave the class out",
        )
    scores: dict[float, float] = {}
    C = config.Cs[0]
    if _is_quick(features, num_classes, config):
        return _quick_probe(features.numpy(), y, num_classes, config, groups)
    X = features.double().numpy()
    with fit_threads(X.size * num_classes):
        if len(config.Cs) > 1:
            scores = _cross_validation_losses(X, y, num_classes, config, groups)
            C = _best(scores, config)
        (weight, bias), *_ = logistic_path(X, y, num_classes, (C,), config)
    return LinearProbe.of(weight, bias, C, scores)


def cross_outputs(
    features: Float[Tensor, "n features"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    config: ProbeConfig,
    groups: Int64[np.ndarray, " n"] | None = None,
    judged: Float[Tensor, "n features"] | None = None,
) -> tuple[Float[Tensor, "m classes"], Int64[np.ndarray, " m"]]:
    """Outputs of logistic regressions for items that each was not fitted to, fold by fold.

    Args:
        features: Features of all items.
        labels: Their class numbers.
        num_classes: Number of outputs.
        config: How the probes are fitted, with the one C of every fit.
        groups: Items of one group never lie on two sides of a fold.
        judged: Other features of the same items, such as those of their mirror images, of which the
            outputs are; `features` without it.

    Returns:
        Logits, and the positions of the items that they are of, ascending: all but those of a fold
        without which a single class would be left; none where no fold can be made.
    """
    X, y = features.double().numpy(), labels.numpy()
    X_judged = X if judged is None else judged.double().numpy()
    logits = np.full((len(y), num_classes), np.nan)
    with fit_threads(X.size * num_classes):
        if _is_quick(features, num_classes, config):
            mean, scale = feature_scale(X, config)
            space = LogisticSpace(X, mean, scale)
            placed = space.items if judged is None else space.placed(X_judged)
            for train, test in class_folds(y, groups, config):
                (layer,) = _quick_path(space, train, y[train], num_classes, config.Cs[:1])
                logits[test] = placed[test] @ layer[0].T + layer[1]
            covered = np.flatnonzero(np.isfinite(logits).all(1))
            return torch.from_numpy(logits[covered]).float(), covered
        for train, test in class_folds(y, groups, config):
            (weight, bias), *_ = logistic_path(
                X[train], y[train], num_classes, config.Cs[:1], config
            )
            logits[test] = X_judged[test] @ weight.T + bias
    covered = np.flatnonzero(np.isfinite(logits).all(1))
    return torch.from_numpy(logits[covered]).float(), covered


def _is_quick(features: Tensor, num_classes: int, config: ProbeConfig) -> bool:
    return config.quick or features.numel() * num_classes >= MANY_PRODUCTS


def _quick_probe(
    X: NDArray[Any],
    y: NDArray[np.int64],
    num_classes: int,
    config: ProbeConfig,
    groups: NDArray[np.int64] | None,
) -> LinearProbe:
    """A logistic regression in the coordinates of `striate.transfer.logistic`."""
    scores: dict[float, float] = {}
    C = config.Cs[0]
    with fit_threads(X.size * num_classes):
        space = LogisticSpace(X, *feature_scale(X, config))
        if len(config.Cs) > QUICK_CS:
            config = replace(config, Cs=config.Cs[1::2])
        if len(config.Cs) > 1:
            scores = _quick_losses(space, y, num_classes, config, groups)
            C = _best(scores, config)
        ((weight, bias),) = _quick_path(space, np.arange(len(y)), y, num_classes, (C,))
        weight, bias = space.layer(weight, bias)
    return LinearProbe.of(weight, bias, C, scores)


def _quick_losses(
    space: LogisticSpace,
    y: NDArray[np.int64],
    num_classes: int,
    config: ProbeConfig,
    groups: NDArray[np.int64] | None,
) -> dict[float, float]:
    """Mean negative log likelihood of held-out items by C, as `_cross_validation_losses`."""
    draw = np.random.default_rng(config.seed)
    judges = np.sort(draw.permutation(len(y))[:MAX_JUDGES])
    own = None if groups is None else groups[judges]
    folds = list(class_folds(y[judges], own, config))
    folds = folds[:1] if len(judges) >= FEW_JUDGES else folds
    totals = np.zeros(len(config.Cs))
    for train, test in folds:
        rows, held_out = judges[train], judges[test]
        layers = _quick_path(space, rows, y[rows], num_classes, config.Cs)
        for i, (weight, bias) in enumerate(layers):
            logits = space.items[held_out] @ weight.T + bias
            totals[i] += _negative_log_likelihoods(logits, y[held_out]).sum()
    count = sum(len(test) for _, test in folds)
    return dict(zip(config.Cs, (totals / count).tolist(), strict=True)) if count else {}


def _quick_path(
    space: LogisticSpace,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    num_classes: int,
    Cs: tuple[float, ...],
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Layers along the space's axes, with a row for each class; see `logistic_path`."""
    there, numbers = np.unique(labels, return_inverse=True)
    for weight, bias in space.path(rows, numbers, len(there), Cs):
        all_weights = np.zeros((num_classes, weight.shape[1]))
        all_biases = np.full(num_classes, _ABSENT_BIAS)
        all_weights[there], all_biases[there] = weight, bias
        yield all_weights, all_biases


def _best(scores: dict[float, float], config: ProbeConfig) -> float:
    """The C of least loss, the smaller of equals; the middle one where no fold could be made."""
    middle = config.Cs[len(config.Cs) // 2]
    return min(scores, key=lambda C: (scores[C], C)) if scores else middle


def _negative_log_likelihoods(
    logits: NDArray[Any], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(items,) of their own classes."""
    logits = logits - logits.max(1, keepdims=True)
    chosen = logits[np.arange(len(labels)), labels]
    return np.asarray(np.log(np.exp(logits).sum(1)) - chosen)


def _cross_validation_losses(
    X: NDArray[Any],
    y: NDArray[Any],
    num_classes: int,
    config: ProbeConfig,
    groups: NDArray[np.int64] | None,
) -> dict[float, float]:
    """Mean negative log likelihood of held-out items by C; empty where no fold can be made."""
    totals = np.zeros(len(config.Cs))
    num_folds = 0
    for train, test in class_folds(y, groups, config):
        layers = logistic_path(X[train], y[train], num_classes, config.Cs, config)
        for i, (weight, bias) in enumerate(layers):
            totals[i] += _negative_log_likelihoods(X[test] @ weight.T + bias, y[test]).sum()
        num_folds += 1
    if not num_folds:
        return {}
    return dict(zip(config.Cs, (totals / len(y)).tolist(), strict=True))


def class_folds(
    y: NDArray[Any], groups: NDArray[np.int64] | None, config: ProbeConfig
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Stratified folds that keep groups whole; a class too small for a fold is left to the others.

    None where each class has one item, or all are one group.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    num_groups = len(y) if groups is None else len(np.unique(groups))
    whole = num_groups < len(y)
    if num_groups < 2 or np.bincount(y).max() < 2:
        return
    num_folds = max(2, min(FOLDS, num_groups, int(np.bincount(y).max())))
    splitter_type = StratifiedGroupKFold if whole else StratifiedKFold
    splitter = splitter_type(num_folds, shuffle=True, random_state=config.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(y, y, groups if whole else None))
    for train, test in folds:
        if len(np.unique(y[train])) > 1:
            yield train, test


def logistic_path(
    X: NDArray[Any], y: NDArray[Any], num_classes: int, Cs: tuple[float, ...], config: ProbeConfig
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Weights and biases on raw features for each C, each fit started from the one before.

    Args:
        X: (items, features) Features of the items to fit to.
        y: (items,) Their class numbers, of two classes at least.
        num_classes: Number of classes; those that do not occur get a probability of nearly
            nothing.
        Cs: Values of C, ascending.
        config: Whether features are standardized.

    Yields:
        Weights (classes, features) and biases (classes,). The two rows of two classes are each
        other's negative, and their difference is the logit of class 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = feature_scale(X, config)
    Z, back = _rotated((X - mean) * scale)
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)
    for C in Cs:
        model.set_params(C=C)
        with warnings.catch_warnings():  # the last iterate is a usable layer, early stopped
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(Z, y)
        weight, bias = _all_classes(model, num_classes)
        weight = weight if back is None else weight @ back
        yield weight * scale, bias - (weight * scale) @ mean


def _rotated(Z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The items in the axes that they span, where features far outnumber them, and the way back.

    A rotation changes neither the logits nor the length of the weights, so the probe is the same;
    the fit takes as many numbers an item as there are items, not ten thousand.
    """
    if Z.shape[1] <= _FAR_MORE * Z.shape[0]:
        return Z, None
    squares, axes = np.linalg.eigh(Z @ Z.T)
    spanned = squares > CONSTANT**2 * squares[-1]
    lengths = np.sqrt(squares[spanned])
    axes = axes[:, spanned]
    return axes * lengths, (axes / lengths).T @ Z


def _all_classes(model: Any, num_classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A row for each class: two for the one of a binary model, and one for an absent class."""
    rows, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # softmax of (-z/2, z/2) is the sigmoid of z
        rows, bias = np.concatenate([-rows, rows]) / 2, np.concatenate([-bias, bias]) / 2
    weight = np.zeros((num_classes, rows.shape[1]))
    shift = np.full(num_classes, _ABSENT_BIAS)
    weight[model.classes_], shift[model.classes_] = rows, bias
    return weight, shift
