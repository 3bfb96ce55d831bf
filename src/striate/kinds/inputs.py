"""What a feed is: the way from the readings of one kind to a network's inputs."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from striate.data.source import Note, Reading
from striate.ops.inputs import Inputs
from striate.registry import Registry
from striate.typing import Kind


class Feed(ABC):
    """How items of one kind become inputs; a frozen dataclass, fitted to training items alone.

    Attributes:
        kind: of the items.
        num_draws: random numbers that the augmentation of one item takes.
    """

    kind: ClassVar[Kind]
    num_draws: ClassVar[int]

    @classmethod
    @abstractmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The feed that suits these items: sizes, and what normalizes them.

        Args:
            readings: of training items alone, so that nothing of the others leaks; may be large,
                and is gone through once.
            options: what the user chose, by name; only those that were chosen.

        Raises:
            UnknownNameError: an option that this kind does not have.
            ArgumentError: a value that is not allowed.
            DataError: items that do not go together (channels, rates), in a table.
        """

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Of one item's input, channels first: (channels, *space); (channels,) for a graph."""

    @abstractmethod
    def notes(self) -> tuple[Note, ...]:
        """What was done that a user should know: cropped, padded, resampled."""

    @abstractmethod
    def inputs(self, readings: Sequence[Reading]) -> Inputs:
        """The items as the network is asked about them, without anything random.

        Raises:
            UnreadableItem: one of them does not fit (another number of channels).
        """

    @abstractmethod
    def augmented(self, readings: Sequence[Reading], draws: NDArray[np.float64]) -> Inputs:
        """The items as the network is trained on them.

        Args:
            readings: of the items.
            draws: (items, `num_draws`) uniform in [0, 1); the only source of chance.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything that `from_json` needs, fit for JSON."""

    @classmethod
    @abstractmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The feed that `to_json` wrote."""


FEEDS: Registry[type[Feed]] = Registry("kind of items")


def feed_of(kind: Kind) -> type[Feed]:
    """The feed of a kind.

    Raises:
        UnknownNameError: there is none.
    """
    for kind_of_items in ("graph", "signal", "volume"):
        importlib.import_module(f"striate.kinds.{kind_of_items}.inputs")
    return FEEDS.get(kind)
