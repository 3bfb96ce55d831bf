"""Inputs for a network that classifies the nodes of one large graph: whole, or by samples of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.layouts.node_source import NodeSource
from striate.data.randomness import uniforms
from striate.data.source import Item, Reading
from striate.errors import ArgumentError
from striate.kinds.graph.inputs import GraphFeed
from striate.ops.graph_batch import GraphBatch


class NodeInputs:
    """Batches of nodes with what is around them.

    Args:
        source: the graph.
        feed: normalizes the features; see `node_feed`.
        fanouts: neighbours drawn for each node, the seeds' first, one number a convolution; empty
            to give the whole graph with every batch.

    Raises:
        ArgumentError: a fanout below 1.
    """

    def __init__(self, source: NodeSource, feed: GraphFeed, fanouts: tuple[int, ...] = ()) -> None:
        if any(fanout < 1 for fanout in fanouts):
            raise ArgumentError(f"fanouts={fanouts}", why="each must be a whole number from 1 up")
        self.source, self.feed, self.fanouts = source, feed, fanouts

    @cached_property
    def whole(self) -> GraphBatch:
        """The whole graph, every node a seed."""
        graph = self.source.graph
        reading = Reading(
            array=graph.nodes, sha256="", edges=graph.edges, edge_features=graph.edge_features
        )
        return self.feed.batch_of(reading, np.arange(graph.nodes.shape[1]))

    def inputs(self, items: Sequence[Item]) -> GraphBatch:
        """The whole graph, to be asked about these items; nothing is random."""
        places = [self.source.position[item.id] for item in items]
        whole = self.whole
        batch = GraphBatch(
            nodes=whole.nodes,
            edges=whole.edges,
            graph_of_node=whole.graph_of_node,
            num_graphs=1,
            edge_features=whole.edge_features,
            seeds=torch.tensor(places, dtype=torch.int64),
        )
        # The same edges: what was computed of them serves every batch.
        batch.__dict__["adjacency"] = whole.adjacency
        return batch

    def sampled(self, items: Sequence[Item], *, seed: int, epoch: int) -> GraphBatch:
        """The items' surroundings as far as `fanouts` goes, drawn at random.

        Which neighbours of a node are drawn depends on the node, the seed and the epoch alone, not
        on the batch it is in. Without `fanouts`, the whole graph.
        """
        if not self.fanouts:
            return self.inputs(items)
        seeds = np.array([self.source.position[item.id] for item in items], np.int64)
        nodes, edges = sample_neighbours(
            self.whole, self._pointers, seeds, self.fanouts, seed=seed, epoch=epoch
        )
        return self._part(nodes, edges, seeds)

    def around(self, item: Item, hops: int) -> tuple[GraphBatch, NDArray[np.int64]]:
        """The part of the graph that one item's outputs depend on: the same part, the same outputs.

        It reaches one step further than the convolutions do: a GCN weighs what comes from a node by
        the node's degree, so that the farthest nodes need all their edges too.

        Args:
            item: the part's only seed.
            hops: convolutions, none of which may see the whole graph (as a virtual node does).

        Returns:
            The part, and the number in the whole graph of each of its nodes, ascending.
        """
        seeds = np.array([self.source.position[item.id]], np.int64)
        all_of_them = (self.whole.edges.shape[1],) * (hops + 1)
        nodes, edges = sample_neighbours(
            self.whole, self._pointers, seeds, all_of_them, seed=0, epoch=0
        )
        return self._part(nodes, edges, seeds), nodes

    def _part(
        self, nodes: NDArray[np.int64], edges: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> GraphBatch:
        """Some nodes and edges of the graph, by their positions."""
        place = np.full(len(self.whole.nodes), -1)
        place[nodes] = np.arange(len(nodes))
        ends = self.whole.edges.numpy()[:, edges]
        local = place[ends]
        order = np.lexsort((local[0], local[1]))
        features = self.whole.edge_features
        return GraphBatch(
            nodes=self.whole.nodes[torch.from_numpy(nodes)],
            edges=torch.from_numpy(local[:, order]),
            graph_of_node=torch.zeros(len(nodes), dtype=torch.int64),
            num_graphs=1,
            edge_features=None if features is None else features[torch.from_numpy(edges[order])],
            seeds=torch.from_numpy(place[seeds]),
        )

    @cached_property
    def _pointers(self) -> NDArray[np.int64]:
        return self.whole.adjacency.pointers.numpy()


def node_feed(source: NodeSource, train: Sequence[Item]) -> GraphFeed:
    """The feed of a graph's nodes.

    Args:
        source: the graph.
        train: items to normalize by; the features of others do not leak into it.
    """
    graph = source.graph
    nodes = [source.position[item.id] for item in train]
    reading = Reading(array=graph.nodes[:, nodes], sha256="", edge_features=graph.edge_features)
    return GraphFeed.fitted([reading], {})


def sample_neighbours(
    graph: GraphBatch,
    pointers: NDArray[np.int64],
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
        graph: all nodes and edges.
        pointers: where the edges into each node begin, and their number.
        seeds: nodes to start from.
        fanouts: edges a node, hop after hop.
        seed: of the random choice.
        epoch: another choice for each.

    Returns:
        Nodes, ascending, and positions of edges, ascending.
    """
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
