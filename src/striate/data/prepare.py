"""From a source to a data set: read once, checked, freed of leaks and split."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ImageDataset, ReadDataset
from striate.data.duplicates import (
    duplicate_groups,
    duplicate_notes,
    first_appearance,
    grey_thumbnails,
    join,
)
from striate.data.folder_walk import check_losses
from striate.data.source import Item, Note, Skip, Source
from striate.data.splits import FRACTIONS, check_fractions, complete_splits, split_notes
from striate.data.stores.pixels import PixelStore
from striate.data.stores.readings import ReadingStore
from striate.errors import DataError
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
) -> ImageDataset:
    """Read every image once, leave out what cannot be used, and split the rest without leaks.

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
    wanted = tuple(item for item in source.listing.items if _has_answer(item))
    store, unreadable, notes, sha256s = PixelStore.build(
        source, wanted, size, cache_folder, progress, workers
    )
    kept = set(store.ids)
    fields = _checked(
        source,
        tuple(item for item in wanted if item.id in kept),
        unreadable,
        notes,
        sha256s,
        duplicate_groups(sha256s, grey_thumbnails(store)),
        seed=seed,
        fractions=fractions,
    )
    return ImageDataset(**fields, pixels=store)


def prepare_readings(
    source: Source,
    *,
    folder: Path,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ReadDataset:
    """The same for signals, volumes and graphs; copies are items of the same content.

    Args:
        source: of any kind but images.
        folder: where the readings are kept while this process lives.
        seed: see `prepare`, as for what follows.
        fractions: likewise.
        progress: likewise.
        workers: threads that read.

    Raises:
        ArgumentError: a fraction is out of range.
        DataError: too much cannot be read, or a split the user gave cannot be used.
        StorageError: the readings cannot be written.
    """
    check_fractions(fractions)
    wanted = tuple(item for item in source.listing.items if _has_answer(item))
    built = ReadingStore.build(source, wanted, folder, progress, workers)
    sha256s = tuple(built.store[i].sha256 for i in range(len(built.items)))
    fields = _checked(
        source,
        built.items,
        built.skipped,
        built.notes,
        sha256s,
        first_appearance(np.array(sha256s)) if sha256s else np.empty(0, np.int64),
        seed=seed,
        fractions=fractions,
    )
    return ReadDataset(**fields, readings=built.store)


def _checked(
    source: Source,
    items: tuple[Item, ...],
    unreadable: tuple[Skip, ...],
    reading_notes: tuple[Note, ...],
    sha256s: tuple[str, ...],
    copies: NDArray[np.int64],
    *,
    seed: int,
    fractions: tuple[float, float, float],
) -> dict[str, Any]:
    """The fields that every data set has: losses refused, classes numbered, parts made.

    Raises:
        DataError: too much is lost, or a split the user gave cannot be used.
    """
    listing = source.listing
    unanswered = tuple(
        Skip(id=item.id, reason="no label") for item in listing.items if not _has_answer(item)
    )
    skipped = (*listing.skipped, *unanswered, *unreadable)
    check_losses(listing.items, skipped)
    targets = _targets(source, items)
    if targets is None:
        classes = tuple(sorted({_label(item) for item in items}))
        number = {name: k for k, name in enumerate(classes)}
        labels = np.array([number[_label(item)] for item in items], np.int64)
        strata = answers = labels
    else:
        classes = ()
        labels = np.zeros(len(items), np.int64)
        answers = first_appearance(targets)
        # Where the user made the parts, a range of targets need not be in each.
        strata = labels if any(item.split for item in items) else _ranges(targets)
    together = join_groups(copies, items)
    splits = complete_splits(items, strata, together, classes, seed=seed, fractions=fractions)
    notes = (
        *listing.notes,
        *reading_notes,
        *duplicate_notes(items, answers, copies, splits, sha256s),
        *(split_notes(items, labels, splits, classes) if classes else ()),
    )
    return {
        "kind": source.kind,
        "name": source.name,
        "classes": classes,
        "items": items,
        "labels": labels,
        "targets": targets,
        "splits": splits,
        "sha256": sha256s,
        "duplicate_groups": copies,
        "skipped": skipped,
        "notes": notes,
        "user_split": any(item.split for item in items),
    }


def _has_answer(item: Item) -> bool:
    return item.label is not None or item.target is not None


def _targets(source: Source, items: tuple[Item, ...]) -> NDArray[np.float64] | None:
    """(items,) the numbers to predict; None where there are classes.

    Raises:
        DataError: some items have a class and others a number.
    """
    given = [item.target for item in items if item.target is not None]
    if not given:
        return None
    if len(given) < len(items):
        raise DataError(
            f"{source.name}: {len(given)} of {len(items)} items have a number to predict",
            why="the others have a class",
            fix="give every item a target, or every item a label",
        )
    return np.array(given, np.float64)


_RANGES: Final = 5


def _ranges(targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """(items,) the fifth of all targets that each lies in: every part gets some of each."""
    if not len(targets):
        return np.empty(0, np.int64)
    edges = np.quantile(targets, np.linspace(0, 1, _RANGES + 1)[1:-1])
    found = np.searchsorted(edges, targets, side="right")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


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
