"""Convolutional networks for any grid: images, signals, volumes and graphs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from striate.analysis import receptive_field as receptive_field
    from striate.estimators import Classifier as Classifier
    from striate.fitting.fit import fit as fit
    from striate.models import create_model as create_model
    from striate.run.run import Run as Run
    from striate.run.run import load as load

_HOMES: Final = {
    "Classifier": "striate.estimators",
    "Run": "striate.run.run",
    "create_model": "striate.models",
    "fit": "striate.fitting.fit",
    "load": "striate.run.run",
    "receptive_field": "striate.analysis",
}

__all__ = ["Classifier", "Run", "create_model", "fit", "load", "receptive_field"]


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that `import striate` stays instant."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
