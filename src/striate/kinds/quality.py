"""What makes an item unfit to learn from, by a few plain figures of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Traits: TypeAlias = Mapping[str, NDArray[np.float64]]
"""Figures of all items, (items,) each, by name; NaN where an item has none."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong with some items.

    Attributes:
        code: What it is, in kebab case ("too-dark").
        says: The same for a person, to follow "1 item" or "12 items".
        advice: What to do about it.
        found: (items,) Which items have it.
        useless: Whether nothing at all can be learnt from such items, so that a patch leaves them
            out.
        why: (items,) What of each item makes it so, for a person; None where its picture shows it.
    """

    code: str
    says: str
    advice: str
    found: NDArray[np.bool_]
    useless: bool = False
    why: NDArray[np.str_] | None = None


def usual(values: NDArray[Any]) -> float:
    """The median of the values that are known; 0 where none are."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
