"""The public names of the room, however its modules are imported."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

from striate import ops

MODULES = [module.name for module in pkgutil.iter_modules(ops.__path__)]


@pytest.mark.parametrize("name", ops.__all__)
def test_no_module_hides_a_public_name(name):
    for module in MODULES:
        importlib.import_module(f"striate.ops.{module}")
    assert not isinstance(getattr(ops, name), ModuleType)
    assert name not in MODULES


def test_depthwise_is_the_function_that_the_documentation_promises():
    importlib.import_module("striate.ops.depthwise_convolution")
    assert callable(ops.depthwise) and "depthwise" in ops.__all__
