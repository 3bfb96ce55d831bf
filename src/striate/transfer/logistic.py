"""Logistic regressions of many items or features within seconds.

The same problem as scikit-learn's, solved in coordinates in which it is nearly round: along the
axes of the features' covariance, each scaled by what it is bent. A quasi-Newton method then needs
tens of steps where it needs hundreds along the features themselves. The axes are found once and
serve every fold and every regularization.

Axes: n items, f features, r axes, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

CURVATURE: Final = 0.1
"""About what a probability p bends the loss by, p (1 - p), where classes are told apart by now."""

LARGE: Final = 500_000
"""Numbers of features of all items together from which on they are kept in single precision."""

MAX_STEPS: Final = 60
"""Steps of a fit, at most."""

TOLERANCE: Final = 2e-5
"""Relative decrease of the loss in a step below which a fit is over."""


class LogisticSpace:
    """Items along the axes of their features' covariance, in which regressions are fitted.

    Args:
        features: Features of the items that are fitted to, and of those held out.
        shift: Is taken off each feature.
        scale: Multiplies each feature then.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "n f"],
        shift: Float[np.ndarray, " f"],
        scale: Float[np.ndarray, " f"],
    ) -> None:
        self._shift, self._scale = shift, scale
        dtype = np.float32 if features.size > LARGE else np.float64
        Z = ((features - shift) * scale).astype(dtype)
        few_items = len(Z) < Z.shape[1]
        squares, axes = np.linalg.eigh(Z @ Z.T if few_items else Z.T @ Z)
        rounding = len(squares) * np.finfo(dtype).eps
        spanned = squares > rounding * max(float(squares[-1]), float(np.finfo(dtype).tiny))
        lengths = np.sqrt(squares[spanned])
        self._axes = Z.T @ (axes[:, spanned] / lengths) if few_items else axes[:, spanned]
        self._squares = squares[spanned] / len(Z)
        self.items: NDArray[Any] = (Z @ self._axes).astype(dtype)

    def placed(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n r"]:
        """Other items along the same axes."""
        return np.asarray(((features - self._shift) * self._scale) @ self._axes)

    def layer(
        self, weight: Float[np.ndarray, "k r"], bias: Float[np.ndarray, " k"]
    ) -> tuple[Float[np.ndarray, "k f"], Float[np.ndarray, " k"]]:
        """A layer along the axes as one on the features as they were given."""
        raw = (weight @ self._axes.T) * self._scale
        return raw, bias - raw @ self._shift

    def path(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        num_classes: int,
        Cs: Sequence[float],
    ) -> Iterator[tuple[Float[np.ndarray, "k r"], Float[np.ndarray, " k"]]]:
        """Weights and biases along the axes for each C, each fit started from the one before.

        Args:
            rows: Positions of the items to fit to.
            labels: (rows,) Their class numbers.
            num_classes: Number of classes, each of which occurs.
            Cs: Values of C, ascending; see `striate.transfer.logistic_probe`.
        """
        from scipy.optimize import minimize

        X = self.items[rows]
        weight = np.zeros((num_classes, X.shape[1]))
        bias = np.zeros(num_classes)
        # Two rows that are each other's negative are punished half as much as their difference.
        penalties = [(2.0 if num_classes == 2 else 1.0) / C for C in Cs]
        for penalty in penalties:
            bend = np.sqrt(CURVATURE * len(X) * self._squares + penalty)
            start = np.concatenate([(weight * bend).ravel(), bias * np.sqrt(CURVATURE * len(X))])
            found = minimize(
                _loss,
                start,
                args=(X, labels, bend, penalty),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": MAX_STEPS, "ftol": TOLERANCE, "gtol": 0.0, "maxcor": 20},
            ).x
            weight = found[:-num_classes].reshape(num_classes, -1) / bend
            bias = found[-num_classes:] / np.sqrt(CURVATURE * len(X))
            yield weight, bias


def _loss(
    point: NDArray[np.float64],
    X: NDArray[Any],
    labels: NDArray[np.int64],
    bend: NDArray[np.float64],
    penalty: float,
) -> tuple[float, NDArray[np.float64]]:
    """Summed loss and half the penalty times the squared weights; and the gradient of both."""
    num_axes = len(bend)
    num_classes = len(point) // (num_axes + 1)
    bias_scale = np.sqrt(CURVATURE * len(X))
    weight = point[:-num_classes].reshape(num_classes, num_axes) / bend
    logits = (X @ weight.T.astype(X.dtype)).astype(np.float64) + point[-num_classes:] / bias_scale
    logits -= logits.max(1, keepdims=True)
    shares = np.exp(logits)
    sums = shares.sum(1)
    rows = np.arange(len(X))
    loss = np.log(sums).sum() - logits[rows, labels].sum() + 0.5 * penalty * np.square(weight).sum()
    shares /= sums[:, None]
    shares[rows, labels] -= 1
    slope = (X.T @ shares.astype(X.dtype)).T.astype(np.float64) + penalty * weight
    return float(loss), np.concatenate([(slope / bend).ravel(), shares.sum(0) / bias_scale])
