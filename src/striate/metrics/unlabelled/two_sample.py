"""Whether two sets of items come from the same place, by a classifier that tries to tell them apart.

Axes: n rows of the first set, m rows of the second, N rows in all, k columns, p divisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

PERMUTATIONS: Final = 999
"""Random ways to divide all rows in two that the true one is compared with."""

RIDGE: Final = 0.1
"""Regularization, in mean variances of the rows along an axis; chosen by simulation."""

_TIE: Final = 1e-9
_NO_WEIGHT: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class TwoSampleTest:
    """The result of a test whether two sets of rows come from the same place.

    Attributes:
        told_apart: Area under the ROC curve of the classifier on rows that it has not seen: 1 where
            it tells all rows of the sets apart, about 0.5 where it tells none.
        p_value: Share of the random divisions, the true one among them, that the classifier tells
            as well. Where both sets come from the same place it is below any level with at most
            that probability, however many rows and columns there are.
    """

    told_apart: float
    p_value: float


def classifier_test(
    first: Float[np.ndarray, "n k"],
    second: Float[np.ndarray, "m k"],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> TwoSampleTest:
    """Test whether two sets of rows come from the same place, by a classifier and permutations.

    A ridge regression on standardized columns learns which set a row belongs to from all other
    rows, each row being left out in turn. That has a closed form, which is linear in the labels, so
    that the same is done for every random division of the rows at the cost of a matrix product.

    Source: Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017; a p-value that
    counts the true division, Phipson, Smyth 2010.

    Args:
        first: Rows of the one set.
        second: Rows of the other; each set has a row at least.
        permutations: Number of random divisions.
        seed: Seed of these.
    """
    rows = _standardized(np.concatenate([first, second]).astype(np.float64))
    labels = _divisions(len(first), len(second), permutations, seed)
    scores = _left_out_scores(rows, labels)
    spread = scores.std(0)
    found = (labels * scores).sum(0) / np.where(spread > 0, spread, 1.0)
    return TwoSampleTest(
        told_apart=_area(scores[:, 0], labels[:, 0] > 0),
        p_value=float((found >= found[0] - _TIE).mean()),
    )


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values of several tests, raised so that the smallest tells of all of them together.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    order = np.argsort(p_values, kind="stable")
    raised = np.empty(len(p_values))
    steps = np.arange(len(p_values), 0, -1)
    raised[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1.0)
    return raised


def _standardized(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of mean 0 and deviation 1 over all rows; one that does not vary becomes 0."""
    centred, std = rows - rows.mean(0), rows.std(0)
    varies = std > 1e-9 * np.maximum(np.abs(rows).max(0), 1e-12)
    return np.where(varies, centred / np.where(varies, std, 1.0), 0.0)


def _left_out_scores(rows: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 1 + p) what the regression on all other rows predicts for each row, for each division."""
    few_columns = rows.shape[1] < len(rows)
    products = rows.T @ rows if few_columns else rows @ rows.T
    squares, axes = np.linalg.eigh(products)
    squares = np.maximum(squares, 0.0)
    kept = squares > _NO_WEIGHT * max(float(squares[-1]), 1e-300)
    squares, axes = squares[kept], axes[:, kept]
    along = rows @ axes / np.sqrt(squares) if few_columns else axes
    shrunk = along * (squares / (squares + RIDGE * squares.sum() / len(rows)))
    leverage = (shrunk * along).sum(1)[:, None]
    return np.asarray((shrunk @ (along.T @ labels) - leverage * labels) / (1 - leverage))


def _divisions(n: int, m: int, permutations: int, seed: int) -> NDArray[np.float64]:
    """(N, 1 + p) labels of the rows, of sum 0: negative in the first set, positive in the second."""
    rng = np.random.default_rng(seed)
    true = np.repeat([-1 / n, 1 / m], [n, m])
    return np.stack([true, *(rng.permutation(true) for _ in range(permutations))], 1)


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve."""
    from scipy.stats import rankdata

    above = rankdata(scores)[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(above / (positive.sum() * (~positive).sum()))
