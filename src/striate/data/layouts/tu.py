"""Many graphs in the text format of the TU Dortmund collection: a folder with NAME_A.txt and others.

NAME_A.txt has an edge a line, as two node numbers from 1 up; NAME_graph_indicator.txt the graph of
each node; NAME_graph_labels.txt a class a graph, or NAME_graph_attributes.txt a number to predict.
NAME_node_labels.txt, NAME_edge_labels.txt (whole numbers, read as one feature for each value),
NAME_node_attributes.txt and NAME_edge_attributes.txt (numbers) give features where they are there.
Source: Morris et al., "TUDataset", 2020, arXiv:2007.08663.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import check_classes, existing_path, is_folder
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.source import Item, Listing, Note, Reading, Source
from striate.errors import DataError


class GraphSource(Source):
    """Graphs held in memory.

    Args:
        name: for messages.
        listing: the items.
        readings: of each item, in order.
    """

    kind = "graph"

    def __init__(self, *, name: str, listing: Listing, readings: Sequence[Reading]) -> None:
        self.name, self.listing = name, listing
        self._readings = {
            item.id: reading for item, reading in zip(listing.items, readings, strict=True)
        }

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The graph."""
        return self._readings[item.id]


def graph_reading(
    nodes: NDArray[np.float32],
    edges: NDArray[np.int64],
    edge_features: NDArray[np.float32] | None = None,
) -> Reading:
    """A graph as a reading, with its edges put in order; hashed by all it holds.

    Args:
        nodes: (features, nodes).
        edges: (2, edges) in any order.
        edge_features: (features, edges).
    """
    order = np.lexsort((edges[0], edges[1]))
    edges = np.ascontiguousarray(edges[:, order])
    nodes = np.ascontiguousarray(nodes, np.float32)
    digest = hashlib.sha256(repr((nodes.shape, edges.shape)).encode())
    digest.update(nodes.tobytes() + edges.tobytes())
    if edge_features is not None:
        edge_features = np.ascontiguousarray(edge_features[:, order], np.float32)
        digest.update(edge_features.tobytes())
    return Reading(array=nodes, sha256=digest.hexdigest(), edges=edges, edge_features=edge_features)


def open_tu(folder: str | Path) -> GraphSource:
    """The graphs of a folder in the TU format.

    Raises:
        DataError: a file is missing or a line makes no sense (named), an edge to a node that is not
            there or between two graphs, files of different lengths, fewer than two classes.
    """
    root = Path(folder)
    prefix = _prefix(root)
    assert prefix is not None, "only folders that match are opened"
    graph_of_node = _whole(root / f"{prefix}_graph_indicator.txt")[:, 0]
    edges = _edges(root / f"{prefix}_A.txt", graph_of_node)
    nodes, notes = _node_features(root, prefix, graph_of_node, edges)
    of_edges = _features(root, prefix, "edge", edges.shape[1])
    items = _items(root, prefix, graph_of_node)
    listing_notes = check_classes(items, str(folder)) if items[0].label is not None else []
    return GraphSource(
        name=str(folder),
        listing=Listing(items=tuple(items), notes=(*notes, *listing_notes)),
        readings=_readings(nodes, edges, of_edges, graph_of_node, len(items)),
    )


def _readings(
    nodes: NDArray[np.float32],
    edges: NDArray[np.int64],
    edge_features: NDArray[np.float32] | None,
    graph_of_node: NDArray[np.int64],
    count: int,
) -> list[Reading]:
    """The graphs one by one; `graph_of_node` is ascending, from 1."""
    starts = np.searchsorted(graph_of_node, np.arange(1, count + 2))
    of_edges = graph_of_node[edges[1]]
    order = np.argsort(of_edges, kind="stable")
    bounds = np.searchsorted(of_edges[order], np.arange(1, count + 2))
    readings = []
    for graph in range(count):
        chosen = order[bounds[graph] : bounds[graph + 1]]
        readings.append(
            graph_reading(
                nodes[:, starts[graph] : starts[graph + 1]],
                edges[:, chosen] - starts[graph],
                None if edge_features is None else edge_features[:, chosen],
            )
        )
    return readings


def _edges(path: Path, graph_of_node: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, edges) source and target, from 0."""
    pairs = _whole(path, width=2)
    count = len(graph_of_node)
    outside = np.flatnonzero(((pairs < 1) | (pairs > count)).any(1))
    if len(outside):
        line = int(outside[0])
        node = next(int(n) for n in pairs[line] if not 1 <= n <= count)
        raise DataError(
            f"{path}, line {line + 1}: an edge to node {node}, which is not there",
            why=f"the nodes are 1 to {count}",
            fix="correct the line, or add the node to the graph indicator",
        )
    edges = pairs.T - 1
    across = np.flatnonzero(graph_of_node[edges[0]] != graph_of_node[edges[1]])
    if len(across):
        line = int(across[0])
        source, target = pairs[line].tolist()
        raise DataError(
            f"{path}, line {line + 1}: an edge between two graphs, nodes {source} and {target}",
            fix="correct the line, or the graph indicator",
        )
    return edges


def _items(root: Path, prefix: str, graph_of_node: NDArray[np.int64]) -> list[Item]:
    indicator = root / f"{prefix}_graph_indicator.txt"
    if len(graph_of_node) and (graph_of_node[0] < 1 or (np.diff(graph_of_node) < 0).any()):
        line = int(np.flatnonzero(np.diff(graph_of_node, prepend=1) < 0)[0]) + 1
        raise DataError(
            f"{indicator}, line {line}: graphs are to come one after the other, from 1 up"
        )
    labels, attributes = (root / f"{prefix}_graph_{w}.txt" for w in ("labels", "attributes"))
    classify = labels.is_file() or not attributes.is_file()
    values = _whole(labels) if classify else _numbers(attributes)
    if len(values) < graph_of_node.max(initial=0):
        raise DataError(
            f"{labels if classify else attributes} has {len(values)} lines",
            why=f"{indicator} counts {graph_of_node.max()} graphs",
            fix="give every graph a line",
        )
    return [
        Item(id=f"graph {n}", label=str(int(v)) if classify else None,
             target=None if classify else float(v))
        for n, v in enumerate(values[:, 0], start=1)
    ]  # fmt: skip


def _node_features(
    root: Path, prefix: str, graph_of_node: NDArray[np.int64], edges: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """(features, nodes); without any, a constant and the logarithm of the degree."""
    count = len(graph_of_node)
    found = _features(root, prefix, "node", count)
    if found is not None:
        return found, ()
    degrees = np.log1p(np.bincount(edges[1], minlength=count))
    message = "the nodes have no features: they got a constant and the logarithm of their degree"
    note = Note(code="no-node-features", message=message, severity="info")
    return np.stack([np.ones(count), degrees]).astype(np.float32), (note,)


def _features(root: Path, prefix: str, what: str, count: int) -> NDArray[np.float32] | None:
    """(features, count) labels as one feature for each value, then attributes; None without any."""
    parts = []
    labels = root / f"{prefix}_{what}_labels.txt"
    if labels.is_file():
        for column in _checked(labels, _whole(labels), count).T:
            parts.append((column == np.unique(column)[:, None]).astype(np.float32))
    attributes = root / f"{prefix}_{what}_attributes.txt"
    if attributes.is_file():
        parts.append(_checked(attributes, _numbers(attributes), count).T.astype(np.float32))
    return np.concatenate(parts) if parts else None


def _checked(path: Path, values: NDArray[Any], count: int) -> NDArray[Any]:
    if len(values) != count:
        raise DataError(f"{path} has {len(values)} lines", why=f"{count} were expected")
    return values


def _whole(path: Path, width: int | None = None) -> NDArray[np.int64]:
    values = _numbers(path, width)
    if (values != np.round(values)).any():
        line = int(np.flatnonzero((values != np.round(values)).any(1))[0])
        raise DataError(f"{path}, line {line + 1}: not a whole number")
    return values.astype(np.int64)


def _numbers(path: Path, width: int | None = None) -> NDArray[np.float64]:
    """(lines, numbers a line) of a text file, between commas.

    Raises:
        DataError: no such file, or a line with no finite numbers or another count, named.
    """
    lines = existing_path(path).read_text("utf-8-sig", errors="replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.replace(";", ",").split(",")
        try:
            row = [float(field) for field in fields]
        except ValueError:
            row = []
        width = width or len(row)
        if not row or not np.isfinite(row).all() or len(row) != width:
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} is not "
                + ("a finite number" if width == 1 else f"{width} finite numbers"),
                fix="separate numbers by commas",
            )
        rows.append(row)
    return np.array(rows, np.float64).reshape(len(rows), width or 1)


def _prefix(root: Path) -> str | None:
    """NAME, where the folder holds NAME_A.txt and NAME_graph_indicator.txt."""
    for path in sorted(root.glob("*_A.txt")):
        name = path.name.removesuffix("_A.txt")
        if (root / f"{name}_graph_indicator.txt").is_file():
            return name
    return None


def _matches(data: str) -> bool:
    return is_folder(data) and _prefix(Path(data)) is not None


SOURCES.add(
    "tu",
    SourceFormat(
        layout="a folder in the TU format (NAME_A.txt, NAME_graph_indicator.txt, ...)",
        matches=_matches,
        open=open_tu,
    ),
)
