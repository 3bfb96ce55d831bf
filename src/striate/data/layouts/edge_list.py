"""One large graph as two tables: a folder with nodes.csv and edges.csv; its nodes are the items.

nodes.csv has the columns id, label (a class) or target (a number), and, if wanted, split; all others
are features, numbers each. A node without a label takes part in the graph alone. edges.csv has the
columns source and target; all others are features of the edge. An edge counts both ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import few, is_folder
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.layouts.node_source import NodeGraph, NodeSource
from striate.data.readers.delimited import Table, read_table
from striate.data.source import Note
from striate.errors import DataError

NODES: Final = "nodes.csv"
EDGES: Final = "edges.csv"
MAX_IDENTITIES: Final = 1000
"""Up to this many nodes without features are told apart by a feature each."""


def open_edge_list(folder: str | Path) -> NodeSource:
    """The nodes of a graph in two tables.

    Raises:
        DataError: a table that cannot be read, an edge to a node that is not there, a field that is
            no number, nodes of one name, no labels, fewer than two classes.
    """
    root = Path(folder)
    nodes, edges = read_table(root / NODES), read_table(root / EDGES)
    names = nodes.required("id")
    repeated = sorted({name for name in names if names.count(name) > 1}) if _repeats(names) else []
    if repeated:
        raise DataError(
            f"{nodes.path} has nodes of one id", why=few(repeated), fix="name each once"
        )
    labels = nodes.column("label")
    targets = None if labels is not None else _targets(nodes)
    ends = _ends(edges, {name: place for place, name in enumerate(names)}, nodes.path)
    features, notes = _node_features(nodes, ends)
    return NodeSource(
        name=str(folder),
        graph=NodeGraph.of(features, np.concatenate([ends, ends[::-1]], 1), _edge_features(edges)),
        names=names,
        labels=labels,
        targets=targets,
        splits=nodes.column("split"),
        lines=nodes.lines,
        notes=notes,
    )


def _repeats(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _targets(nodes: Table) -> list[float]:
    """The numbers to predict; NaN where a node has none."""
    if "target" not in nodes.columns:
        nodes.required("label")
    fields = nodes.required("target")
    known = Table(
        path=nodes.path,
        columns=("target",),
        rows=tuple((field,) for field in fields if field),
        lines=tuple(n for n, field in zip(nodes.lines, fields, strict=True) if field),
    )
    numbers = iter(known.numbers("target"))
    return [next(numbers) if field else float("nan") for field in fields]


def _ends(edges: Table, places: dict[str, int], nodes: Path) -> NDArray[np.int64]:
    """(2, edges) as written, as positions of nodes."""
    columns = (edges.required("source"), edges.required("target"))
    missing = [
        f"line {line} names {name!r}"
        for line, *pair in zip(edges.lines, *columns, strict=True)
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
    nodes: Table, ends: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """(features, nodes); without any, one for each node or, of a large graph, its degree."""
    columns = [c for c in nodes.columns if c not in ("id", "label", "target", "split")]
    count = len(nodes.rows)
    if columns:
        return np.array([nodes.numbers(column) for column in columns], np.float32), ()
    if count <= MAX_IDENTITIES:
        message = "the nodes have no features: each got one of its own"
        return np.eye(count, dtype=np.float32), (_info(message),)
    degrees = np.log1p(np.bincount(ends.ravel(), minlength=count))
    message = "the nodes have no features: they got a constant and the logarithm of their degree"
    return np.stack([np.ones(count), degrees]).astype(np.float32), (_info(message),)


def _info(message: str) -> Note:
    return Note(code="no-node-features", message=message, severity="info")


def _edge_features(edges: Table) -> NDArray[np.float32] | None:
    """(features, edges both ways); None without any."""
    columns = [column for column in edges.columns if column not in ("source", "target")]
    if not columns:
        return None
    features = np.array([edges.numbers(column) for column in columns], np.float32)
    return np.concatenate([features, features], 1)


def _matches(data: str) -> bool:
    return is_folder(data) and (Path(data) / NODES).is_file() and (Path(data) / EDGES).is_file()


SOURCES.add(
    "edge-list",
    SourceFormat(
        layout=f"a folder with {NODES} and {EDGES} (a graph whose nodes are classified)",
        matches=_matches,
        open=open_edge_list,
    ),
)
