"""Convolutional networks for any grid: images, signals, volumes and graphs."""

from __future__ import annotations

import importlib
import os
import typing

if typing.TYPE_CHECKING:
    from striate.analysis import receptive_field as receptive_field
    from striate.estimators import Classifier as Classifier
    from striate.estimators import Regressor as Regressor
    from striate.fitting.fit import fit as fit
    from striate.kinds.reading import read as read
    from striate.models import create_model as create_model
    from striate.models import list_models as list_models
    from striate.run.run import Run as Run
    from striate.run.run import load as load

    __version__: str

_HOMES: typing.Final = {
    "Classifier": "striate.estimators",
    "Regressor": "striate.estimators",
    "Run": "striate.run.run",
    "create_model": "striate.models",
    "fit": "striate.fitting.fit",
    "list_models": "striate.models",
    "load": "striate.run.run",
    "read": "striate.kinds.reading",
    "receptive_field": "striate.analysis",
}

__all__ = [
    "Classifier",
    "Regressor",
    "Run",
    "create_model",
    "fit",
    "list_models",
    "load",
    "read",
    "receptive_field",
]

NUM_SPINS: typing.Final = "1000"
"""Looks at whether the other threads are ready before a thread of torch's sleeps: some 30
microseconds. By default it looks for milliseconds, on a core that others need."""

if "OMP_WAIT_POLICY" not in os.environ:
    # Torch's threads, where they are those of GNU OpenMP, read it when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", NUM_SPINS)


def __getattr__(name: str) -> typing.Any:
    """Import a public name where it is first used, so that `import striate` stays instant."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("striate")
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
