"""Nodes of one large graph as items."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import check_classes, unique_ids
from striate.data.layouts.split_column import splits_of
from striate.data.source import Item, Listing, Note, Reading, Source


@dataclass(frozen=True, kw_only=True)
class NodeGraph:
    """A graph whose nodes are items.

    Attributes:
        nodes: (features, nodes).
        edges: source and target of each, ascending by target.
        edge_features: (features, edges); None where there are none.
    """

    nodes: NDArray[np.float32]
    edges: NDArray[np.int64]
    edge_features: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        nodes: NDArray[np.float32],
        edges: NDArray[np.int64],
        edge_features: NDArray[np.float32] | None = None,
    ) -> Self:
        """A graph with edges in any order, each kept once."""
        edges, first = np.unique(edges, axis=1, return_index=True)
        order = np.lexsort((edges[0], edges[1]))
        features = None if edge_features is None else edge_features[:, first[order]]
        return cls(
            nodes=np.asarray(nodes, np.float32), edges=edges[:, order], edge_features=features
        )


class NodeSource(Source):
    """Labelled nodes of one graph; nodes without a label are in the graph, but no items.

    Args:
        name: for messages.
        graph: all nodes and edges.
        names: of each node.
        labels: class of each node, empty where it is not known; None for regression.
        targets: number of each node, NaN where it is not known; None for classification.
        splits: part of each node, empty where Striate is to choose; None where it is for all.
        notes: what a user should know.

    Attributes:
        level: "node": outputs are of nodes, not of graphs.
        graph: all nodes and edges.
        position: of each item's node in the graph, by the item's id.

    Raises:
        DataError: fewer than two classes, or a split of no known name.
    """

    kind = "graph"
    nouns = ("node", "nodes")
    level = "node"

    def __init__(
        self,
        *,
        name: str,
        graph: NodeGraph,
        names: Sequence[str],
        labels: Sequence[str] | None = None,
        targets: Sequence[float] | None = None,
        splits: Sequence[str] | None = None,
        lines: Sequence[int] | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        self.name, self.graph = name, graph
        ids = unique_ids(names)
        parts = splits_of(splits, name, lines, len(ids))
        items = [
            Item(
                id=item_id,
                label=labels[node] if labels else None,
                target=float(targets[node]) if targets else None,
                split=parts[node],
            )
            for node, item_id in enumerate(ids)
            if (labels and labels[node]) or (targets and targets[node] == targets[node])
        ]
        of_classes = check_classes(items, name) if labels else []
        self.listing = Listing(items=tuple(items), notes=(*notes, *of_classes))
        self.position = {item_id: node for node, item_id in enumerate(ids)}

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The node alone, as a graph of one node.

        Its hash is of its name and features: two nodes with equal features are not one item.
        """
        column = self.graph.nodes[:, [self.position[item.id]]]
        digest = hashlib.sha256(item.id.encode() + b"\0" + column.tobytes())
        return Reading(
            array=np.ascontiguousarray(column),
            sha256=digest.hexdigest(),
            edges=np.empty((2, 0), np.int64),
        )
