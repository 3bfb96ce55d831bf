"""Packages that need not be installed: imported when they are needed, or read where they lie."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from striate.errors import MissingExtraError

_SILENT: Final = threading.RLock()
"""Held while warnings are ignored, which Python does for all threads at once."""


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


@contextmanager
def silenced(logger: str = "") -> Iterator[None]:
    """Keep from the terminal what a package says of a damaged file, in one thread at a time.

    Args:
        logger: The name of a logger of the package that writes to the terminal, if any.
    """
    with _SILENT, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = logging.getLogger(logger or __name__)
        before, log.disabled = log.disabled, True
        try:
            yield
        finally:
            log.disabled = before
