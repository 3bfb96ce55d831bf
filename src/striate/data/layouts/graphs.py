"""Graphs held in memory: many, each an item, or one large graph whose nodes are the items."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import class_notes, unique_ids
from striate.data.source import Item, Listing, MemorySource, Note, Reading, Source
from striate.typing import SplitName


def graphs_source(
    name: str, items: Sequence[Item], readings: Sequence[Reading], notes: Sequence[Note] = ()
) -> Source:
    """The source of graphs in memory.

    Args:
        name: The data's name in messages and in the run folder.
        items: The items; where they are labelled, they are checked for classes.
        readings: The graph of each item, in order.
        notes: What a user should know.

    Raises:
        DataError: There are fewer than two classes.
    """
    labelled = any(item.label is not None for item in items)
    of_classes = class_notes(item.label for item in items) if labelled else []
    by_id = {item.id: reading for item, reading in zip(items, readings, strict=True)}
    listing = Listing(items=tuple(items), notes=(*notes, *of_classes))
    return MemorySource("graph", name, listing, lambda item: by_id[item.id])


def graph_reading(
    nodes: NDArray[np.float32],
    edges: NDArray[np.int64],
    edge_features: NDArray[np.float32] | None = None,
) -> Reading:
    """A graph as a reading, its edges ascending by target; hashed by all it holds.

    Args:
        nodes: The features of the nodes, (features, nodes).
        edges: The source and the target of each edge, (2, edges), in any order.
        edge_features: The features of the edges, (features, edges).
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


def degree_features(
    targets: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float32], tuple[Note, ...]]:
    """Features of nodes that have none, (2, nodes): a constant and the logarithm of the degree.

    Args:
        targets: The node at the end of each edge.
        count: The number of nodes.

    Returns:
        The features, and a note that says so.
    """
    degrees = np.log1p(np.bincount(targets, minlength=count))
    message = "the nodes have no features: they got a constant and the logarithm of their degree"
    note = Note(code="no-node-features", message=message, severity="info")
    return np.stack([np.ones(count), degrees]).astype(np.float32), (note,)


class NodeSource(Source):
    """Labelled nodes of one graph; nodes without a label are in the graph, but no items.

    Args:
        name: The data's name in messages and in the run folder.
        graph: All nodes and edges; see `whole_graph`.
        names: The name of each node.
        labels: The class of each node, None where it is not known; None for regression.
        targets: The number of each node, NaN where it is not known; None for classification.
        splits: The split of each node, None where Striate is to choose; None where it is for all.
        notes: What a user should know.

    Attributes:
        graph: All nodes and edges.
        position: The position of each node in the graph, by the name of the node.

    Raises:
        DataError: There are fewer than two classes.
    """

    kind = "node"
    nouns = ("node", "nodes")

    def __init__(
        self,
        *,
        name: str,
        graph: Reading,
        names: Sequence[str],
        labels: Sequence[str | None] | None = None,
        targets: Sequence[float] | None = None,
        splits: Sequence[SplitName | None] | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        ids = unique_ids(names)
        self.name, self.graph = name, replace(graph, node_names=tuple(ids))
        items = [
            Item(
                id=item_id,
                label=labels[node] if labels else None,
                target=float(targets[node]) if targets else None,
                split=splits[node] if splits else None,
            )
            for node, item_id in enumerate(ids)
            if (labels and labels[node]) or (targets and targets[node] == targets[node])
        ]
        of_classes = class_notes(item.label for item in items) if labels else []
        alone = len(ids) - len(items)
        message = f"{alone} nodes without a label take part in the graph, and are no items"
        unlabelled = (Note(code="unlabelled", message=message, severity="info"),) if alone else ()
        self.listing = Listing(items=tuple(items), notes=(*notes, *unlabelled, *of_classes))
        self.position = {item_id: node for node, item_id in enumerate(ids)}

    def asking(self, names: Sequence[str]) -> NodeSource:
        """The same graph, asked about some of its nodes."""
        asked = copy.copy(self)
        asked.listing = Listing(items=tuple(Item(id=name) for name in names))
        return asked

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The features of the node (features, 1), with the whole graph.

        Its hash is of its name and features: two nodes with equal features are not one item.
        """
        node = self.position[item.id]
        column = np.ascontiguousarray(self.graph.array[:, [node]])
        digest = hashlib.sha256(item.id.encode() + b"\0" + column.tobytes())
        return Reading(
            array=column,
            sha256=digest.hexdigest(),
            edges=np.empty((2, 0), np.int64),
            graph=self.graph,
            node=node,
        )


def whole_graph(
    nodes: NDArray[np.float32],
    edges: NDArray[np.int64],
    edge_features: NDArray[np.float32] | None = None,
) -> Reading:
    """The graph of a `NodeSource`: as `graph_reading`, with each edge kept once."""
    edges, first = np.unique(edges, axis=1, return_index=True)
    return graph_reading(nodes, edges, None if edge_features is None else edge_features[:, first])
