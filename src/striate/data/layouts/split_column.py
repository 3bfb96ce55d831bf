"""What tables say of an item beside its features: the part it is in."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data.folder_walk import few
from striate.data.layouts.class_folders import SPLIT_NAMES
from striate.errors import DataError
from striate.typing import SplitName


def splits_of(
    splits: Sequence[str] | None, where: str, lines: Sequence[int] | None, count: int
) -> list[SplitName | None]:
    """The part of each item; None where it is empty, or where there is no such column.

    Args:
        splits: as written.
        where: the table, for messages.
        lines: where each stands in it.
        count: of the items.

    Raises:
        DataError: a name that is none, with its line.
    """
    if splits is None:
        return [None] * count
    numbers = lines or range(1, count + 1)
    bad = [
        f"line {line} has the split {split!r}"
        for line, split in zip(numbers, splits, strict=True)
        if split and split.lower() not in SPLIT_NAMES
    ]
    if bad:
        raise DataError(
            f"rows of {where} cannot be used",
            why=few(bad),
            fix=f"a split is one of {', '.join(SPLIT_NAMES)}, or empty",
        )
    return [SPLIT_NAMES[split.lower()] if split else None for split in splits]
