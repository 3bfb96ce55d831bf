"""Graphs as a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from striate.kinds.graph.drawing import picture
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind


class GraphKind(Kind):
    """Graphs, such as molecules, each of which is an item."""

    name = "graph"
    nouns = ("graph", "graphs")
    hub_tags: ClassVar[Mapping[str, str]] = {
        "classification": "graph-ml",
        "regression": "graph-ml",
        "multilabel": "graph-ml",
    }
    inputs_type = GraphInputs

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """A graph isomorphism network; no frozen features are known."""
        return Defaults(methods=("scratch",), network="gin")

    picture = staticmethod(picture)


KINDS.add(GraphKind.name, GraphKind())
