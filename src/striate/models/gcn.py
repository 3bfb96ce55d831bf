"""GCN: graph convolutions with symmetric normalization.

Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017,
arXiv:1609.02907. Edges have no features in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from striate.models.graph_catalog import register_graph
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.nn.graph_layers import GraphConv


@dataclass(frozen=True, kw_only=True)
class GcnConfig(GraphConfig):
    """Of a GCN."""


def build(config: GcnConfig) -> GraphNetwork:
    """The network of a configuration."""
    return GraphNetwork(config, lambda: GraphConv(config.width, config.width))


VARIANTS: Final = {
    "gcn": GcnConfig(),
    "gcn_small": GcnConfig(depth=3, width=64, residual=False, norm=False),
}

register_graph("gcn", VARIANTS, build)
