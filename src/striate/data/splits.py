"""Train, validation and test parts that share no group and hold every class in proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import few
from striate.data.randomness import permutation_keys
from striate.data.source import Item, Note
from striate.errors import ArgumentError, DataError

SPLITS: Final = ("train", "val", "test")
FRACTIONS: Final = (0.7, 0.15, 0.15)
MAX_IMBALANCE: Final = 100


def split(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> NDArray[np.str_]:
    """(items,) "train", "val" or "test": grouped, stratified, the same for the same seed.

    Every class is in training. A class of two items is also in the test set where no group
    forbids it, one of three or more in all parts.

    Args:
        labels: (items,) class numbers from 0.
        groups: (items,) items with the same number stay together.
        seed: of the random choice.
        fractions: the parts wanted of train, val and test; a part of 0 gets nothing.

    Raises:
        ArgumentError: the fractions do not add up to 1, or nothing is left for training.
    """
    check_fractions(fractions)
    if not len(labels):
        return np.empty(0, "<U5")
    wanted = _targets(labels, np.asarray(fractions), seed)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    parts = np.full(len(labels), -1)
    placed = _place_groups(parts, labels, group, sizes, wanted, seed)
    _place_single_items(parts, labels, np.flatnonzero(sizes[group] == 1), wanted, placed, seed)
    _train_every_class(parts, labels, group, sizes)
    names: NDArray[np.str_] = np.array(SPLITS)[parts]
    return names


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuse parts of the data that are no parts.

    Raises:
        ArgumentError: they are negative, do not add up to 1, or leave nothing for training.
    """
    if min(fractions) < 0 or fractions[0] == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ArgumentError(
            f"fractions={fractions}", why="train, val and test add up to 1, with train above 0"
        )


def complete_splits(
    items: Sequence[Item],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    *,
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> NDArray[np.str_]:
    """The parts the user gave, with those that are missing carved from training.

    Items without a part go to training first where others have one; without any, all are split.

    Args:
        items: with the user's `split`.
        labels: (items,) class numbers.
        groups: (items,) items with the same number stay together where Striate chooses.
        classes: their names.
        seed: of the random choice.
        fractions: the parts wanted where Striate chooses.

    Raises:
        DataError: nothing is left to train on, or a class of another part is not in training.
    """
    given = np.array([item.split or "train" for item in items])
    if not any(item.split for item in items):
        return split(labels, groups, seed=seed, fractions=fractions)
    train = np.flatnonzero(given == "train")
    _check_given(labels, given, classes)
    missing = [0.0 if name in given else f for name, f in zip(SPLITS, fractions, strict=True)]
    missing[0] = fractions[0]
    share = np.array(missing) / sum(missing)
    if share[0] < 1:
        carved = split(labels[train], groups[train], seed=seed, fractions=tuple(share.tolist()))
        given[train] = carved
    return given


def split_notes(
    items: Sequence[Item],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    classes: Sequence[str],
) -> tuple[Note, ...]:
    """What a user should know of the classes' sizes in the parts."""
    counts = np.bincount(labels, minlength=len(classes))
    notes = []
    for number in np.flatnonzero(counts == 1).tolist():
        only = int(np.flatnonzero(labels == number)[0])
        message = f"class {classes[number]!r} has one item: it is in {splits[only]}, nowhere else"
        notes.append(Note(code="single-item-class", message=message, ids=(items[only].id,)))
    for name in ("val", "test"):
        there = set(labels[splits == name].tolist())
        absent = [classes[k] for k in np.flatnonzero(counts > 1).tolist() if k not in there]
        if absent and there:
            message = f"no item of {few(absent)} in {name}: figures there leave them out"
            notes.append(Note(code="class-not-in-split", message=message))
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] > MAX_IMBALANCE * counts[least]:
        message = (
            f"{counts[most]} items of {classes[most]!r} and {counts[least]} of {classes[least]!r}: "
            "read the figures of each class, not the accuracy alone"
        )
        notes.append(Note(code="imbalance", message=message))
    return tuple(notes)


def _targets(
    labels: NDArray[np.int64], fractions: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """(parts, classes) how many items of each class each part should get."""
    counts = np.bincount(labels)
    order = permutation_keys(seed, -1, fractions.size * len(counts)).reshape(len(counts), -1)
    return np.stack([_whole(n, fractions, tie) for n, tie in zip(counts, order, strict=True)], 1)


def _whole(
    count: int, fractions: NDArray[np.float64], tie: NDArray[np.float64]
) -> NDArray[np.int64]:
    """`count` in whole parts by largest remainder; the smallest counts go where most needed."""
    exact = fractions * count
    parts = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.lexsort((tie, -np.round(exact - parts, 9)))
    parts[by_remainder[: count - int(parts.sum())]] += 1
    for part in (0, 2, 1):  # train, then test, then val
        if parts[part] == 0 and fractions[part] > 0 and parts.max() > 1:
            parts[parts.argmax()] -= 1
            parts[part] = 1
    if count == 1:
        parts[:] = (1, 0, 0)
    return parts


def _place_groups(
    parts: NDArray[np.int64],
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    sizes: NDArray[np.int64],
    wanted: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Put each group of several items where it brings the counts nearest to those wanted.

    Returns:
        (parts, classes) how many items were placed.
    """
    placed = np.zeros_like(wanted)
    totals = wanted.sum(0)
    several = np.flatnonzero(sizes > 1)
    tie = permutation_keys(seed, -2, len(sizes))[several]
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    open_parts = np.flatnonzero(wanted.sum(1))
    for number in several[np.lexsort((tie, -sizes[several]))]:
        inside = members[number]
        kinds, counts = np.unique(labels[inside], return_counts=True)
        excess = placed[open_parts[:, None], kinds] - wanted[open_parts[:, None], kinds]
        # The growth of the squared distance from the wanted counts, each class on its own scale.
        cost = (counts * (counts + 2 * excess) / totals[kinds]).sum(1)
        part = open_parts[cost.argmin()]
        parts[inside] = part
        placed[part, kinds] += counts
    return placed


def _place_single_items(
    parts: NDArray[np.int64],
    labels: NDArray[np.int64],
    singles: NDArray[np.int64],
    wanted: NDArray[np.int64],
    placed: NDArray[np.int64],
    seed: int,
) -> None:
    """Deal out the items that are a group of their own so that the wanted counts are met."""
    tie = permutation_keys(seed, -3, len(parts))[singles]
    shuffled = singles[np.argsort(tie, kind="stable")]
    for number in np.unique(labels[singles]):
        items = shuffled[labels[shuffled] == number]
        lacking = np.maximum(wanted[:, number] - placed[:, number], 0)
        counts = _share(len(items), lacking)
        parts[items] = np.repeat(np.arange(len(SPLITS)), counts)


def _share(count: int, lacking: NDArray[np.int64]) -> NDArray[np.int64]:
    """`count` items shared in proportion to what each part lacks, which is at least that."""
    exact = lacking * (count / lacking.sum())
    shares: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]] += 1
    return shares


def _train_every_class(
    parts: NDArray[np.int64],
    labels: NDArray[np.int64],
    group: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Move the smallest group of a class that is not in training there."""
    for number in np.setdiff1d(labels, labels[parts == 0]):
        candidates = np.unique(group[labels == number])
        parts[group == candidates[sizes[candidates].argmin()]] = 0


def _check_given(
    labels: NDArray[np.int64], given: NDArray[np.str_], classes: Sequence[str]
) -> None:
    trained = set(labels[given == "train"].tolist())
    if not trained:
        found = ", ".join(f"{n} in {name}" for name, n in sorted(Counter(given.tolist()).items()))
        raise DataError(
            "no item is in train", why=f"found {found}", fix="put the items to learn from in train"
        )
    for name in ("val", "test"):
        unknown = sorted(set(labels[given == name].tolist()) - trained)
        if unknown:
            raise DataError(
                f"{name} has classes that train has not: {few([classes[k] for k in unknown])}",
                fix=f"add items of them to train, or leave them out of {name}",
            )
