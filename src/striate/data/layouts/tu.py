"""Many graphs in the text format of the TU Dortmund collection: a folder with NAME_A.txt and others.

NAME_A.txt has an edge a line, as two node numbers from 1 up; NAME_graph_indicator.txt the graph of
each node; NAME_graph_labels.txt a class a graph, or NAME_graph_attributes.txt a number to predict.
NAME_node_labels.txt, NAME_edge_labels.txt (whole numbers, read as one feature for each value),
NAME_node_attributes.txt and NAME_edge_attributes.txt (numbers) give features where they are there.
Source: Morris et al., "TUDataset", 2020, arXiv:2007.08663.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, is_folder
from striate.data.layouts.graphs import degree_features, graph_reading, graphs_source
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.names import is_missing
from striate.data.source import Item, Note, Reading, Source
from striate.errors import DataError


def open_tu(folder: str | Path) -> Source:
    """The graphs of a folder in the TU format.

    Raises:
        DataError: A file is missing or a line makes no sense (named), an edge leads to a node that
            is not there or to another graph, files have different lengths, or there are fewer than
            two classes.
    """
    root = Path(folder)
    start = root / (_prefix(root) or "")
    graph_of_node = _whole(_file(start, "graph_indicator"))[:, 0]
    edges = _edges(_file(start, "A"), graph_of_node)
    nodes, notes = _node_features(start, graph_of_node, edges)
    of_edges = _features(start, "edge", edges.shape[1])
    items = _items(start, graph_of_node)
    readings = _readings(nodes, edges, of_edges, graph_of_node, len(items))
    return graphs_source(str(folder), items, readings, notes)


def _file(start: Path, what: str) -> Path:
    return start.with_name(f"{start.name}_{what}.txt")


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
    """The source and the target of each edge, (2, edges), from 0."""
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


def _items(start: Path, graph_of_node: NDArray[np.int64]) -> list[Item]:
    indicator = _file(start, "graph_indicator")
    backwards = np.flatnonzero(np.diff(graph_of_node, prepend=1) < 0)
    if backwards.size:
        raise DataError(
            f"{indicator}, line {backwards[0] + 1}: graphs are to come one after the other, from 1 up"
        )
    labels, attributes = _file(start, "graph_labels"), _file(start, "graph_attributes")
    classify = labels.is_file() or not attributes.is_file()
    values = _whole(labels, missing=True) if classify else _numbers(attributes, missing=True)
    if len(values) < graph_of_node.max(initial=0):
        raise DataError(
            f"{labels if classify else attributes} has {len(values)} lines",
            why=f"{indicator} counts {graph_of_node.max()} graphs",
            fix="give every graph a line",
        )
    return [
        Item(id=f"graph {n}", label=str(int(v)) if classify and v == v else None,
             target=None if classify or v != v else float(v))
        for n, v in enumerate(values[:, 0], start=1)
    ]  # fmt: skip


def _node_features(
    start: Path, graph_of_node: NDArray[np.int64], edges: NDArray[np.int64]
) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """The features, (features, nodes); without any, a constant and the logarithm of the degree."""
    count = len(graph_of_node)
    found = _features(start, "node", count)
    return degree_features(edges[1], count) if found is None else (found, ())


def _features(start: Path, what: str, count: int) -> NDArray[np.float32] | None:
    """Labels as one feature for each value, then attributes, (features, count); None without any."""
    parts = []
    labels, attributes = _file(start, f"{what}_labels"), _file(start, f"{what}_attributes")
    if labels.is_file():
        for column in _checked(labels, _whole(labels), count).T:
            parts.append((column == np.unique(column)[:, None]).astype(np.float32))
    if attributes.is_file():
        parts.append(_checked(attributes, _numbers(attributes), count).T.astype(np.float32))
    return np.concatenate(parts) if parts else None


def _checked(path: Path, values: NDArray[Any], count: int) -> NDArray[Any]:
    if len(values) != count:
        raise DataError(f"{path} has {len(values)} lines", why=f"{count} were expected")
    return values


def _whole(path: Path, width: int | None = None, *, missing: bool = False) -> NDArray[Any]:
    values = _numbers(path, width, missing=missing)
    fractions = (values != np.round(values)) & ~np.isnan(values)
    if fractions.any():
        line = int(np.flatnonzero(fractions.any(1))[0])
        raise DataError(f"{path}, line {line + 1}: not a whole number")
    return values if missing else values.astype(np.int64)


def _numbers(path: Path, width: int | None = None, *, missing: bool = False) -> NDArray[np.float64]:
    """The numbers of a text file, between commas, (lines, numbers a line).

    Args:
        path: The file.
        width: How many a line holds; as many as the first by default.
        missing: Whether one may be missing, and is NaN.

    Raises:
        DataError: There is no such file, or a line (named) has no finite numbers or another count.
    """
    lines = existing_path(path).read_text("utf-8-sig", errors="replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.replace(";", ",").split(",")
        try:
            row = [np.nan if missing and is_missing(field) else float(field) for field in fields]
        except ValueError:
            row = []
        width = width or len(row)
        finite = np.isfinite(row) | (missing & np.isnan(row))
        if not row or not finite.all() or len(row) != width:
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


LAYOUTS.add(
    "tu",
    Layout(
        "a folder in the TU format (NAME_A.txt, NAME_graph_indicator.txt, ...)", _matches, open_tu
    ),
)
