"""What every network of graphs is: a map of the nodes, graph convolutions, a readout and a head.

Axes: N nodes, E edges, n graphs (or seeds).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from jaxtyping import Float
from torch import Tensor, cat, nn

from striate.errors import ArgumentError
from striate.nn.blocks import ClassifierHead
from striate.nn.graph_pool import READOUTS, GraphPool, NodeNorm
from striate.ops.graph_batch import GraphBatch
from striate.ops.graph_reduce import segment_mean, segment_repeat

LEVELS: Final = ("graph", "node")


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """What the configurations of all families of graph networks share; each value fits in JSON.

    Attributes:
        in_channels: features of a node.
        num_classes: logits given.
        edge_channels: features of an edge; 0 leaves them unused.
        level: "graph" for a logit a graph, "node" for one a node.
        depth: graph convolutions.
        width: channels between them.
        readout: how nodes become a graph: names of `READOUTS`, joined by "+".
        jumping: the readout sees the outputs of all depths, not the last alone.
        virtual_node: each graph has a node more that all others are joined to.
        residual: each convolution adds to its input.
        norm: batch norm over the nodes after each convolution.
        dropout: probability that a feature is dropped while training.

    Raises:
        ArgumentError: a value is out of range.
    """

    in_channels: int = 1
    num_classes: int = 2
    edge_channels: int = 0
    level: str = "graph"
    depth: int = 4
    width: int = 128
    readout: str = "mean+max"
    jumping: bool = False
    virtual_node: bool = False
    residual: bool = True
    norm: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("in_channels", "num_classes", "depth", "width"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{name}={value!r}", why="it must be a whole number from 1 up")
        if not isinstance(self.edge_channels, int) or self.edge_channels < 0:
            raise ArgumentError(f"edge_channels={self.edge_channels!r}", why="it must be 0 or more")
        if self.level not in LEVELS:
            raise ArgumentError(f"level={self.level!r}", fix=f"choose {' or '.join(LEVELS)}")
        for part in self.readout.split("+"):
            READOUTS.get(part)
        if not 0 <= self.dropout < 1:
            raise ArgumentError(f"dropout={self.dropout!r}", why="it must be at least 0, below 1")


MakeConv: TypeAlias = Callable[[], nn.Module]
"""Makes a convolution from `width` channels to `width`."""


class GraphBlock(nn.Module):
    """Convolution, batch norm, rectifier, dropout; around them a shortcut.

    Args:
        config: the network's.
        conv: the convolution.
    """

    def __init__(self, config: GraphConfig, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = NodeNorm(config.width) if config.norm else nn.Identity()
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)
        self.residual = config.residual
        self.uses_edges = config.edge_channels > 0
        self.virtual = nn.Linear(config.width, config.width) if config.virtual_node else None

    def forward(self, x: Float[Tensor, "N width"], batch: GraphBatch) -> Float[Tensor, "N width"]:
        """Convolve over the edges of `batch`."""
        shortcut = x
        if self.virtual is not None:
            # What the virtual node holds is the graph's mean: it sees all nodes, and all see it.
            x = x + segment_repeat(self.virtual(segment_mean(x, batch.pointers)), batch.pointers)
        edges = (batch.edge_features,) if self.uses_edges else ()
        out: Tensor = self.dropout(self.act(self.norm(self.conv(x, batch.adjacency, *edges))))
        return shortcut + out if self.residual else out


class GraphNetwork(nn.Module):
    """A classifier, or a regressor, of graphs or of nodes.

    Args:
        config: what the network was built from.
        make_conv: makes the convolution of each block.
    """

    def __init__(self, config: GraphConfig, make_conv: MakeConv) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Linear(config.in_channels, config.width)
        self.stages = nn.ModuleList(GraphBlock(config, make_conv()) for _ in range(config.depth))
        self.num_node_features = config.width * (config.depth + 1 if config.jumping else 1)
        at_nodes = config.level == "node"
        self.pool = None if at_nodes else GraphPool(self.num_node_features, config.readout)
        self.num_features = self.num_node_features if self.pool is None else self.pool.num_features
        self.head: nn.Module = ClassifierHead(self.num_features, config.num_classes, config.dropout)

    def forward_features(self, batch: GraphBatch) -> Float[Tensor, "N features"]:
        """Features of every node, before the readout.

        Raises:
            ArgumentError: nodes or edges have another number of features.
        """
        self._check_input(batch)
        x = self.stem(batch.nodes)
        seen = [x]
        for block in self.stages:
            x = block(x, batch)
            seen.append(x)
        if not self.config.jumping:
            return x  # type: ignore[no-any-return]  # from torch
        return cat(seen, 1)

    def pooled(
        self, features: Float[Tensor, "N features"], batch: GraphBatch
    ) -> Float[Tensor, "n num_features"]:
        """Features of each output: of graphs, or of the nodes that are seeds (of all without)."""
        if self.pool is not None:
            return self.pool(features, batch)  # type: ignore[no-any-return]  # from torch
        return features if batch.seeds is None else features[batch.seeds]

    def forward_head(
        self, features: Float[Tensor, "N features"], batch: GraphBatch
    ) -> Float[Tensor, "n classes"]:
        """Logits of the nodes' features."""
        logits: Tensor = self.head(self.pooled(features, batch))
        return logits

    def forward(self, batch: GraphBatch) -> Float[Tensor, "n classes"]:
        """Logits of graphs, or of seeds.

        Raises:
            ArgumentError: see `forward_features`.
        """
        return self.forward_head(self.forward_features(batch), batch)

    @property
    def classifier(self) -> nn.Linear:
        """The last layer, from pooled features to logits."""
        linear = self.head.get_submodule("linear")
        assert isinstance(linear, nn.Linear)
        return linear

    def replace_head(self, num_classes: int) -> None:
        """Put a fresh head for `num_classes` in place, on the device of the old one.

        Raises:
            ArgumentError: `num_classes` is not positive.
        """
        self.config = replace(self.config, num_classes=num_classes)
        like = next(self.head.parameters())
        head = ClassifierHead(self.num_features, num_classes, self.config.dropout)
        self.head = head.to(like.device, like.dtype).train(self.training)

    def _check_input(self, batch: GraphBatch) -> None:
        channels = batch.nodes.shape[1]
        if channels != self.config.in_channels:
            raise ArgumentError(
                f"nodes with {channels} features",
                why=f"the network takes {self.config.in_channels}",
                fix=f"build it with in_channels={channels}",
            )
        expected = self.config.edge_channels
        found = 0 if batch.edge_features is None else batch.edge_features.shape[1]
        if expected and found != expected:
            raise ArgumentError(
                f"edges with {found} features",
                why=f"the network takes {expected}",
                fix=f"build it with edge_channels={found}",
            )
