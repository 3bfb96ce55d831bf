"""Graphs and molecules with what speaks for an answer marked on nodes and edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
from jaxtyping import Float
from torch import nn

from striate.data.readers.molecule import molecule_reading
from striate.data.source import Reading, UnreadableItem
from striate.errors import MissingExtraError
from striate.explain.graph_methods import explain_nodes
from striate.explain.graph_picture import bond_importance, draw_graph, draw_molecule
from striate.explain.graph_saliency import GraphExplainable, edge_saliency
from striate.ops.graph_batch import GraphBatch
from striate.report import Picture

MAX_EDGES: Final = 1000
"""Of a graph with more edges the nodes alone are explained: each edge takes a pass."""


@dataclass(frozen=True, kw_only=True)
class GraphHeat:
    """What speaks for an output.

    Attributes:
        nodes: 0 (not at all) to 1 (most), a node each.
        edges: likewise, an edge each.
    """

    nodes: Float[np.ndarray, " N"]
    edges: Float[np.ndarray, " E"]


def seen_graph(
    network: nn.Module, batch: GraphBatch, reading: Reading, target: int, method: str
) -> tuple[Reading, GraphHeat]:
    """A graph as the network saw it, its edges in that order, and what speaks for an output.

    Args:
        network: of graphs, in evaluation mode.
        batch: the graph alone.
        reading: of it.
        target: number of the output.
        method: a name of `striate.explain.graph_methods.GRAPH_METHODS`, for the nodes; an edge is
            always explained by leaving it out.

    Raises:
        UnknownNameError: no such method.
    """
    graphs = cast(GraphExplainable, network)
    nodes = explain_nodes(graphs, batch, target, method)
    few = batch.edges.shape[1] <= MAX_EDGES
    edges = edge_saliency(graphs, batch, target) if few else nodes.new_zeros(batch.edges.shape[1])
    shown = replace(reading, edges=batch.edges.cpu().numpy())
    return shown, GraphHeat(
        nodes=nodes.float().cpu().numpy().astype(np.float64),
        edges=edges.float().cpu().numpy().astype(np.float64),
    )


def graph_picture(reading: Reading, heat: GraphHeat, item: str) -> Picture:
    """A molecule as chemists draw it, where the item's name is its SMILES; else circles and lines.

    Args:
        reading: of the graph.
        heat: of its nodes and edges.
        item: name of the item.
    """
    edges = np.empty((2, 0), np.int64) if reading.edges is None else reading.edges
    if _is_molecule(reading, item):
        bonds = bond_importance(item, edges, heat.edges)
        return Picture(image=draw_molecule(item, heat.nodes, bonds))
    return Picture(image=draw_graph(edges, heat.nodes, heat.edges))


def _is_molecule(reading: Reading, item: str) -> bool:
    """Whether the graph is that of the molecule which the item's name spells."""
    try:
        return molecule_reading(item).sha256 == reading.sha256
    except (UnreadableItem, MissingExtraError):
        return False
