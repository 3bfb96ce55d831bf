"""GraphSAGE: a node's own features beside what its neighbours have in common.

Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017,
arXiv:1706.02216. Edges have no features in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from striate.errors import ArgumentError
from striate.models.graph_catalog import register_graph
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.nn.graph_layers import AGGREGATIONS, SageConv


@dataclass(frozen=True, kw_only=True)
class SageConfig(GraphConfig):
    """Of a GraphSAGE.

    Attributes:
        aggregation: how neighbours are brought together: "mean", "sum" or "max".
    """

    aggregation: str = "mean"

    def __post_init__(self) -> None:
        GraphConfig.__post_init__(self)
        if self.aggregation not in AGGREGATIONS:
            raise ArgumentError(
                f"aggregation={self.aggregation!r}", fix=f"choose one of {', '.join(AGGREGATIONS)}"
            )


def build(config: SageConfig) -> GraphNetwork:
    """The network of a configuration."""
    return GraphNetwork(config, lambda: SageConv(config.width, config.width, config.aggregation))


VARIANTS: Final = {"sage": SageConfig(), "sage_small": SageConfig(depth=2, width=64)}

register_graph("sage", VARIANTS, build)
