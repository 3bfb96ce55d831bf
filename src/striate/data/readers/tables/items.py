"""Items that are rows of a table, each made when it is needed: there may be millions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from striate.data.source import Item
from striate.typing import SplitName


@dataclass(frozen=True, kw_only=True, eq=False)
class TableItems(Sequence[Item]):
    """The items of a table, by what is known of each, a column for every attribute of `Item`.

    Attributes:
        ids: Their ids.
        labels: Their labels.
        targets: Their numbers to predict.
        splits: Their splits.
        groups: Their groups; an empty one is none.
        extras: Their further columns.
    """

    ids: Sequence[str]
    labels: Sequence[str | None]
    targets: Sequence[float | None]
    splits: Sequence[SplitName | None]
    groups: Sequence[str]
    extras: Sequence[Mapping[str, str]]

    def __len__(self) -> int:
        """The number of items."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        """The item of a row, or those of some."""
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        return Item(
            id=self.ids[index],
            label=self.labels[index],
            target=self.targets[index],
            split=self.splits[index],
            group=self.groups[index] or None,
            extra=self.extras[index],
        )

    def __iter__(self) -> Iterator[Item]:
        """The items, which is quicker than one by one."""
        columns = (self.ids, self.labels, self.targets, self.splits, self.groups, self.extras)
        for item_id, label, target, split, group, extra in zip(*columns, strict=True):
            yield Item(
                id=item_id,
                label=label,
                target=target,
                split=split,
                group=group or None,
                extra=extra,
            )

    def __eq__(self, other: object) -> bool:
        """Whether they are the same items in the same order."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented
        return all(own == theirs for own, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list
