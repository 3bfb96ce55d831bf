"""Fixed features of graphs or of nodes, and a linear layer or a kernel machine on them.

Nothing in the features is trained. Of every node there are its own features, its degree (as one of
a few, and its logarithm), and the mean, the minimum, the maximum and the standard deviation of its
neighbours' degrees (Cai and Wang, "A simple yet effective baseline for non-attributed graph
classification", 2018, arXiv:1811.03508). They are propagated as in a graph convolution network
without its layers (SGC: Wu et al., "Simplifying Graph Convolutional Networks", ICML 2019,
arXiv:1902.07153); the features of a node are those after no step, one step, two steps and so on.
A graph has the mean, the standard deviation and the maximum of each over its nodes, which makes a
histogram of the degrees, and the logarithms of its numbers of nodes and edges. Where graphs come
with features as wholes, as molecules do with their descriptors, these are taken instead.

Axes: N nodes, n graphs (or seeds), c features of a node, f features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.graphs.graph_network import LEVELS
from striate.models.network import (
    Blocks,
    Network,
    NetworkConfig,
    chosen_levels,
    require_counts,
)
from striate.nn.kernel_head import KernelHead
from striate.ops.graph_adjacency import Adjacency
from striate.ops.graph_batch import GraphBatch
from striate.ops.graph_reduce import (
    neighbour_max,
    neighbour_mean,
    scaled_sum,
    segment_max,
    segment_mean,
)

MAX_DEGREE: Final = 10
"""Degrees up to which each has a feature of its own; the last stands for all higher ones too."""

NUM_DEGREE_FEATURES: Final = MAX_DEGREE + 6
"""A place for each degree from 0, the logarithm, and four figures of the neighbours' degrees."""


_ROUNDING: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class GraphFeaturesConfig(NetworkConfig):
    """The configuration of fixed features of graphs.

    Attributes:
        in_channels: Number of features of a node.
        num_classes: Number of logits.
        level: What is classified: "graph", or "node".
        depth: Steps of propagation.
        whole_channels: Number of features of a graph as a whole, which take the place of those of
            its nodes; 0 where there are none.
        num_compared: Features that a kernel machine compares, the first of them; 0 for all.
        num_landmarks: Items that a kernel machine compares an input with; 0 for a linear layer.
        kernel: Name of the kernel that compares.

    Raises:
        ArgumentError: A value is out of range.
    """

    takes_whole_graphs: ClassVar[bool] = True

    in_channels: int = 1
    num_classes: int = 2
    level: str = "graph"
    depth: int = 2
    whole_channels: int = 0
    num_compared: int = 0
    num_landmarks: int = 0
    kernel: str = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "depth")
        for name in ("whole_channels", "num_compared", "num_landmarks"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ArgumentError(f"{name}={value!r}", why="it must be 0 or more")
        if self.level not in LEVELS:
            raise ArgumentError(f"level={self.level!r}", fix=f"choose {' or '.join(LEVELS)}")

    @property
    def num_features(self) -> int:
        """Number of features of a graph, or of a node."""
        if self.whole_channels:
            return self.whole_channels
        of_node = (self.in_channels + NUM_DEGREE_FEATURES) * (self.depth + 1)
        return of_node if self.level == "node" else 3 * of_node + 2


class FixedFeatures(nn.Module):
    """The features of graphs, or of the nodes that are classified.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: GraphFeaturesConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, batch: GraphBatch) -> Float[Tensor, "n f"]:
        """The features.

        Raises:
            ArgumentError: Nodes or graphs have another number of features.
        """
        config = self.config
        if config.whole_channels:
            return _whole(batch, config.whole_channels)
        channels = batch.nodes.shape[1]
        if channels != config.in_channels:
            raise ArgumentError(
                f"nodes with {channels} features",
                why=f"the network takes {config.in_channels}",
                fix=f"build it with in_channels={channels}",
            )
        nodes = torch.cat([batch.nodes, degree_features(batch.adjacency).to(batch.nodes)], 1)
        steps = [nodes]
        for _ in range(config.depth):
            steps.append(propagated(steps[-1], batch.adjacency))
        found = torch.cat(steps, 1)
        if config.level == "node":
            return found if batch.seeds is None else found[batch.seeds]
        return pooled_features(found, batch)


def _whole(batch: GraphBatch, channels: int) -> Float[Tensor, "n f"]:
    found = 0 if batch.whole is None else batch.whole.shape[1]
    if batch.whole is None or found != channels:
        raise ArgumentError(
            f"graphs with {found} features as wholes", why=f"the network takes {channels}"
        )
    return batch.whole


def degree_features(adjacency: Adjacency) -> Float[Tensor, "N degree_features"]:
    """Of each node its degree and what its neighbours' degrees are like.

    Args:
        adjacency: The edges; a node's degree is the number of edges into it.
    """
    degrees = adjacency.degrees
    one_of = nn.functional.one_hot(degrees.clamp(max=MAX_DEGREE), MAX_DEGREE + 1).float()
    logarithm = degrees.float().log1p()[:, None]
    mean = neighbour_mean(logarithm, adjacency)
    variance = neighbour_mean(logarithm.square(), adjacency) - mean.square()
    # Rounding makes differences of nothing, of which a root would make something.
    std = torch.where(variance > 1e-5, variance, torch.zeros_like(variance)).sqrt()
    highest, lowest = neighbour_max(logarithm, adjacency), -neighbour_max(-logarithm, adjacency)
    return torch.cat([one_of, logarithm, mean, std, highest, lowest], 1)


def propagated(x: Float[Tensor, "N c"], adjacency: Adjacency) -> Float[Tensor, "N c"]:
    """One step of propagation with symmetric normalization and a loop at every node.

    Args:
        x: Features of each node.
        adjacency: The edges of the graph.
    """
    loop = x.new_ones(adjacency.num_nodes)
    loop[adjacency.targets[adjacency.loops]] = 0
    scale = (adjacency.degrees.to(x.dtype) + loop).clamp(min=1).rsqrt()[:, None]
    return scaled_sum(x, scale, loop[:, None], adjacency)


def pooled_features(x: Float[Tensor, "N c"], batch: GraphBatch) -> Float[Tensor, "n f"]:
    """Mean, standard deviation and maximum over the nodes of each graph, and its size.

    Args:
        x: Features of each node.
        batch: The graphs that the nodes belong to.
    """
    mean = segment_mean(x, batch.pointers)
    variance = segment_mean((x - mean[batch.graph_of_node]).square(), batch.pointers)
    # Smooth at 0, where a root is not, and 0 for what varies by rounding alone.
    std = (variance + _ROUNDING).sqrt() - _ROUNDING**0.5
    edges = torch.bincount(batch.graph_of_node[batch.edges[1]], minlength=batch.num_graphs)
    sizes = torch.stack([batch.pointers.diff(), edges], 1).to(x.dtype).log1p()
    return torch.cat([mean, std, segment_max(x, batch.pointers), sizes], 1)


class GraphFeatures(Network):
    """A head on fixed features of graphs or nodes; inputs are a `GraphBatch`.

    Args:
        config: Configuration that the network is built from.
    """

    config: GraphFeaturesConfig

    def __init__(self, config: GraphFeaturesConfig) -> None:
        super().__init__(
            config,
            stem=FixedFeatures(config),
            stages=nn.ModuleList(),
            pool=nn.Identity(),
            num_features=config.num_features,
        )
        self.num_compared = config.num_compared or None
        if config.num_landmarks:
            self.head = KernelHead(
                config.num_compared or config.num_features,
                config.num_landmarks,
                config.num_classes,
                config.kernel,
            )

    def with_landmarks(self, head: KernelHead) -> GraphFeatures:
        """The same features with a kernel machine on them.

        Args:
            head: The machine, which is copied.
        """
        num_landmarks, num_classes = len(head.landmarks), head.linear.out_features
        config = replace(
            self.config,
            num_landmarks=num_landmarks,
            num_compared=len(head.shift),
            num_classes=num_classes,
            kernel=head.kernel,
        )
        machine = GraphFeatures(config)
        machine.head.load_state_dict(head.state_dict())
        return machine.to(next(self.parameters()).device).eval()

    def blocks(self) -> Blocks:
        """The module that computes the features."""
        return (("stem", self.stem),)

    def forward_features(self, batch: GraphBatch) -> Float[Tensor, "n f"]:
        """The features of graphs, or of seeds.

        Raises:
            ArgumentError: Nodes or graphs have another number of features.
        """
        found: Tensor = self.stem(batch)
        return found

    def forward_intermediates(
        self, batch: GraphBatch, indices: int | Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "n f"], list[Tensor]]:
        """The features, and nothing on the way to them.

        Args:
            batch: Graphs.
            indices: Which maps on the way to give; there are none.

        Raises:
            ArgumentError: There is no such map, or see `forward_features`.
        """
        chosen_levels(0, indices)
        return self.forward_features(batch), []

    def forward_pooled(self, batch: GraphBatch) -> Float[Tensor, "n f"]:
        """The features, of which the head makes logits."""
        return self.forward_features(batch)

    def forward_head(
        self, features: Float[Tensor, "n f"], batch: GraphBatch | None = None
    ) -> Float[Tensor, "n classes"]:
        """Logits of the features.

        Args:
            features: What `forward_features` gave.
            batch: The graphs, which are not looked at any more.
        """
        logits: Tensor = self.head(features)
        return logits

    def forward(self, batch: GraphBatch) -> Float[Tensor, "n classes"]:
        """Logits of graphs, or of seeds."""
        return self.forward_head(self.forward_features(batch))


VARIANTS: Final = {"graph_features": GraphFeaturesConfig()}

register("graph_features", VARIANTS, GraphFeatures, ranks=())
