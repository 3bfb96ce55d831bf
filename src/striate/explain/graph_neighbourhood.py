"""Which nodes around one node are near it, and which of them a picture has room for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64


def steps_to(
    edges: Int64[np.ndarray, "2 edges"], node: int, count: int
) -> tuple[Int64[np.ndarray, " nodes"], Int64[np.ndarray, " nodes"]]:
    """How far each node is from one, against the edges' direction, and the next node on the way.

    Args:
        edges: source and target of each.
        node: where the ways end.
        count: of nodes.

    Returns:
        Steps of each node, -1 where no way leads to `node`; and the node that the first step of a
        shortest way leads to, -1 where there is none, and of `node` itself.

    >>> steps, onward = steps_to(np.array([[0, 1, 3], [1, 2, 0]]), 2, 5)
    >>> steps.tolist(), onward.tolist()
    ([2, 1, 0, 3, -1], [1, 2, -1, 0, -1])
    """
    steps, onward = np.full(count, -1), np.full(count, -1)
    steps[node] = 0
    sources, targets = edges
    for step in range(1, count):
        new = (steps[targets] == step - 1) & (steps[sources] == -1)
        if not new.any():
            break
        steps[sources[new]] = step
        onward[sources[new]] = targets[new]
    return steps, onward


def most_important(
    importance: Float[np.ndarray, " nodes"],
    steps: Int64[np.ndarray, " nodes"],
    onward: Int64[np.ndarray, " nodes"],
    *,
    count: int,
) -> Int64[np.ndarray, " kept"]:
    """The most important nodes, at most `count`, ascending: each with its way to the node explained.

    Of equally important ones the nearer comes first. One whose way is too long for what room is
    left makes place for the next.

    Args:
        importance: of each node.
        steps: to the node explained; -1 for a node that is not to be kept.
        onward: the next node on the way; see `steps_to`.
        count: room, at least 1.
    """
    kept = set(np.flatnonzero(steps == 0).tolist())
    for node in np.lexsort((steps, -importance)).tolist():
        if len(kept) >= count:
            break
        way = []
        while steps[node] > 0 and node not in kept:
            way.append(node)
            node = int(onward[node])
        if len(kept) + len(way) <= count:
            kept.update(way)
    return np.array(sorted(kept), np.int64)
