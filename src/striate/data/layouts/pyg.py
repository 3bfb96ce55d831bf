"""Graphs held as PyTorch Geometric's `Data`: many, or one whose nodes are the items.

The package is not imported: what its objects hold is read by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.layouts.graphs import NodeSource, graph_reading, graphs_source, whole_graph
from striate.data.source import Item, Source
from striate.errors import DataError
from striate.typing import SplitName


def from_pyg(graphs: Any, name: str = "graphs") -> Source:
    """A source of PyTorch Geometric graphs.

    Args:
        graphs: A list of `Data`, each with `x` and a `y` of one value (a whole number is a class, a
            fraction a target); or one `Data` with a `y` for each node, and, if wanted, the masks
            train_mask, val_mask and test_mask.
        name: The data's name in messages and in the run folder.

    Raises:
        DataError: Features or answers are missing, an edge leads to a node that is not there, or
            there are fewer than two classes.
    """
    if hasattr(graphs, "edge_index"):
        return _nodes(graphs, name)
    return _graphs(list(graphs), name)


def _graphs(graphs: Sequence[Any], name: str) -> Source:
    if not graphs:
        raise DataError(f"{name} has no graphs", fix="give a list of Data")
    readings, items = [], []
    for number, data in enumerate(graphs):
        nodes, edges, edge_features = _parts(data, f"graph {number} of {name}")
        readings.append(graph_reading(nodes, edges, edge_features))
        answer = np.empty(0) if data.y is None else np.asarray(data.y.detach().cpu()).reshape(-1)
        if len(answer) != 1:
            raise DataError(
                f"graph {number} of {name} has a y of {len(answer)} values", fix="give it one"
            )
        label, target = _answer(answer[0])
        items.append(Item(id=f"graph {number}", label=label, target=target))
    return graphs_source(name, items, readings)


def _nodes(data: Any, name: str) -> NodeSource:
    nodes, edges, edge_features = _parts(data, name)
    count = nodes.shape[1]
    if data.y is None or len(data.y) != count:
        raise DataError(f"{name} has no y for each of its {count} nodes", fix="give one value each")
    answers = [_answer(value) for value in np.asarray(data.y.detach().cpu()).reshape(count)]
    splits: list[SplitName | None] = [None] * count
    names: tuple[SplitName, ...] = ("train", "val", "test")
    for split in names:
        mask = getattr(data, f"{split}_mask", None)
        for node in [] if mask is None else np.flatnonzero(mask.cpu()).tolist():
            splits[node] = split
    classes = answers[0][0] is not None
    labels = [label for label, _ in answers]
    if any(splits) and classes:  # a node outside every mask takes part in the graph alone
        labels = [label if split else None for label, split in zip(labels, splits, strict=True)]
    return NodeSource(
        name=name,
        graph=whole_graph(nodes, edges, edge_features),
        names=[str(node) for node in range(count)],
        labels=labels if classes else None,
        targets=None if classes else [float(target or 0) for _, target in answers],
        splits=splits,
    )


def _answer(value: Any) -> tuple[str | None, float | None]:
    """A class for a whole number, a target for a fraction."""
    if np.issubdtype(type(value), np.floating):
        return None, float(value)
    return str(int(value)), None


def _parts(
    data: Any, where: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32] | None]:
    if data.x is None or data.edge_index is None:
        raise DataError(f"{where} has no {'x' if data.x is None else 'edge_index'}", fix="set it")
    nodes = np.asarray(data.x.detach().cpu(), np.float32).T
    edges = np.asarray(data.edge_index.cpu(), np.int64)
    outside = edges[(edges < 0) | (edges >= nodes.shape[1])]
    if len(outside):
        raise DataError(
            f"{where} has an edge to node {outside[0]}, which is not there",
            why=f"the nodes are 0 to {nodes.shape[1] - 1}",
        )
    features = data.edge_attr
    if features is None:
        return nodes, edges, None
    array = np.asarray(features.detach().cpu(), np.float32)
    return nodes, edges, array.reshape(edges.shape[1], -1).T
