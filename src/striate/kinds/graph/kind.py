"""Graphs as a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from striate.kinds.graph.drawing import picture
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind

KERNELS: Final = {"gaussian": (0.05, 0.1, 0.2), "laplacian": (0.1, 0.2, 0.4)}
"""Kernels and values of gamma: on solubility the laplacian wins, on hydration energies the other."""


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
        """Fixed features of graphs, of molecules descriptors; a graph isomorphism network."""
        return Defaults(
            methods=("probe", "kernel", "scratch"),
            network="gin",
            features="graph_features",
            fixed_features=True,
            quick_probes=True,
            kernels=KERNELS,
        )

    picture = staticmethod(picture)


KINDS.add(GraphKind.name, GraphKind())
