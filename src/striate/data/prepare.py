"""From a source to a data set: read once, checked, freed of leaks and split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.cache import PixelStore
from striate.data.dataset import Dataset
from striate.data.duplicates import (
    duplicate_groups,
    duplicate_notes,
    first_appearance,
    grey_thumbnails,
    join,
)
from striate.data.scan import check_losses
from striate.data.source import Item, Skip, Source
from striate.data.splits import FRACTIONS, check_fractions, complete_splits, split_notes
from striate.progress import Progress


def prepare(
    source: Source,
    *,
    size: int,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Dataset:
    """Read every item once, leave out what cannot be used, and split the rest without leaks.

    Args:
        source: of images.
        size: the shorter side at which pixels are kept.
        seed: of the split.
        fractions: of train, val and test, where the user gave no split.
        cache_folder: where decoded pixels are kept; the user's cache folder by default.
        progress: is told of the work.
        workers: processes that decode.

    Raises:
        ArgumentError: a fraction or the size is out of range.
        DataError: too much cannot be read, or a split the user gave cannot be used.
        StorageError: the pixels cannot be written.
    """
    check_fractions(fractions)
    listing = source.listing
    labelled = tuple(item for item in listing.items if item.label is not None)
    unlabelled = tuple(
        Skip(id=item.id, reason="no label") for item in listing.items if item.label is None
    )
    store, unreadable, reading_notes, sha256s = PixelStore.build(
        source, labelled, size, cache_folder, progress, workers
    )
    skipped = (*listing.skipped, *unlabelled, *unreadable)
    check_losses(listing.items, skipped)
    kept = set(store.ids)
    items = tuple(item for item in labelled if item.id in kept)
    classes = tuple(sorted({_label(item) for item in items}))
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[_label(item)] for item in items], np.int64)
    copies = duplicate_groups(sha256s, grey_thumbnails(store))
    together = join_groups(copies, items)
    splits = complete_splits(items, labels, together, classes, seed=seed, fractions=fractions)
    notes = (
        *listing.notes,
        *reading_notes,
        *duplicate_notes(items, labels, copies, splits, sha256s),
        *split_notes(items, labels, splits, classes),
    )
    return Dataset(
        kind=source.kind,
        name=source.name,
        classes=classes,
        items=items,
        labels=labels,
        splits=splits,
        sha256=sha256s,
        duplicate_groups=copies,
        pixels=store,
        skipped=skipped,
        notes=notes,
        user_split=any(item.split for item in items),
    )


def join_groups(copies: NDArray[np.int64], items: tuple[Item, ...]) -> NDArray[np.int64]:
    """(items,) groups in which copies are together, and so are items of one user's group."""
    named = np.array([i for i, item in enumerate(items) if item.group is not None], np.int64)
    if not len(named):
        return copies
    users = first_appearance(np.array([items[i].group for i in named]))
    first_of_user = named[np.unique(users, return_index=True)[1]]
    first_copy = np.unique(copies, return_index=True)[1]
    pairs = [
        np.stack([np.arange(len(items)), first_copy[copies]], 1),
        np.stack([named, first_of_user[users]], 1),
    ]
    return join(len(items), np.concatenate(pairs))


def _label(item: Item) -> str:
    assert item.label is not None, f"{item.id} has no label"
    return item.label
