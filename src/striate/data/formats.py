"""Every way in which data is read: imported as a whole where a registry is first asked."""

from __future__ import annotations

from typing import Final

from striate.registry import load_package

_PACKAGES: Final = ("striate.data.readers", "striate.data.layouts", "striate.data.samples")


def load_formats() -> None:
    """Import every reader, layout and sample, so that their registries are complete."""
    for package in _PACKAGES:
        load_package(package)
