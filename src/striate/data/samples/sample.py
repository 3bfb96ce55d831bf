"""Data sets that installed packages ship, read where they lie: `sample:NAME`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.source import Source
from striate.registry import Registry
from striate.typing import Kind

PREFIX: Final = "sample:"


@dataclass(frozen=True)
class Sample:
    """A data set that a package ships.

    Attributes:
        kind: The kind of its items.
        num_items: The number of its items.
        licence: Its licence, as an SPDX identifier.
        description: What it shows and what the classes mean, in a line.
        open: Opens it as a source.
    """

    kind: Kind
    num_items: int
    licence: str
    description: str
    open: Callable[[], Source]


SAMPLES: Registry[Sample] = Registry("sample")

Open = TypeVar("Open", bound=Callable[..., Source])


def sample(
    name: str, kind: Kind, num_items: int, licence: str, description: str
) -> Callable[[Open], Open]:
    """Register what is decorated as the way to open a sample; see `Sample`."""

    def register(opens: Open) -> Open:
        SAMPLES.add(name, Sample(kind, num_items, licence, description, opens))
        return opens

    return register


def open_sample(data: str) -> Source:
    """The sample that `sample:NAME` names.

    Raises:
        UnknownNameError: There is no such sample.
        MissingExtraError: Its package is not installed.
    """
    return SAMPLES.get(data.removeprefix(PREFIX)).open()


LAYOUTS.add(
    "sample",
    Layout(
        f"{PREFIX}NAME (a data set that a package ships)",
        lambda data: data.startswith(PREFIX),
        open_sample,
    ),
)
