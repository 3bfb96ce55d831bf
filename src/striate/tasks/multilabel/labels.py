"""The labels of items: from a column of labels, or from a column of 0 and 1 for each label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool

from striate.data.folder_walk import few
from striate.data.names import in_order
from striate.data.readers.tables import LABELS, SEPARATOR
from striate.data.source import Item
from striate.errors import DataError

_OTHER_SEPARATOR: Final = ";"
"""What stands between labels where no field has the usual separator, as in lists of Parquet."""

_YES: Final = ("1", "1.0", "true")
_NO: Final = ("0", "0.0", "false")


def has_columns(item: Item) -> bool:
    """Whether an item's labels are in columns of their own."""
    return (
        item.label is None and item.target is None and LABELS not in item.extra and any(item.extra)
    )


def check_columns(items: Sequence[Item]) -> None:
    """Make sure that columns of labels hold 0 and 1, where items have such columns.

    Args:
        items: The items of one table.

    Raises:
        DataError: They do not.
    """
    why = "without a column label, labels or target each further column is taken for one label"
    fix = "write 0 or 1 in every row, take the column out, or name the column of all labels labels"
    bad: dict[str, str] = {}
    for item in items:
        for name, text in item.extra.items():
            if text.lower() not in (*_YES, *_NO):
                bad.setdefault(name, f"the column {name} holds {text!r} for {item.id}")
    if bad:
        raise DataError(f"{few(list(bad.values()), 3)}, neither 0 nor 1", why=why, fix=fix)
    odd = sorted({name for item in items for name in item.extra if SEPARATOR in name})
    if odd:
        raise DataError(
            f"a label is named {odd[0]!r}", fix=f"take the {SEPARATOR!r} out of its name"
        )


def label_sets(items: Sequence[Item]) -> list[frozenset[str]]:
    """The labels of each item.

    Args:
        items: Items of one table, which says what separates their labels.

    Raises:
        DataError: A column of labels holds something else than 0 and 1.
    """
    if any(LABELS in item.extra for item in items):
        fields = [item.extra.get(LABELS, "") for item in items]
        usual = any(SEPARATOR in field for field in fields)
        return [split_labels(text, SEPARATOR if usual else _OTHER_SEPARATOR) for text in fields]
    if any(item.label is not None for item in items):
        return [frozenset() if item.label is None else frozenset([item.label]) for item in items]
    check_columns(items)
    return [
        frozenset(name for name, text in item.extra.items() if text.lower() in _YES)
        for item in items
    ]


def named_labels(items: Sequence[Item]) -> tuple[str, ...]:
    """The names of all labels in order, those of columns without a 1 among them."""
    columns = {name for item in items if has_columns(item) for name in item.extra}
    return tuple(in_order(columns.union(*label_sets(items))))


def split_labels(text: str, separator: str = SEPARATOR) -> frozenset[str]:
    """The labels in a text.

    >>> sorted(split_labels("dog | cat")), split_labels("")
    (['cat', 'dog'], frozenset())
    """
    return frozenset(name.strip() for name in text.split(separator) if name.strip())


def joined(labels: Iterable[str]) -> str:
    """Labels as one text, which `split_labels` takes apart."""
    return SEPARATOR.join(labels)


def membership(
    sets: Sequence[frozenset[str]], classes: Sequence[str]
) -> Bool[np.ndarray, "n labels"]:
    """Whether each item has each label.

    Args:
        sets: The labels of each item, each one of `classes`.
        classes: The names of the labels.
    """
    number = {name: k for k, name in enumerate(classes)}
    members = np.zeros((len(sets), len(classes)), np.bool_)
    for row, names in zip(members, sets, strict=True):
        row[[number[name] for name in names]] = True
    return members
