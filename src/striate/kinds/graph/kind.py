"""Graphs as a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from striate.kinds.graph.drawing import picture
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.graph.molecules import num_descriptors
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, KernelGrid, Kind

FEATURES: Final = "graph_features"

KERNELS: Final = (
    KernelGrid(kernel="gaussian", gammas=(0.05, 0.1, 0.2)),
    KernelGrid(kernel="laplacian", gammas=(0.2, 0.4, 0.8)),
)
"""Kernels of graphs without further knowledge."""


def molecule_kernels() -> tuple[KernelGrid, ...]:
    """Kernels of molecules: of hydration energies the first wins, of solubility the others.

    The first compares the descriptors as they are, the others their logarithms too.
    """
    return (
        KernelGrid(kernel="gaussian", gammas=(0.05, 0.1, 0.2), num_compared=num_descriptors()),
        KernelGrid(kernel="gaussian", gammas=(0.1, 0.2, 0.4)),
        KernelGrid(kernel="laplacian", gammas=(0.4, 0.8, 1.6)),
    )


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
        whole = inputs.network_options(FEATURES)["whole_channels"] > 0
        return Defaults(
            methods=("probe", "kernel", "scratch"),
            network="gin",
            features=FEATURES,
            fixed_features=True,
            quick_probes=True,
            kernels=molecule_kernels() if whole else KERNELS,
        )

    picture = staticmethod(picture)


KINDS.add(GraphKind.name, GraphKind())
