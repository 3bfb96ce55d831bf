"""What is explored: a network, and the items that can be taken through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from numpy.typing import NDArray
from torch import Tensor

from striate.data.source import Item, Reading
from striate.explorer.onnx.network import OnnxNetwork
from striate.explorer.subjects.decoder import KeptDecoder
from striate.models import Network

Explored: TypeAlias = Network | OnnxNetwork
"""Networks that the page can show."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An item in the list that one chooses from.

    Attributes:
        name: Name of the item.
        label: What it is; None where that is not known.
        answer: What the model said of it; None where that is not known yet.
    """

    name: str
    label: str | None = None
    answer: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """An item as the network takes it.

    Attributes:
        x: (1, channels, *space) Normalized.
        raw: (channels, *space) Before it was normalized, for drawing.
        answer: What the run says of it, with calibrated probabilities; empty for a bare network.
        probabilities: Calibrated probability by class; empty where there are none.
    """

    x: Tensor
    raw: NDArray[Any]
    answer: str = ""
    probabilities: tuple[float, ...] = ()


class Subject(ABC):
    """A network and its items.

    Attributes:
        name: What the page calls it.
        network: In evaluation mode, on the CPU.
        classes: Names of the outputs; empty where they have none.
        entries: The items to choose from, at least one.
        notes: What a user should know, a sentence each.
        trained: Whether the network has learnt anything; one with random weights has not.
    """

    name: str
    network: Explored
    classes: Sequence[str]
    entries: list[Entry]
    notes: Sequence[str]
    trained: bool = True

    @cached_property
    def decoder(self) -> KeptDecoder:
        """Reads the items."""
        return KeptDecoder()

    @abstractmethod
    def open(self, number: int) -> Opened:
        """Read one of `entries` as the network takes it.

        Raises:
            DataError: It cannot be read; the message says why.
        """

    def reading(self, number: int) -> tuple[Item, Reading] | None:
        """One of `entries` as a run reads it; None where there is no run, or it is built in.

        Raises:
            DataError: It cannot be read; the message says why.
        """
        return None

    @abstractmethod
    def add(self, name: str, content: bytes) -> None:
        """Take the content of a file as one more item, at the end of `entries`.

        Raises:
            DataError: It cannot be read; the message says why.
        """
