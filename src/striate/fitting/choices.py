"""Decisions made for the user before training, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from striate.data.sandbox import read_all
from striate.data.source import Reading, Source
from striate.errors import DataError
from striate.report import Choice

SMALLEST_INPUT: Final = 128
"""Side below which a network made for 224 pixels has too few positions left to see with."""

LARGEST_INPUT: Final = 300
"""Side above which the time is better spent on more epochs."""

_LOOKS: Final = 25

TOLERATED_LOSS: Final = 0.25
"""Share of what the probe has learnt that may be lost on transformed items."""


def choose_image_size(source: Source, asked: int | None) -> tuple[int, Choice]:
    """Side of the network's input in pixels: the items' own shorter side, within bounds.

    Raises:
        DataError: not one of the items looked at can be read.
    """
    if asked is not None:
        return asked, Choice(topic="image size", choice=f"{asked} px", why="asked for")
    items = source.listing.items
    sides = []
    for _, reading in read_all(source, items[:: max(1, len(items) // _LOOKS)], None):
        if isinstance(reading, Reading):
            sides.append(min(reading.array.shape[1:]))
    if not sides:
        raise DataError(
            f"{source.name}: not one of the items looked at can be read",
            fix="open some of them in another program",
        )
    median = int(np.median(sides))
    size = min(max(median, SMALLEST_INPUT), LARGEST_INPUT)
    why = f"the items' shorter side is {median} px in the median"
    if size != median:
        why += f", and the bounds are {SMALLEST_INPUT} to {LARGEST_INPUT}"
    return size, Choice(topic="image size", choice=f"{size} px", why=why)


def choose_symmetry(losses: Mapping[str, float], ignorance: float) -> tuple[str, Choice]:
    """The largest set of symmetries under which the items stay recognizable.

    Mirrored or turned items are shown to the probe, which never saw one. Where it loses little
    of what it knows about them, a label does not depend on the orientation, and training and
    prediction may use the symmetry.

    Args:
        losses: of held-out items by transformation: "identity", "mirror", "upside down" and
            "transposed".
        ignorance: the loss of the best constant answer.
    """
    knowledge = max(ignorance - losses["identity"], 1e-9)
    lost = {name: (value - losses["identity"]) / knowledge for name, value in losses.items()}
    kept = {name: value <= TOLERATED_LOSS for name, value in lost.items()}
    names = [("mirror", "mirrored"), ("upside down", "upside down"), ("transposed", "transposed")]
    symmetry = "identity"
    for name, (transformation, _) in zip(("mirror", "flips", "dihedral"), names, strict=True):
        if not kept[transformation]:
            break
        symmetry = name
    figures = ", ".join(f"{lost[key]:+.0%} {text}" for key, text in names)
    why = f"loss of the probe on validation items, relative to what it has learnt: {figures}"
    return symmetry, Choice(topic="symmetry", choice=symmetry, why=why)
