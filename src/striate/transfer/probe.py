"""What a linear probe on frozen features is, and what every way to fit one needs.

The regularization `C` is scikit-learn's: the larger it is, the weaker the regularization. For a
ridge regression it is the inverse of the penalty `alpha`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

CS: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
"""Values of C tried for a logistic regression."""

FOLDS: Final = 5
"""Folds of a cross-validation."""

CONSTANT: Final = 1e-6
"""A feature deviating by less than this, relative to its mean, is constant but for rounding."""

_ONE_THREAD_PRODUCTS: Final = 1 << 28
"""Products in a pass over the features up to which one thread is enough."""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How a probe is fitted.

    Attributes:
        Cs: Values of C to choose from, ascending; a single one is taken as it is.
        standardize: Whether each feature counts alike. Without it they are taken as they are, for
            coordinates whose lengths mean something.
        seed: Seed of the folds.
        quick: Whether the same problem is solved in fewer steps and to fewer digits, and where
            items are many, one fold of a part of them chooses C (`striate.transfer.logistic`).
        squared: Whether classes and labels are fitted by least squares, to logits of
            `SQUARED_LOGIT` and its negative: quicker where features are very many.
    """

    Cs: tuple[float, ...] = CS
    standardize: bool = True
    seed: int = 0
    quick: bool = False
    squared: bool = False


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """A linear layer on raw features; the standardization is folded into it.

    Attributes:
        weight: One row for each class, or a single row for a regression value.
        bias: One number for each row.
        C: The regularization chosen.
        scores: Mean loss on held-out items by C; empty where there was nothing to choose.
    """

    weight: Float[Tensor, "outputs features"]
    bias: Float[Tensor, " outputs"]
    C: float
    scores: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        weight: Float[np.ndarray, "outputs features"],
        bias: Float[np.ndarray, " outputs"],
        C: float,
        scores: Mapping[float, float],
    ) -> Self:
        """A probe in float32 of what was fitted in float64."""
        weights, biases = (torch.from_numpy(array).float() for array in (weight, bias))
        return cls(weight=weights, bias=biases, C=C, scores=scores)

    def logits(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n outputs"]:
        """The layer's outputs, computed in float64 as the features' scales may lie far apart."""
        return (features.double() @ self.weight.double().T + self.bias.double()).float()

    def as_head(self) -> nn.Linear:
        """A fresh linear layer with these weights, to end a network."""
        head = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            head.weight.copy_(self.weight)
            head.bias.copy_(self.bias)
        return head


def feature_scale(
    X: Float[np.ndarray, "n features"], config: ProbeConfig | None = None
) -> tuple[Float[np.ndarray, " features"], Float[np.ndarray, " features"]]:
    """Mean and inverse standard deviation of each feature; 0 for the latter of constant ones.

    Zeros and ones where `config` says that features are taken as they are.
    """
    if config is not None and not config.standardize:
        return np.zeros(X.shape[1]), np.ones(X.shape[1])
    mean, std = X.mean(0), X.std(0)
    varies = std > CONSTANT * np.abs(mean)
    return mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies & (std > 0))


def fit_threads(products: int) -> AbstractContextManager[Any]:
    """One thread for small fits: on a loaded machine waiting for each other takes 50 times longer."""
    from threadpoolctl import threadpool_limits

    import_module("sklearn.linear_model")  # the limit holds for libraries that are loaded already
    limit = 1 if products < _ONE_THREAD_PRODUCTS else None
    limits: AbstractContextManager[Any] = threadpool_limits(limit)
    return limits
