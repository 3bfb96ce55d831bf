"""Graphs as a kind of data."""

from __future__ import annotations

from typing import Any, Final

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
