"""Connected components of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def join(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected component of each position, (count,), numbered by first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), np.bool_), pairs.T), shape=(count, count))
    _, components = connected_components(edges, directed=False)
    return first_appearance(components)


def first_appearance(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """A number for each value, equal ones sharing one, counted up in the order of appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def text_numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    """The same of texts, of which no array is made: it would hold four bytes for each character."""
    numbers: dict[str, int] = {}
    found = (numbers.setdefault(text, len(numbers)) for text in texts)
    return np.fromiter(found, np.int64, len(texts))
