"""From a source to a data set: read once, checked, freed of leaks and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import Dataset
from striate.data.duplicates import duplicate_notes, join, text_numbers
from striate.data.folder_walk import check_losses, few
from striate.data.source import Item, Note, Source
from striate.data.splits import FRACTIONS, MAX_HELD_OUT, check_fractions, complete_splits
from striate.data.stores.store import Built, Store
from striate.data.target import Target
from striate.errors import Problems
from striate.progress import counted

BuildStore: TypeAlias = Callable[[Source, Sequence[Item]], Built[Store]]
"""Reads some items of a source, once."""


class Encoder(Protocol):
    """What a data set must know of its task."""

    def is_answered(self, item: Item) -> bool:
        """Whether an item has an answer to learn from."""

    def encode(self, items: Sequence[Item], name: str) -> Target:
        """What is to be predicted of items that are answered, for the data of that name."""


def prepare(
    source: Source,
    encoder: Encoder,
    build_store: BuildStore,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    most: tuple[int, int] = MAX_HELD_OUT,
    problems: Problems | None = None,
) -> Dataset:
    """Read every item once, leave out what cannot be used, and split the rest without leaks.

    Args:
        source: The items and a way to read them.
        encoder: The task, which encodes what is to be predicted.
        build_store: Reads the items that have an answer.
        seed: Seed of the split.
        fractions: Shares of train, val and test, where the user gave no split.
        most: Validation and test items that are chosen there, at most.
        problems: Gathers what is wrong with data that can be looked at further nevertheless; by
            default the first problem is raised.

    Raises:
        ArgumentError: A fraction is out of range.
        DataError: Too much cannot be read, or a split that the user gave cannot be used.
        StorageError: What was read cannot be written.
    """
    check_fractions(fractions)
    listing = source.listing
    answered = [item for item in listing.items if encoder.is_answered(item)]
    built = build_store(source, answered)
    unanswered = tuple(item.id for item in listing.items if not encoder.is_answered(item))
    skipped = (*listing.skipped, *built.skipped)
    gathered = Problems() if problems is None else problems
    with gathered:
        check_losses(answered, skipped)
    if problems is None or not built.items:
        gathered.tell()
    items, copies = built.items, built.duplicate_groups
    target = encoder.encode(items, source.name)
    groups = join_groups(copies, items)
    splits = complete_splits(items, target, groups, seed=seed, fractions=fractions, most=most)
    return Dataset(
        kind=source.kind,
        name=source.name,
        nouns=source.nouns,
        items=items,
        target=target,
        splits=splits,
        sha256=built.sha256s,
        duplicate_groups=copies,
        store=built.store,
        skipped=skipped,
        notes=(
            *listing.notes,
            *_unlabelled_note(unanswered),
            *built.notes,
            *duplicate_notes(items, target.answers, copies, splits, built.sha256s),
            *target.split_notes(items, splits),
            *_torn_groups_note(items, splits),
        ),
        user_split=any(item.split for item in items),
    )


def _torn_groups_note(items: Sequence[Item], splits: NDArray[np.str_]) -> list[Note]:
    """A warning of groups that the user's own split tears apart."""
    of_group: dict[str, set[str]] = {}
    for item, split in zip(items, splits.tolist(), strict=True):
        if item.group is not None:
            of_group.setdefault(item.group, set()).add(split)
    torn = {group for group, found in of_group.items() if len(found) > 1}
    if not torn:
        return []
    message = f"the split given tears {counted(len(torn), 'group')} of {len(of_group)} apart: "
    message += f"{few(sorted(torn))} are in several splits"
    ids = tuple(item.id for item in items if item.group in torn)
    advice = "put each group into one split, or leave the split out; the figures flatter the model"
    return [Note(code="group-across-splits", message=message, ids=ids, advice=advice)]


def _unlabelled_note(ids: Sequence[str]) -> list[Note]:
    """A remark on items without an answer."""
    if not ids:
        return []
    message = f"{len(ids)} items have no label (empty, NaN, NA, None) and were left out: {few(ids)}"
    advice = "label them, if they should be learnt from"
    return [Note(code="unlabelled", message=message, ids=tuple(ids), advice=advice)]


def join_groups(copies: NDArray[np.int64], items: Sequence[Item]) -> NDArray[np.int64]:
    """(items,) groups in which copies are together, and so are items of one user's group."""
    named = np.array([i for i, item in enumerate(items) if item.group is not None], np.int64)
    if not len(named):
        return copies
    users = text_numbers([str(items[i].group) for i in named])
    first_of_user = named[np.unique(users, return_index=True)[1]]
    first_copy = np.unique(copies, return_index=True)[1]
    pairs = [
        np.stack([np.arange(len(items)), first_copy[copies]], 1),
        np.stack([named, first_of_user[users]], 1),
    ]
    return join(len(items), np.concatenate(pairs))
