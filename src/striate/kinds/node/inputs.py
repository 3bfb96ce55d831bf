"""Nodes of one large graph as inputs: the whole graph with every batch, or samples of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.randomness import Draws, uniforms
from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, DataError
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.inputs import Inputs, check_option_names
from striate.ops.graph_batch import GraphBatch
from striate.report.schema import Choice

MAX_WHOLE: Final = 20_000
"""Nodes up to which every training step sees the whole graph."""

FANOUT: Final = 10
"""Neighbours of a node that a step sees of a larger graph, at each convolution."""


@dataclass(frozen=True, kw_only=True)
class NodeInputs(Inputs[GraphBatch]):
    """Batches of nodes with what is around them.

    Attributes:
        features: Normalizes the features of nodes and edges.
        num_nodes: Nodes of the graph that was trained on.
        fanouts: Neighbours drawn for each node in training, those of the items first, one number
            for each convolution; empty where every batch sees the whole graph.
    """

    features: GraphInputs
    num_nodes: int = 0
    fanouts: tuple[int, ...] = ()
    _whole: list[tuple[Reading, GraphBatch]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if any(fanout < 1 for fanout in self.fanouts):
            raise ArgumentError(f"fanouts={self.fanouts}", why="each must be a whole number from 1")

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs normalized by the training nodes; the features of others do not leak.

        Raises:
            ArgumentError: An option was given; nodes have none.
            DataError: There are no training nodes.
        """
        check_option_names("nodes", options, ())
        items = list(readings)
        if not items:
            raise DataError("there is no node to train on")
        graph, _ = _place(items[0])
        nodes = [_place(item)[1] for item in items]
        trained = replace(graph, array=graph.array[:, nodes])
        features = GraphInputs.fitted([trained], {})
        return cls(features=features, num_nodes=graph.array.shape[1])

    @property
    def batch_size(self) -> None:
        """All nodes that are asked about, in one batch."""
        return

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(features of a node,)."""
        return self.features.input_shape

    def network_options(self, name: str) -> dict[str, Any]:
        """Those of graphs, with an output for each node."""
        return {**self.features.network_options(name), "level": "node"}

    def for_network(self, network: Any) -> Self:
        """Of a large graph training draws as many rings of neighbours as there are convolutions."""
        if self.num_nodes <= MAX_WHOLE:
            return self
        return replace(self, fanouts=(FANOUT,) * network.config.depth)

    def choices(self) -> tuple[Choice, ...]:
        """That neighbours are drawn, where they are."""
        if not self.fanouts:
            return ()
        why = f"the graph has {self.num_nodes} nodes, more than {MAX_WHOLE}"
        how = f"{FANOUT} neighbours of each node, {len(self.fanouts)} steps far"
        return (Choice(topic="sampling", choice=how, why=why),)

    def training_batch(self, wanted: int, num_items: int) -> int:
        """All nodes at once where each batch sees the whole graph."""
        return wanted if self.fanouts else num_items

    def inputs(self, readings: Sequence[Reading]) -> GraphBatch:
        """The whole graph, to be asked about these nodes.

        Raises:
            UnreadableItem: An item is not a node of a graph.
        """
        graph = _graph_of(readings)
        whole = self.whole(graph)
        places = [_place(reading)[1] for reading in readings]
        batch = replace(whole, seeds=torch.tensor(places, dtype=torch.int64))
        # The same edges: what was computed of them serves every batch.
        batch.__dict__["adjacency"] = whole.adjacency
        return batch

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> GraphBatch:
        """The nodes' surroundings as far as `fanouts` goes, drawn at random.

        Which neighbours of a node are drawn depends on the node, the seed and the epoch alone, not
        on the batch that it is in. Without `fanouts` it is the whole graph.
        """
        if not self.fanouts:
            return self.inputs(readings)
        whole = self.whole(_graph_of(readings))
        seeds = np.array([_place(reading)[1] for reading in readings], np.int64)
        nodes, edges = sample_neighbours(
            whole, seeds, self.fanouts, seed=draws.seed, epoch=draws.epoch
        )
        return part_of(whole, nodes, edges, seeds)

    def around(self, reading: Reading, hops: int) -> tuple[GraphBatch, NDArray[np.int64]]:
        """The part of the graph that one node's outputs depend on: the same part, the same outputs.

        It reaches one step further than the convolutions do: a GCN weighs what comes from a node by
        the node's degree, so that the farthest nodes need all their edges too.

        Args:
            reading: The node, the part's only seed.
            hops: Number of convolutions, none of which may see the whole graph (as a virtual node
                does).

        Returns:
            The part, and the number in the whole graph of each of its nodes, ascending.
        """
        graph, node = _place(reading)
        whole = self.whole(graph)
        seeds = np.array([node], np.int64)
        all_of_them = (whole.edges.shape[1],) * (hops + 1)
        nodes, edges = sample_neighbours(whole, seeds, all_of_them, seed=0, epoch=0)
        return part_of(whole, nodes, edges, seeds), nodes

    def whole(self, graph: Reading) -> GraphBatch:
        """The whole graph, every node a seed; kept for the graph that was asked for last."""
        if not self._whole or self._whole[0][0] is not graph:
            batch = self.features.inputs([graph])
            self._whole[:] = [(graph, replace(batch, seeds=torch.arange(graph.array.shape[1])))]
        return self._whole[0][1]

    @property
    def exported(self) -> None:
        """A graph is of any size, not one tensor."""
        return

    def to_json(self) -> dict[str, Any]:
        """What normalizes the features."""
        return self.features.to_json()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inputs that `to_json` wrote."""
        return cls(features=GraphInputs.from_json(document))


def part_of(
    whole: GraphBatch,
    nodes: NDArray[np.int64],
    edges: NDArray[np.int64],
    seeds: NDArray[np.int64],
) -> GraphBatch:
    """Some nodes and edges of a graph, by their positions."""
    place = np.full(len(whole.nodes), -1)
    place[nodes] = np.arange(len(nodes))
    local = place[whole.edges.numpy()[:, edges]]
    order = np.lexsort((local[0], local[1]))
    features = whole.edge_features
    return GraphBatch(
        nodes=whole.nodes[torch.from_numpy(nodes)],
        edges=torch.from_numpy(local[:, order]),
        graph_of_node=torch.zeros(len(nodes), dtype=torch.int64),
        num_graphs=1,
        edge_features=None if features is None else features[torch.from_numpy(edges[order])],
        seeds=torch.from_numpy(place[seeds]),
    )


def _place(reading: Reading) -> tuple[Reading, int]:
    """The graph that a node is in, and its number there."""
    if reading.graph is None or reading.node is None:
        raise UnreadableItem("it is not a node of a graph")
    return reading.graph, reading.node


def _graph_of(readings: Sequence[Reading]) -> Reading:
    """The one graph of all these nodes."""
    graph = _place(readings[0])[0]
    if any(reading.graph is not graph for reading in readings):
        raise UnreadableItem("nodes of several graphs do not go together")
    return graph


def sample_neighbours(
    graph: GraphBatch,
    seeds: NDArray[np.int64],
    fanouts: Sequence[int],
    *,
    seed: int,
    epoch: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nodes around `seeds`, and the edges among which they were found.

    Hamilton, Ying and Leskovec, NeurIPS 2017, section 3.1: of each node's edges at most as many as
    the fanout are taken, without repetition; each hop goes on from the nodes that are new.

    Args:
        graph: The graph with all nodes and edges.
        seeds: Nodes to start from.
        fanouts: Edges taken of each node, hop after hop.
        seed: Seed of the random choice.
        epoch: Number of the epoch; the choice is another one in each.

    Returns:
        Nodes, ascending, and positions of edges, ascending.
    """
    pointers = graph.adjacency.pointers.numpy()
    known = np.zeros(len(graph.nodes), bool)
    known[seeds] = True
    front, chosen = np.unique(seeds), []
    for hop, fanout in enumerate(fanouts):
        counts = pointers[front + 1] - pointers[front]
        starts = np.cumsum(counts) - counts
        edges = np.arange(counts.sum()) + np.repeat(pointers[front] - starts, counts)
        keys = edges.astype(np.uint64) + np.uint64(hop) * np.uint64(graph.edges.shape[1])
        chance = uniforms(keys, 1, seed=seed, epoch=epoch)[:, 0]
        order = np.lexsort((chance, np.repeat(np.arange(len(front)), counts)))
        rank = np.arange(len(edges)) - np.repeat(starts, counts)
        taken = edges[order[rank < fanout]]
        chosen.append(taken)
        reached = np.unique(graph.edges[0].numpy()[taken])
        front = reached[~known[reached]]
        known[front] = True
    edges = np.unique(np.concatenate([np.empty(0, np.int64), *chosen]))
    return np.flatnonzero(known), edges
