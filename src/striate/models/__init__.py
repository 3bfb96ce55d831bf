"""Architectures, one file a family; every file beside this one is imported and registers itself."""

import importlib
import pkgutil

from striate.models.catalog import MODELS, Description, Variant, describe
from striate.models.create import create_model
from striate.models.network import Network, NetworkConfig

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "MODELS",
    "Description",
    "Network",
    "NetworkConfig",
    "Variant",
    "create_model",
    "describe",
]
