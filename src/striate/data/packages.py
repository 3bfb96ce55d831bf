"""Packages that need not be installed: imported when they are needed, or read where they lie."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from striate.errors import MissingExtraError


def imported(module: str, extra: str) -> Any:
    """A module of a package that need not be installed.

    Args:
        module: The module's dotted name.
        extra: The extra of Striate that brings the package.

    Raises:
        MissingExtraError: It is not installed.
    """
    package = module.split(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(package, extra) from None


def package_folder(package: str, extra: str = "samples", *, requirement: str = "") -> Path:
    """The folder of an installed package, which is not imported.

    Args:
        package: The package's name in imports.
        extra: The extra of Striate that brings it.
        requirement: The package's name where it is installed, if another.

    Raises:
        MissingExtraError: It is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingExtraError(requirement or package, extra)
    return Path(found.origin).parent
