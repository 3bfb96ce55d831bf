"""Architectures, one file a family; every file beside this one is imported and registers itself."""

from striate.models.catalog import MODELS, Description, Variant, describe
from striate.models.create import create_model
from striate.models.graph_catalog import GRAPH_MODELS, GraphVariant, create_graph_model
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.models.network import Network, NetworkConfig
from striate.registry import load_package

load_package(__name__)

__all__ = [
    "GRAPH_MODELS",
    "MODELS",
    "Description",
    "GraphConfig",
    "GraphNetwork",
    "GraphVariant",
    "Network",
    "NetworkConfig",
    "Variant",
    "create_graph_model",
    "create_model",
    "describe",
]
