"""Which items are copies of each other, and what a user should know of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from striate.data.duplicates.components import join, text_numbers
from striate.data.duplicates.near import Look, near_pairs
from striate.data.source import Item, Note
from striate.progress import counted


def duplicate_groups(
    sha256s: Sequence[str],
    thumbnails: UInt8[Tensor, "n 32 32"],
    look: Look,
    labels: Sequence[str | None] | None = None,
) -> NDArray[np.int64]:
    """The group of each item, (items,), from 0 by first appearance; copies and near copies share one.

    Args:
        sha256s: The SHA-256 of each item's stored bytes.
        thumbnails: The items' pictures in grey, as small squares.
        look: Gives larger ones in colour.
        labels: What the items show, where that is known (see `near_pairs`).
    """
    exact = text_numbers(sha256s)
    ones = np.unique(exact, return_index=True)[1]
    shown = None if labels is None else [labels[place] for place in ones]
    near = near_pairs(thumbnails[ones], lambda positions: look(ones[positions]), shown)
    pairs = [np.stack([np.arange(len(exact)), ones[exact]], 1), ones[near]]
    return join(len(sha256s), np.concatenate(pairs))


def leaked(groups: NDArray[np.int64], splits: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Whether each item lies outside training and has a copy or near copy in training."""
    training: NDArray[np.bool_] = splits == "train"
    return ~training & np.isin(groups, groups[training])


def duplicate_notes(
    items: Sequence[Item],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    splits: NDArray[np.str_],
    sha256s: Sequence[str],
) -> tuple[Note, ...]:
    """What a user should know of copies: how many, with two labels, on two sides of a split."""
    members = _groups_of_several(groups)
    notes = []
    extra = sum(len(inside) - 1 for inside in members)
    if extra:
        copies = len(items) - len(set(sha256s))
        message = f"{copies} exact and {extra - copies} near copies of other items"
        advice = (
            "nothing need be done where Striate splits, for it keeps copies together; striate check "
            "--patch-out leaves out exact copies"
        )
        notes.append(_note("duplicates", message, items, members, advice, severity="info"))
    conflicts = [inside for inside in members if len(np.unique(labels[inside])) > 1]
    if conflicts:
        message = f"{counted(len(conflicts), 'group')} of copies with different labels"
        advice = "find out which label is right, and correct the others by --patch"
        notes.append(_note("label-conflict", message, items, conflicts, advice, listed=True))
    across = [inside for inside in members if len(np.unique(splits[inside])) > 1]
    if across:
        message = f"{int(leaked(groups, splits).sum())} items outside train have a copy in train"
        advice = "trust the figures without them, and put all copies of an item into one split"
        notes.append(_note("duplicate-across-splits", message, items, across, advice, listed=True))
    return tuple(notes)


def _note(
    code: str,
    message: str,
    items: Sequence[Item],
    groups: Sequence[NDArray[np.int64]],
    advice: str,
    *,
    severity: str = "warning",
    listed: bool = False,
) -> Note:
    """A note on the items of some groups, with the first few where they are `listed`."""
    if listed:
        shown = "; ".join(" = ".join(items[i].id for i in inside[:3]) for inside in groups[:5])
        more = f"; and {len(groups) - 5} more" if len(groups) > 5 else ""
        message = f"{message}: {shown}{more}"
    ids = tuple(items[i].id for inside in groups for i in inside)
    return Note(code=code, message=message, ids=ids, severity=severity, advice=advice)


def _groups_of_several(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each group of at least two."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [inside for inside in np.split(order, starts) if len(inside) > 1]
