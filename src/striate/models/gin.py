"""GIN: sums that tell apart whatever the Weisfeiler-Lehman test tells apart.

Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, arXiv:1810.00826; edges with
features as in Hu et al., "Strategies for Pre-training Graph Neural Networks", ICLR 2020,
arXiv:1905.12265.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import nn

from striate.models.graph_catalog import register_graph
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.nn.graph_layers import IsomorphismConv
from striate.nn.graph_pool import NodeNorm


@dataclass(frozen=True, kw_only=True)
class GinConfig(GraphConfig):
    """Of a GIN.

    Attributes:
        expansion: hidden channels of each perceptron, in multiples of the width.
    """

    expansion: int = 2


def build(config: GinConfig) -> GraphNetwork:
    """The network of a configuration."""
    hidden = config.width * config.expansion

    def conv() -> IsomorphismConv:
        perceptron = nn.Sequential(
            nn.Linear(config.width, hidden),
            NodeNorm(hidden) if config.norm else nn.Identity(),
            nn.ReLU(),
            nn.Linear(hidden, config.width),
        )
        return IsomorphismConv(perceptron, config.width, config.edge_channels)

    return GraphNetwork(config, conv)


VARIANTS: Final = {"gin": GinConfig(), "gin_small": GinConfig(depth=3, width=64)}

register_graph("gin", VARIANTS, build, takes_edges=True)
