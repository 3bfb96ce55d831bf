"""Which items are the good ones, which alone are learnt from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from striate.data.folder_walk import few
from striate.data.names import in_order
from striate.data.source import Item, Source
from striate.errors import DataError, UnknownNameError


def good_class(items: Sequence[Item]) -> str | None:
    """The only class of the training items; None where there are several, or none."""
    labels = {item.label for item in items if item.split in (None, "train")} - {None}
    return labels.pop() if len(labels) == 1 else None


def several_classes(items: Sequence[Item], name: str) -> DataError:
    """That it is not known which class is the good one."""
    labels = in_order({item.label for item in items if item.label is not None})
    return DataError(
        f"{name}: it is not known which of {len(labels)} classes is the good one",
        why=f"the training items are of {few(labels)}",
        fix="name it with `good=`",
    )


def good_alone(source: Source, label: str) -> Source:
    """The source with the items of all classes but one in the test part.

    Args:
        source: The data, whose items have labels.
        label: The class to learn from; the splits of its items stay as they are.

    Raises:
        DataError: No item has a label.
        UnknownNameError: There is no such class.
    """
    items = source.listing.items
    labels = in_order({item.label for item in items if item.label is not None})
    if not labels:
        raise DataError(
            f"{source.name}: no item has a label",
            why=f"the good ones are to be those of class {label!r}",
            fix="put the items of each class in a folder of its own",
        )
    if label not in labels:
        raise UnknownNameError("class", label, labels)
    changed = copy.copy(source)
    kept = (item if item.label == label else replace(item, split="test") for item in items)
    changed.listing = replace(source.listing, items=tuple(kept))
    return changed
