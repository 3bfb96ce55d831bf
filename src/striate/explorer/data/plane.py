"""Items as points of a plane: by principal components, or by UMAP where that is installed.

Axes: n items, f features.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from striate.errors import MissingExtraError

EXACT: Final = 768
"""Items or features up to which the components are computed from all of a matrix of that size."""

_BLOCK: Final = 8
_STEPS: Final = 300
_TOLERANCE: Final = 1e-10

EXTRA: Final = "umap"


def principal_plane(
    features: Float[np.ndarray, "n f"],
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " 2"]]:
    """Coordinates along the two directions in which the items vary most.

    The features are taken as they are, less their mean. Of small sets the directions come from all
    eigenvectors; of larger ones from a block of vectors that is multiplied until it turns no more
    (Halko, Martinsson, Tropp, SIAM Review 53, 2011), always from the same start. The sign of each
    is such that its largest coordinate is positive.

    Args:
        features: Features of the items; at least one item.

    Returns:
        The coordinates, and the share of all variance that lies along each direction. Where there
        is no second direction, or nothing varies, its coordinates and shares are 0.
    """
    centred = np.asarray(features - features.mean(0, dtype=np.float64), np.float64)
    total = float(np.square(centred).sum())
    plane = np.zeros((len(centred), 2))
    if total > 0:
        directions = _directions(centred)
        plane[:, : directions.shape[1]] = centred @ directions
    largest = plane[np.abs(plane).argmax(0), np.arange(2)]
    plane *= np.where(largest < 0, -1.0, 1.0)
    return plane, np.square(plane).sum(0) / (total or 1.0)


def _directions(centred: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "f 2"]:
    """Up to two directions of largest variation, of length 1."""
    num_items, num_features = centred.shape
    if num_features <= EXACT:
        _, turns = np.linalg.eigh(centred.T @ centred)
        return np.asarray(turns[:, :-3:-1])
    if num_items <= EXACT:
        curves, turns = np.linalg.eigh(centred @ centred.T)
        kept = curves[-2:] > 1e-12 * curves[-1]
        axes = centred.T @ turns[:, -2:][:, kept] / np.sqrt(curves[-2:][kept])
        return np.asarray(axes[:, ::-1])
    block = np.random.default_rng(0).standard_normal((num_features, _BLOCK))
    before = np.zeros(2)
    for _ in range(_STEPS):
        block, _ = np.linalg.qr(centred.T @ (centred @ block))
        lengths = np.sort(np.linalg.svd(centred @ block, compute_uv=False))[:-3:-1]
        if np.abs(lengths - before).max() <= _TOLERANCE * lengths[0]:
            break
        before = lengths
    _, _, turns = np.linalg.svd(centred @ block, full_matrices=False)
    return np.asarray(block @ turns[:2].T)


def has_umap() -> bool:
    """Whether `umap-learn` is installed."""
    return find_spec("umap") is not None


def umap_plane(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n 2"]:
    """Coordinates by UMAP, with the cosine as distance and seed 0.

    Args:
        features: Features of the items; at least three items.

    Raises:
        MissingExtraError: `umap-learn` is not installed.

    Source: McInnes, Healy, Melville, "UMAP", arXiv 1802.03426, 2018.
    """
    try:
        umap: Any = import_module("umap")
    except ModuleNotFoundError:
        raise MissingExtraError("umap-learn", EXTRA) from None
    neighbours = min(15, len(features) - 1)
    reducer = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(features.astype(np.float32)), np.float64)
