"""Data sets that installed packages ship, read where they lie: `sample:NAME`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from striate.data.layouts.image_files import ImageFiles
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.source import Item, Listing, Source
from striate.errors import MissingExtraError
from striate.registry import Registry
from striate.typing import Kind

PREFIX: Final = "sample:"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A data set that a package ships.

    Attributes:
        kind: what each item is.
        num_items: how many there are.
        licence: its licence, as an SPDX identifier.
        description: what it shows and what the classes mean, in a line.
        open: the source.
    """

    kind: Kind
    num_items: int
    licence: str
    description: str
    open: Callable[[], Source]


SAMPLES: Registry[Sample] = Registry("sample")


def open_sample(data: str) -> Source:
    """The sample that `sample:NAME` names.

    Raises:
        UnknownNameError: no such sample.
        MissingExtraError: its package is not installed.
    """
    return SAMPLES.get(data.removeprefix(PREFIX)).open()


def _solar_cells() -> Source:
    """Solar cells, 'defective' where the experts' probability of a defect is at least 0.5."""
    package = importlib.util.find_spec("elpv_dataset")
    if package is None or package.origin is None:
        raise MissingExtraError("elpv-dataset", "demo")
    folder = Path(package.origin).parent / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines()]
    items = tuple(
        Item(id=path, label="defective" if float(probability) >= 0.5 else "functional")
        for path, probability, _ in rows
    )
    return ImageFiles(
        name=f"{PREFIX}solar-cells",
        listing=Listing(items=items),
        paths={item.id: folder / item.id for item in items},
    )


SAMPLES.add(
    "solar-cells",
    Sample(
        kind="image",
        num_items=2624,
        licence="CC-BY-NC-SA-4.0",
        description="solar cells by electroluminescence, 300x300 grey: functional or defective",
        open=_solar_cells,
    ),
)
SOURCES.add(
    "sample",
    SourceFormat(
        layout=f"{PREFIX}NAME (a data set that a package ships)",
        matches=lambda data: data.startswith(PREFIX),
        open=open_sample,
    ),
)
