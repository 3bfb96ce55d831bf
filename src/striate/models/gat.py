"""GAT: attention over neighbours.

Velickovic et al., "Graph Attention Networks", ICLR 2018, arXiv:1710.10903; `gatv2` with the
attention of Brody, Alon and Yahav, "How Attentive are Graph Attention Networks?", ICLR 2022,
arXiv:2105.14491, which can rank the neighbours of each node in an order of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from striate.errors import ArgumentError
from striate.models.graph_catalog import register_graph
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.nn.graph_layers import AttentionConv


@dataclass(frozen=True, kw_only=True)
class GatConfig(GraphConfig):
    """Of a GAT.

    Attributes:
        heads: attentions side by side, which share the width.
        attention_dropout: probability that a neighbour is left out while training.
        dynamic: the attention of 2022.
    """

    heads: int = 4
    attention_dropout: float = 0.0
    dynamic: bool = False

    def __post_init__(self) -> None:
        GraphConfig.__post_init__(self)
        if not isinstance(self.heads, int) or self.heads < 1 or self.width % self.heads:
            raise ArgumentError(f"heads={self.heads!r}", why=f"it must divide width={self.width}")
        if not 0 <= self.attention_dropout < 1:
            value = self.attention_dropout
            raise ArgumentError(
                f"attention_dropout={value!r}", why="it must be at least 0, below 1"
            )


def build(config: GatConfig) -> GraphNetwork:
    """The network of a configuration."""

    def conv() -> AttentionConv:
        return AttentionConv(
            config.width,
            config.width // config.heads,
            heads=config.heads,
            edge_channels=config.edge_channels,
            dropout=config.attention_dropout,
            dynamic=config.dynamic,
        )

    return GraphNetwork(config, conv)


VARIANTS: Final = {
    "gat": GatConfig(),
    "gat_small": GatConfig(depth=2, width=64, heads=8),
    "gatv2": GatConfig(dynamic=True),
}

register_graph("gat", VARIANTS, build, takes_edges=True)
