"""Architectures, one file a family; every file beside this one is imported and registers itself."""

from striate.models.catalog import (
    MODELS,
    check_model_name,
    check_weights_name,
    describe,
    find,
    list_models,
)
from striate.models.create import create_model
from striate.models.graphs.graph_network import GraphNetwork
from striate.models.network import GridNetwork, Network
from striate.registry import load_package

load_package(__name__)

__all__ = [
    "MODELS",
    "GraphNetwork",
    "GridNetwork",
    "Network",
    "check_model_name",
    "check_weights_name",
    "create_model",
    "describe",
    "find",
    "list_models",
]
