"""A table of named things: adding twice raises, an unknown name suggests the nearest."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Generic, TypeVar

from striate.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from name to entry that only grows.

    Args:
        kind: What the entries are ("model", "source"), for error texts.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Enter `entry` under `name` and return it.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of that name.

        Raises:
            UnknownNameError: There is none; the message suggests the nearest.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def names(self) -> list[str]:
        """Every name, in the order of registration."""
        return list(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        """Pairs of name and entry, in the order of registration."""
        return iter(self._entries.items())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def load_entry(registry: Registry[T], package: str, name: str) -> T:
    """The entry of a name, in whose module it is registered: no other is imported where that does.

    Args:
        registry: The registry that has the entry.
        package: Package whose modules register entries.
        name: Name of the entry.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest.
    """
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    if name in {module.name for module in modules}:
        importlib.import_module(f"{package}.{name}")
    if name not in registry:
        load_package(package)
    return registry.get(name)


@cache
def load_package(package: str) -> None:
    """Import every module and package directly inside a package, so that each registers itself.

    Args:
        package: Dotted name of the package.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
