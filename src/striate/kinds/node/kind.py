"""Nodes of one large graph as a kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from striate.data.layouts.edge_list import EDGES, NODES
from striate.data.layouts.graphs import NodeSource
from striate.data.layouts.layout import open_source
from striate.data.source import Source
from striate.data.unlabelled import Input
from striate.errors import DataError, UnknownNameError
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.kinds.node.drawing import picture
from striate.kinds.node.inputs import NodeInputs


class NodeKind(Kind):
    """Nodes of one graph, which is in memory as a whole."""

    name = "node"
    nouns = ("node", "nodes")
    inputs_type = NodeInputs

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """A small graph convolution network; no frozen features are known."""
        return Defaults(
            methods=("scratch",),
            network="gcn_small",
            batch_size=256,
            learning_rate=1e-2,
            weight_decay=5e-2,
            max_epochs=20,
        )

    def open(self, given: Sequence[Input], inputs: Inputs[Any]) -> Source:
        """The graph whose nodes are to be predicted; after it come their names, by default all.

        Raises:
            DataError: It is not one graph of nodes.
            UnknownNameError: The graph has no node of a name.
        """
        first = given[0] if given else None
        try:
            source = open_source(first) if isinstance(first, str | Path) else None
        except DataError:
            if (Path(str(first)) / NODES).is_file():
                raise
            source = None
        if source is None or source.kind != self.name:
            # Whatever else it may be taken for, its troubles as such are beside the point.
            raise DataError(
                f"{first if isinstance(first, str | Path) else 'what is given'} is no graph of nodes",
                fix=f"name the graph (a folder with {NODES} and {EDGES}, or a sample), then its "
                "nodes",
            )
        graph = cast(NodeSource, source)
        names = [str(name) for name in given[1:]] or list(graph.position)
        for name in names:
            if name not in graph.position:
                raise UnknownNameError(f"node of {graph.name}", name, graph.position)
        return graph.asking(names)

    picture = staticmethod(picture)


KINDS.add(NodeKind.name, NodeKind())
