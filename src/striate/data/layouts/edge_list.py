"""One large graph as two tables: a folder with nodes.csv and edges.csv; its nodes are the items.

nodes.csv has the columns id, label (a class) or target (a number), and, if wanted, split; all others
are features, numbers each. A node without a label takes part in the graph alone. edges.csv has the
columns source and target; all others are features of the edge. An edge counts both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import few, is_folder
from striate.data.layouts.graphs import NodeSource, degree_features, whole_graph
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import known_labels
from striate.data.readers.tables import Table, read_table
from striate.data.source import Note
from striate.errors import DataError

NODES: Final = "nodes.csv"
EDGES: Final = "edges.csv"
READ_BY_NAME: Final = ("id", "label", "target", "split")
"""Columns of nodes that are no features."""

MAX_IDENTITIES: Final = 1000
"""Up to this many nodes without features are told apart by a feature each."""


def open_edge_list(folder: str | Path) -> NodeSource:
    """The nodes of a graph in two tables.

    Raises:
        DataError: A table cannot be read, an edge leads to a node that is not there, a field is no
            number, two nodes have one name, there are no labels, or fewer than two classes.
    """
    root = Path(folder)
    nodes, edges = read_table(root / NODES), read_table(root / EDGES)
    names = nodes.required("id")
    position = {name: place for place, name in enumerate(names)}
    repeated = sorted({name for place, name in enumerate(names) if position[name] != place})
    if repeated:
        raise DataError(
            f"{nodes.path} has nodes of one id", why=few(repeated), fix="name each once"
        )
    if "target" not in nodes.columns:
        nodes.check_columns(["label"])
    labels = nodes.column("label")
    known = None if labels is None else known_labels(labels)
    ends = _ends(edges, position, nodes.path)
    columns = tuple(name for name in nodes.columns if name not in READ_BY_NAME)
    features, notes = _node_features(nodes, columns, ends)
    both_ways = np.concatenate([ends, ends[::-1]], 1)
    of_edges = tuple(name for name in edges.columns if name not in ("source", "target"))
    graph = whole_graph(features, both_ways, _edge_features(edges, of_edges))
    return NodeSource(
        name=str(folder),
        graph=replace(graph, channel_names=columns, edge_names=of_edges),
        names=names,
        labels=known,
        targets=nodes.numbers("target", optional=True) if known is None else None,
        splits=nodes.splits(),
        notes=(*nodes.notes, *edges.notes, *notes),
    )


def _ends(edges: Table, places: dict[str, int], nodes: Path) -> NDArray[np.int64]:
    """The edges as written, (2, edges), as positions of nodes."""
    columns = (edges.required("source"), edges.required("target"))
    missing = [
        f"{place} names {name!r}"
        for place, *pair in zip(edges.places, *columns, strict=True)
        for name in pair
        if name not in places
    ]
    if missing:
        raise DataError(
            f"{edges.path} has an edge to a node that is not there",
            why=few(missing),
            fix=f"add the node to {nodes}, or take out the edge",
        )
    return np.array([[places[name] for name in column] for column in columns], np.int64)


def _node_features(
    nodes: Table, columns: Sequence[str], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """The features, (features, nodes); without any, one a node or, of a large graph, its degree."""
    count = nodes.num_rows
    if columns:
        return np.array([nodes.numbers(column) for column in columns], np.float32), ()
    if count > MAX_IDENTITIES:
        return degree_features(ends.ravel(), count)
    message = "the nodes have no features: each got one of its own"
    note = Note(code="no-node-features", message=message, severity="info")
    return np.eye(count, dtype=np.float32), (note,)


def _edge_features(edges: Table, columns: Sequence[str]) -> NDArray[np.float32] | None:
    """The features of the edges, (features, edges both ways); None without any."""
    if not columns:
        return None
    features = np.array([edges.numbers(column) for column in columns], np.float32)
    return np.concatenate([features, features], 1)


def _matches(data: str) -> bool:
    return is_folder(data) and (Path(data) / NODES).is_file() and (Path(data) / EDGES).is_file()


LAYOUTS.add(
    "edge-list",
    Layout(
        f"a folder with {NODES} and {EDGES} (a graph whose nodes are classified)",
        _matches,
        open_edge_list,
    ),
)
