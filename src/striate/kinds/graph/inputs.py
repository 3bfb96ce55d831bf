"""Graphs as inputs: batches side by side, continuous features normalized by the training graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws, uniforms
from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, DataError
from striate.kinds.graph.molecules import FINGERPRINT_SIZE, num_descriptors, whole_features
from striate.kinds.inputs import Inputs, check_option_names, in_order_of, number_option, places_of
from striate.models import Network, find
from striate.ops.graph_batch import GraphBatch

OPTIONS: Final = ("drop_edges",)


@dataclass(frozen=True, kw_only=True)
class GraphInputs(Inputs[GraphBatch]):
    """How graphs become batches.

    Features that are 0 or 1 on every training graph are left as they are; the others get mean 0
    and standard deviation 1 over the training graphs' nodes (or edges).

    Attributes:
        node_mean: Mean of each node feature.
        node_std: Standard deviation of each node feature.
        edge_mean: Mean of each edge feature; empty where edges have none.
        edge_std: Standard deviation of each edge feature.
        drop_edges: Probability that training leaves out an edge, both ways at once.
        names: Names of the node features, in their order; empty where they have none.
        edge_names: Names of the edge features; empty where they have none.
        molecules: Whether every training item came with its SMILES.
        num_descriptors: Number of descriptors of a molecule, which as many logarithms and its
            fingerprint follow.
        whole: Whether batches have the features of molecules as wholes.
    """

    node_mean: tuple[float, ...]
    node_std: tuple[float, ...]
    edge_mean: tuple[float, ...] = ()
    edge_std: tuple[float, ...] = ()
    drop_edges: float = 0.0
    names: tuple[str, ...] = ()
    edge_names: tuple[str, ...] = ()
    molecules: bool = False
    num_descriptors: int = 0
    whole: bool = False

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs for graphs like these.

        Args:
            readings: Readings of the training items.
            options: `drop_edges`, a probability.

        Raises:
            UnknownNameError: There is no such option.
            ArgumentError: A value is not allowed.
            DataError: There are no graphs, or they have different numbers of features.
        """
        check_option_names("graphs", options, OPTIONS)
        drop_edges = number_option(options, "drop_edges", 0.0)
        if not 0 <= drop_edges < 1:
            raise ArgumentError(f"drop_edges={drop_edges}", why="it must be at least 0, below 1")
        nodes, edges = _Moments("node"), _Moments("edge")
        names: tuple[str, ...] = ()
        edge_names: tuple[str, ...] = ()
        molecules = True
        for reading in readings:
            molecules = molecules and bool(reading.smiles)
            names = names or reading.channel_names
            edge_names = edge_names or reading.edge_names
            nodes.add(reading.array)
            edges.add(np.empty((0, 0)) if reading.edge_features is None else reading.edge_features)
        if nodes.channels is None:
            raise DataError("there is no graph to train on")
        node_mean, node_std = nodes.result()
        edge_mean, edge_std = edges.result()
        return cls(
            node_mean=node_mean,
            node_std=node_std,
            edge_mean=edge_mean,
            edge_std=edge_std,
            drop_edges=drop_edges,
            names=names,
            edge_names=edge_names,
            molecules=molecules,
            num_descriptors=num_descriptors() if molecules else 0,
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(node features,)."""
        return (len(self.node_mean),)

    @property
    def edge_channels(self) -> int:
        """Features of an edge; 0 where there are none."""
        return len(self.edge_mean)

    def inputs(self, readings: Sequence[Reading]) -> GraphBatch:
        """The graphs side by side; raises UnreadableItem for one with other features."""
        return self._collated(readings, [None] * len(readings))

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> GraphBatch:
        """The graphs side by side, some edges left out where that was asked for."""
        if not self.drop_edges:
            return self.inputs(readings)
        pairs = zip(readings, draws.uniforms(1)[:, 0], strict=True)
        return self._collated(readings, [self._kept(reading, draw) for reading, draw in pairs])

    def network_options(self, name: str) -> dict[str, Any]:
        """Features of nodes, and of edges and of graphs where the network has use for them."""
        config, options = find(name).config, {"in_channels": len(self.node_mean)}
        if config.takes_whole_graphs:
            return {
                **options,
                "whole_channels": self.num_whole,
                "num_compared": 2 * self.num_descriptors,
            }
        return {**options, "edge_channels": self.edge_channels if config.takes_edges else 0}

    @property
    def num_whole(self) -> int:
        """Features of a molecule as a whole; 0 of other graphs."""
        return 2 * self.num_descriptors + FINGERPRINT_SIZE if self.molecules else 0

    def for_network(self, network: Network) -> Self:
        """Inputs with the features of molecules as wholes, where the network takes them."""
        wanted = self.molecules and network.config.takes_whole_graphs
        return replace(self, whole=wanted)

    @property
    def exported(self) -> None:
        """A graph is of any size, not one tensor."""
        return

    def _kept(self, reading: Reading, draw: float) -> NDArray[np.bool_]:
        """Which edges stay; both directions of one share their fate."""
        assert reading.edges is not None
        low, high = np.sort(reading.edges, 0).astype(np.uint64)
        keys = low * np.uint64(reading.array.shape[1]) + high
        chance = uniforms(keys, 1, seed=int(draw * 2.0**53), epoch=0)[:, 0]
        kept: NDArray[np.bool_] = chance >= self.drop_edges
        return kept

    def _collated(
        self, readings: Sequence[Reading], kept: Sequence[NDArray[np.bool_] | None]
    ) -> GraphBatch:
        nodes, edges, features = [], [], []
        start = 0
        for stored, mask in zip(readings, kept, strict=True):
            reading = in_order_of(self.names, stored)
            own_edges, own_features = self._checked(reading)
            if mask is not None:
                own_edges, own_features = own_edges[:, mask], own_features[:, mask]
            nodes.append(np.asarray(reading.array, np.float32).T)
            edges.append(own_edges + start)
            features.append(own_features.T)
            start += reading.array.shape[1]
        sizes = [len(part) for part in nodes]
        of_nodes = np.concatenate([np.empty((0, len(self.node_mean)), np.float32), *nodes])
        of_edges = np.concatenate([np.empty((0, self.edge_channels), np.float32), *features])
        normal_edges = _normalized(of_edges, self.edge_mean, self.edge_std)
        return GraphBatch(
            nodes=torch.from_numpy(_normalized(of_nodes, self.node_mean, self.node_std)),
            edges=torch.from_numpy(np.concatenate([np.empty((2, 0), np.int64), *edges], 1)),
            graph_of_node=torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
            num_graphs=len(sizes),
            edge_features=torch.from_numpy(normal_edges) if self.edge_channels else None,
            whole=self._wholes(readings) if self.whole else None,
        )

    def _wholes(self, readings: Sequence[Reading]) -> Tensor:
        """(graphs, features) of molecules as wholes."""
        rows = [np.empty((0, self.num_whole), np.float32)]
        for reading in readings:
            if not reading.smiles:
                raise UnreadableItem("it has no SMILES, which the model's features are computed of")
            found = whole_features(reading.smiles)
            if len(found) != self.num_whole:
                raise UnreadableItem(
                    f"this rdkit computes {len(found)} features of a molecule, "
                    f"that of training {self.num_whole}"
                )
            rows.append(found[None])
        return torch.from_numpy(np.concatenate(rows))

    def _checked(self, reading: Reading) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Edges and their features, (2, edges) and (features, edges), ascending by target."""
        channels, expected = reading.array.shape[0], len(self.node_mean)
        if channels != expected:
            raise UnreadableItem(f"nodes have {channels} features, those of training {expected}")
        edges = np.empty((2, 0), np.int64) if reading.edges is None else reading.edges
        features = reading.edge_features
        if features is None:
            features = np.empty((0, edges.shape[1]), np.float32)
        if features.shape[0] != self.edge_channels:
            raise UnreadableItem(
                f"edges have {features.shape[0]} features, those of training {self.edge_channels}"
            )
        if (places := places_of(self.edge_names, reading.edge_names)) is not None:
            features = features[places]
        if edges.shape[1] and (np.diff(edges[1]) < 0).any():
            order = np.lexsort((edges[0], edges[1]))
            edges, features = edges[:, order], features[:, order]
        return edges, features


class _Moments:
    """Mean and standard deviation of features that come in parts, (features, count) each."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.channels: int | None = None
        self._count = 0

    def add(self, part: NDArray[Any]) -> None:
        """Take in more; raises DataError where their number of features differs."""
        if self.channels is None:
            self.channels = part.shape[0]
            self._mean = np.zeros(self.channels)
            self._squares = np.zeros(self.channels)
            self._binary = np.ones(self.channels, bool)
        if part.shape[0] != self.channels:
            raise DataError(
                f"{self.what}s have {part.shape[0]} features in one graph, {self.channels} in others",
                fix="give every graph the same features",
            )
        count = part.shape[1]
        if not count:
            return
        values = part.astype(np.float64)
        mean = values.mean(1)
        total = self._count + count
        shift = mean - self._mean
        # Chan, Golub and LeVeque, 1983: squares about the mean of the whole, from those of parts.
        self._squares += ((values - mean[:, None]) ** 2).sum(1)
        self._squares += shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._binary &= ((values == 0) | (values == 1)).all(1)
        self._count = total

    def result(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What is subtracted from each feature, and what it is divided by."""
        if self.channels is None or not self.channels:
            return (), ()
        std = np.sqrt(self._squares / max(self._count, 1))
        plain = self._binary | (std <= 1e-6 * np.abs(self._mean))
        mean, std = np.where(plain, 0.0, self._mean), np.where(plain, 1.0, std)
        return tuple(mean.tolist()), tuple(std.tolist())


def _normalized(
    rows: NDArray[np.float32], mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    return np.asarray((rows - np.array(mean)) / np.array(std), np.float32)
