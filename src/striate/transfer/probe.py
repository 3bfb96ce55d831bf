"""A linear probe: regularized multinomial logistic regression on standardized frozen features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import DataError

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
"""Inverse regularization (scikit-learn's C) tried, from the strongest regularization on."""

_CONSTANT = 1e-6
"""A feature deviating by less than this, relative to its mean, is constant but for rounding."""


_FAR_MORE = 2
"""Features for each item from which on a fit goes by the axes that the items span."""

_SMALL = 1 << 28
"""Products in a pass over the features up to which one thread is enough."""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How a probe is fitted.

    Attributes:
        strengths: values of C to choose from, ascending; a single one is taken as it is.
        folds: parts of the cross-validation that chooses.
        class_weight: "balanced" lets each class weigh the same, in the fit and in the choice.
        max_iterations: of L-BFGS, for each fit.
        standardize: let each feature count alike; without it they are taken as they are, for
            coordinates whose lengths mean something.
        seed: of the folds.
    """

    strengths: tuple[float, ...] = STRENGTHS
    folds: int = 5
    class_weight: Literal["balanced"] | None = None
    max_iterations: int = 1000
    standardize: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """A linear layer on raw features; the standardization is folded into it.

    Attributes:
        weight: one row a class.
        bias: one number a class.
        strength: the C chosen.
        scores: log loss on held-out items by C; empty where there was nothing to choose.
    """

    weight: Float[Tensor, "classes features"]
    bias: Float[Tensor, " classes"]
    strength: float
    scores: Mapping[float, float]

    def logits(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Logits, computed in float64 as the features' scales may lie far apart."""
        return (features.double() @ self.weight.double().T + self.bias.double()).float()

    def predict_proba(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Probabilities of each class."""
        return self.logits(features).softmax(dim=1)

    def as_head(self) -> nn.Linear:
        """A fresh linear layer with these weights, to end a network."""
        head = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            head.weight.copy_(self.weight)
            head.bias.copy_(self.bias)
        return head


def fit_probe(
    features: Float[Tensor, "n features"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    config: ProbeConfig | None = None,
    groups: NDArray[np.int64] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
) -> LinearProbe:
    """Fit a probe, its strength chosen on held-out items.

    Args:
        features: of the training items.
        labels: their class numbers; each class occurs.
        num_classes: the number of outputs.
        config: how; the defaults without it.
        groups: items of one group never lie on two sides of a fold.
        validation: (features, labels) to choose the strength on, in place of cross-validation.

    Raises:
        DataError: a class has no training item.
    """
    config = config or ProbeConfig()
    X, y = features.double().numpy(), labels.numpy()
    missing = sorted(set(range(num_classes)) - set(y.tolist()))
    if missing:
        raise DataError(
            f"class number {missing[0]} has no training item",
            fix="add items of it or leave the class out",
        )
    scores: dict[float, float] = {}
    strength = config.strengths[0]
    with _threads(X.size * num_classes):
        if len(config.strengths) > 1:
            scores = _scores(X, y, num_classes, config, groups, validation)
            strength = min(scores, key=lambda C: (scores[C], C))
        (weight, bias), *_ = _path(X, y, num_classes, (strength,), config)
    return LinearProbe(
        weight=torch.from_numpy(weight).float(),
        bias=torch.from_numpy(bias).float(),
        strength=strength,
        scores=scores,
    )


def cross_outputs(
    features: Float[Tensor, "n features"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    config: ProbeConfig,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Float[Tensor, "m classes"], NDArray[np.int64]]:
    """What probes of one strength say of items that each was not fitted to, fold by fold.

    Args:
        features: of all items.
        labels: their class numbers.
        num_classes: the number of outputs.
        config: folds and seed, and the one strength of every fit.
        groups: items of one group never lie on two sides of a fold.

    Returns:
        Logits, and the positions of the items that they are of, ascending: all but those of a fold
        without which a single class would be left.
    """
    X, y = features.double().numpy(), labels.numpy()
    logits = np.full((len(y), num_classes), np.nan)
    with _threads(X.size * num_classes):
        for train, test in _folds(y, groups, config):
            (weight, bias), *_ = _path(
                X[train], y[train], num_classes, config.strengths[:1], config
            )
            logits[test] = X[test] @ weight.T + bias
    covered = np.flatnonzero(np.isfinite(logits).all(1))
    return torch.from_numpy(logits[covered]).float(), covered


def _threads(products: int) -> AbstractContextManager[Any]:
    """One thread for small fits: on a loaded machine waiting for each other takes 50 times longer."""
    from threadpoolctl import threadpool_limits

    import_module("sklearn.linear_model")  # the limit holds for libraries that are loaded already
    limits: AbstractContextManager[Any] = threadpool_limits(1 if products < _SMALL else None)
    return limits


def _scores(
    X: NDArray[Any],
    y: NDArray[Any],
    num_classes: int,
    config: ProbeConfig,
    groups: NDArray[np.int64] | None,
    validation: tuple[Tensor, Tensor] | None,
) -> dict[float, float]:
    """Mean log loss of held-out items for each strength."""
    weights = _item_weights(y, num_classes, config)
    totals = np.zeros(len(config.strengths))
    if validation is not None:
        held, truth = validation[0].double().numpy(), validation[1].numpy()
        held_weights = _item_weights(truth, num_classes, config)
        for i, layer in enumerate(_path(X, y, num_classes, config.strengths, config)):
            totals[i] = _log_loss(held, truth, held_weights, layer) / held_weights.sum()
        return dict(zip(config.strengths, totals.tolist(), strict=True))
    for train, test in _folds(y, groups, config):
        for i, layer in enumerate(_path(X[train], y[train], num_classes, config.strengths, config)):
            totals[i] += _log_loss(X[test], y[test], weights[test], layer)
    return dict(zip(config.strengths, (totals / weights.sum()).tolist(), strict=True))


def _folds(
    y: NDArray[Any], groups: NDArray[np.int64] | None, config: ProbeConfig
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Stratified folds that keep groups whole; a class too small for a fold is left to the others."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    num_groups = len(y) if groups is None else len(np.unique(groups))
    whole = num_groups < len(y)
    parts = max(2, min(config.folds, num_groups, int(np.bincount(y).max())))
    splitter_type = StratifiedGroupKFold if whole else StratifiedKFold
    splitter = splitter_type(parts, shuffle=True, random_state=config.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(splitter.split(y, y, groups if whole else None))
    for train, test in folds:
        if len(np.unique(y[train])) > 1:
            yield train, test


def _path(
    X: NDArray[Any],
    y: NDArray[Any],
    num_classes: int,
    strengths: tuple[float, ...],
    config: ProbeConfig,
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Layers on raw features for each strength, each fit started from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = feature_scale(X, config)
    Z, back = _rotated((X - mean) * scale)
    model = LogisticRegression(
        max_iter=config.max_iterations, class_weight=config.class_weight, warm_start=True
    )
    for strength in strengths:
        model.set_params(C=strength)
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
    spanned = squares > _CONSTANT**2 * squares[-1]
    lengths = np.sqrt(squares[spanned])
    axes = axes[:, spanned]
    return axes * lengths, (axes / lengths).T @ Z


def feature_scale(
    X: Float[np.ndarray, "n features"], config: ProbeConfig | None = None
) -> tuple[Float[np.ndarray, " features"], Float[np.ndarray, " features"]]:
    """Mean and inverse deviation of each feature; 0 in place of the latter for constant ones.

    Zeros and ones where `config` says that features are taken as they are.
    """
    if config is not None and not config.standardize:
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    mean, std = X.mean(0), X.std(0)
    varies = std > _CONSTANT * np.abs(mean)
    return mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies & (std > 0))


_ABSENT = -30.0
"""Bias of a class without a training item in a fold: a probability of nearly nothing."""


def _all_classes(model: Any, num_classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A row for each class: two for the one of a binary model, and one for an absent class."""
    rows, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # softmax of (-z/2, z/2) is the sigmoid of z
        rows, bias = np.concatenate([-rows, rows]) / 2, np.concatenate([-bias, bias]) / 2
    weight = np.zeros((num_classes, rows.shape[1]))
    shift = np.full(num_classes, _ABSENT)
    weight[model.classes_], shift[model.classes_] = rows, bias
    return weight, shift


def _item_weights(y: NDArray[Any], num_classes: int, config: ProbeConfig) -> NDArray[np.float64]:
    """1 for each item, or as much as lets each class weigh the same."""
    if config.class_weight is None:
        return np.ones(len(y))
    counts = np.bincount(y, minlength=num_classes)
    return np.asarray(len(y) / (np.count_nonzero(counts) * counts[y]), dtype=np.float64)


def _log_loss(
    X: NDArray[Any],
    y: NDArray[Any],
    weights: NDArray[np.float64],
    layer: tuple[NDArray[Any], NDArray[Any]],
) -> float:
    """Weighted sum of the negative log likelihood."""
    logits = X @ layer[0].T + layer[1]
    logits -= logits.max(1, keepdims=True)
    log_p = logits[np.arange(len(y)), y] - np.log(np.exp(logits).sum(1))
    return float(-(weights * log_p).sum())
