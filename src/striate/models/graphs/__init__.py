"""Networks of graphs: trained convolutions, and fixed features with a head on them."""

from striate.models.graphs.fixed_features import GraphFeatures
from striate.models.graphs.graph_network import GraphNetwork

__all__ = ["GraphFeatures", "GraphNetwork"]
