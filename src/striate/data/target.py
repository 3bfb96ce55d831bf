"""What is to be predicted of each item, as a task encodes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.source import Item, Note


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """The answers that are to be learnt, one for each item.

    Attributes:
        classes: Names of the classes, in the order of their numbers; empty where there are none.
        values: (items, ...) The answers as arrays: class numbers, or numbers to predict.
        strata: (items,) Number of the stratum of each item; a split holds every stratum in
            proportion. Of items that may be in several strata or in none (items, strata), whether
            each is in each.
        answers: (items,) Equal numbers stand for the same answer, which shows copies of one item
            that contradict each other.
    """

    classes: tuple[str, ...] = ()
    values: NDArray[Any]
    strata: NDArray[np.int64] | NDArray[np.bool_]
    answers: NDArray[np.int64]

    @abstractmethod
    def text(self, index: int) -> str:
        """The answer of an item as `data.lock.json` has it."""

    @abstractmethod
    def overview(self) -> dict[str, Any]:
        """What there is to predict, for `striate check --json`."""

    def check_splits(self, splits: NDArray[np.str_]) -> None:
        """Make sure that what the user put into each split can be learnt and judged.

        Raises:
            DataError: It cannot.
        """
        return

    def is_complete(self, members: NDArray[np.bool_]) -> bool:
        """Whether a part that the user gave has what it needs; training gives it more where not.

        Args:
            members: (items,) Whether each item is in the part.
        """
        return bool(members.any())

    def split_notes(self, items: Sequence[Item], splits: NDArray[np.str_]) -> tuple[Note, ...]:
        """What a user should know of how the answers are spread over the splits."""
        return ()
