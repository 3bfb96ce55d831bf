"""Networks of graphs: a map of the nodes, graph convolutions, a readout and a head.

GCN: Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
ICLR 2017, arXiv:1609.02907.
GraphSAGE: Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs",
NeurIPS 2017, arXiv:1706.02216.
GIN: Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, arXiv:1810.00826; edges with
features as in Hu et al., "Strategies for Pre-training Graph Neural Networks", ICLR 2020,
arXiv:1905.12265.
GAT: Velickovic et al., "Graph Attention Networks", ICLR 2018, arXiv:1710.10903; `gatv2` with the
attention of Brody, Alon and Yahav, "How Attentive are Graph Attention Networks?", ICLR 2022,
arXiv:2105.14491, which can rank the neighbours of each node in an order of its own.

Axes: N nodes, E edges, n graphs (or seeds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jaxtyping import Float
from torch import Tensor, cat, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import (
    Network,
    NetworkConfig,
    chosen_levels,
    require_counts,
    require_rates,
)
from striate.nn.graph_layers import (
    AGGREGATIONS,
    AttentionConv,
    GraphConv,
    IsomorphismConv,
    SageConv,
)
from striate.nn.graph_pool import READOUTS, GraphPool, NodeNorm, NodeSelection
from striate.ops.graph_batch import GraphBatch
from striate.ops.graph_reduce import segment_mean, segment_repeat

LEVELS: Final = ("graph", "node")


@dataclass(frozen=True, kw_only=True)
class GraphConfig(NetworkConfig):
    """The part of a configuration that all networks of graphs share.

    Attributes:
        in_channels: Number of features of a node.
        num_classes: Number of logits.
        edge_channels: Number of features of an edge; 0 leaves them unused.
        level: What is classified: "graph", or "node".
        depth: Number of graph convolutions.
        width: Number of channels between them.
        readout: How nodes become a graph: names of `READOUTS`, joined by "+".
        jumping: Whether the readout sees the outputs of all depths, or the last alone.
        virtual_node: Whether each graph has a node more that all others are joined to.
        residual: Whether each convolution adds to its input.
        norm: Whether a batch norm over the nodes follows each convolution.

    Raises:
        ArgumentError: A value is out of range, or the family has no use for features of edges.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "depth", "width")
        if not isinstance(self.edge_channels, int) or self.edge_channels < 0:
            raise ArgumentError(f"edge_channels={self.edge_channels!r}", why="it must be 0 or more")
        if self.edge_channels and not self.takes_edges:
            raise ArgumentError(
                f"edge_channels={self.edge_channels}",
                why="the network has no use for features of edges",
                fix="leave them out with edge_channels=0, or choose a gat or gin",
            )
        if self.level not in LEVELS:
            raise ArgumentError(f"level={self.level!r}", fix=f"choose {' or '.join(LEVELS)}")
        for part in self.readout.split("+"):
            READOUTS.get(part)

    def conv(self) -> nn.Module:
        """A fresh convolution from `width` channels to `width`."""
        raise NotImplementedError  # each of the networks below says its own


@dataclass(frozen=True, kw_only=True)
class GcnConfig(GraphConfig):
    """The configuration of a GCN; edges have no features in it."""

    def conv(self) -> nn.Module:
        """A fresh convolution with symmetric normalization."""
        return GraphConv(self.width, self.width)


@dataclass(frozen=True, kw_only=True)
class SageConfig(GraphConfig):
    """The configuration of a GraphSAGE; edges have no features in it.

    Attributes:
        aggregation: How neighbours are brought together: "mean", "sum" or "max".
    """

    aggregation: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aggregation not in AGGREGATIONS:
            raise ArgumentError(
                f"aggregation={self.aggregation!r}", fix=f"choose one of {', '.join(AGGREGATIONS)}"
            )

    def conv(self) -> nn.Module:
        """A fresh convolution that keeps a node's own features beside its neighbours'."""
        return SageConv(self.width, self.width, self.aggregation)


@dataclass(frozen=True, kw_only=True)
class GinConfig(GraphConfig):
    """The configuration of a GIN.

    Attributes:
        expansion: Hidden channels of each perceptron, in multiples of the width.
    """

    takes_edges: ClassVar[bool] = True
    expansion: int = 2

    def conv(self) -> nn.Module:
        """A fresh sum over neighbours with a perceptron after it."""
        hidden = self.width * self.expansion
        perceptron = nn.Sequential(
            nn.Linear(self.width, hidden),
            NodeNorm(hidden) if self.norm else nn.Identity(),
            nn.ReLU(),
            nn.Linear(hidden, self.width),
        )
        return IsomorphismConv(perceptron, self.width, self.edge_channels)


@dataclass(frozen=True, kw_only=True)
class GatConfig(GraphConfig):
    """The configuration of a GAT.

    Attributes:
        heads: Number of attention heads, which share the width.
        attention_dropout: Probability that a neighbour is left out while training.
        dynamic: Whether the attention is that of 2022.
    """

    takes_edges: ClassVar[bool] = True
    heads: int = 4
    attention_dropout: float = 0.0
    dynamic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.heads, int) or self.heads < 1 or self.width % self.heads:
            raise ArgumentError(f"heads={self.heads!r}", why=f"it must divide width={self.width}")
        require_rates(self, "attention_dropout")

    def conv(self) -> nn.Module:
        """A fresh convolution with attention over neighbours."""
        return AttentionConv(
            self.width,
            self.width // self.heads,
            heads=self.heads,
            edge_channels=self.edge_channels,
            dropout=self.attention_dropout,
            dynamic=self.dynamic,
        )


class GraphBlock(nn.Module):
    """Convolution, batch norm, rectifier, dropout; around them a shortcut.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: GraphConfig) -> None:
        super().__init__()
        self.conv = config.conv()
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


class GraphNetwork(Network):
    """A classifier, or a regressor, of graphs or of nodes; inputs are a `GraphBatch`.

    Args:
        config: Configuration that the network is built from.
    """

    config: GraphConfig

    def __init__(self, config: GraphConfig) -> None:
        stem = nn.Linear(config.in_channels, config.width)
        stages = nn.ModuleList(GraphBlock(config) for _ in range(config.depth))
        features = config.width * (config.depth + 1 if config.jumping else 1)
        pool: nn.Module = NodeSelection()
        if config.level == "graph":
            pool = graphs = GraphPool(features, config.readout)
            features = graphs.num_features
        super().__init__(config, stem=stem, stages=stages, pool=pool, num_features=features)

    def forward_features(self, batch: GraphBatch) -> Float[Tensor, "N features"]:
        """Features of every node, before the readout.

        Raises:
            ArgumentError: Nodes or edges have another number of features.
        """
        return self.forward_intermediates(batch)[0]

    def forward_intermediates(
        self, batch: GraphBatch, indices: int | Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "N features"], list[Tensor]]:
        """Features of every node before the readout, and those after each convolution.

        Args:
            batch: Graphs.
            indices: Which convolutions' to give: the last so many, those of these numbers, or all.

        Raises:
            ArgumentError: There is no such convolution, or see `forward_features`.
        """
        self._check_input(batch)
        x = self.stem(batch.nodes)
        found = [x]
        for block in self.stages:
            x = block(x, batch)
            found.append(x)
        chosen = sorted(chosen_levels(len(self.stages), indices))
        features = cat(found, 1) if self.config.jumping else x
        return features, [found[1 + index] for index in chosen]

    def forward_pooled(self, batch: GraphBatch) -> Float[Tensor, "n features"]:
        """The features of graphs, or of seeds, of which the head makes logits.

        Raises:
            ArgumentError: See `forward_features`.
        """
        pooled: Tensor = self.pool(self.forward_features(batch), batch)
        return pooled

    def forward_head(
        self, features: Float[Tensor, "N features"], batch: GraphBatch
    ) -> Float[Tensor, "n classes"]:
        """Logits of the nodes' features."""
        logits: Tensor = self.head(self.pool(features, batch))
        return logits

    def forward(self, batch: GraphBatch) -> Float[Tensor, "n classes"]:
        """Logits of graphs, or of seeds.

        Raises:
            ArgumentError: See `forward_features`.
        """
        return self.forward_head(self.forward_features(batch), batch)

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


FAMILIES: Final[dict[str, dict[str, GraphConfig]]] = {
    "gcn": {
        "gcn": GcnConfig(),
        "gcn_small": GcnConfig(depth=3, width=64, residual=False, norm=False),
    },
    "sage": {"sage": SageConfig(), "sage_small": SageConfig(depth=2, width=64)},
    "gin": {"gin": GinConfig(), "gin_small": GinConfig(depth=3, width=64)},
    "gat": {
        "gat": GatConfig(),
        "gat_small": GatConfig(depth=2, width=64, heads=8),
        "gatv2": GatConfig(dynamic=True),
    },
}

for _family, _variants in FAMILIES.items():
    register(_family, _variants, GraphNetwork, ranks=())
