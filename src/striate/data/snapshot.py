"""What `data.lock.json` holds: exactly which data a run saw, and how that differs from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.source import Skip
from striate.errors import DataError

VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotItem:
    """One item as a run saw it; `label` is the answer as text."""

    id: str
    sha256: str
    label: str
    split: str
    duplicate_group: int


@dataclass(frozen=True, kw_only=True)
class DatasetSnapshot:
    """Every item a run used and every file it left out.

    Attributes:
        kind: Name of the kind of the items.
        name: Name of the source.
        classes: Names of the classes, in the order of their numbers.
        items: The items that were used.
        skipped: What was left out, and why.
    """

    kind: str
    name: str
    classes: tuple[str, ...]
    items: tuple[SnapshotItem, ...]
    skipped: tuple[Skip, ...]

    def tested(self) -> list[str]:
        """The ids of the test items; of all items where each was tested in a fold."""
        named = [item.id for item in self.items if item.split == "test"]
        return named or [item.id for item in self.items]


def snapshot(dataset: Dataset) -> DatasetSnapshot:
    """The snapshot of a data set."""
    items = tuple(
        SnapshotItem(
            id=item.id,
            sha256=dataset.sha256[i],
            label=dataset.target.text(i),
            split=str(dataset.splits[i]),
            duplicate_group=int(dataset.duplicate_groups[i]),
        )
        for i, item in enumerate(dataset.items)
    )
    return DatasetSnapshot(
        kind=dataset.kind,
        name=dataset.name,
        classes=dataset.classes,
        items=items,
        skipped=dataset.skipped,
    )


def to_json(taken: DatasetSnapshot) -> dict[str, Any]:
    """The document of `data.lock.json`."""
    return {"version": VERSION, **asdict(taken)}


def from_json(document: Mapping[str, Any]) -> DatasetSnapshot:
    """The snapshot in a document of `data.lock.json`.

    Raises:
        DataError: It is of another version, or something is missing.
    """
    if document.get("version") != VERSION:
        raise DataError(
            f"data.lock.json has version {document.get('version')!r}",
            why=f"this Striate reads version {VERSION}",
        )
    try:
        return DatasetSnapshot(
            kind=document["kind"],
            name=document["name"],
            classes=tuple(document["classes"]),
            items=tuple(SnapshotItem(**item) for item in document["items"]),
            skipped=tuple(Skip(**skip) for skip in document["skipped"]),
        )
    except (KeyError, TypeError) as error:
        raise DataError("data.lock.json is not complete", why=str(error)) from error


def difference(taken: DatasetSnapshot, dataset: Dataset) -> list[str]:
    """What changed since a snapshot was taken, a line each; empty where a run can be resumed.

    The source's name and the skipped files do not count: a folder may have moved, and what was
    not used does not matter.
    """
    old, new = taken, snapshot(dataset)
    lines = []
    if old.kind != new.kind:
        lines.append(f"kind was {old.kind}, is {new.kind}")
    if old.classes != new.classes:
        lines.append(f"classes were {', '.join(old.classes)}, are {', '.join(new.classes)}")
    before, after = ({item.id: item for item in side.items} for side in (old, new))
    lines += _listed("gone", [name for name in before if name not in after])
    lines += _listed("new", [name for name in after if name not in before])
    both = [name for name in before if name in after]
    for field, what in (("sha256", "content"), ("label", "label"), ("split", "split")):
        changed = [n for n in both if getattr(before[n], field) != getattr(after[n], field)]
        lines += _listed(f"with another {what}", changed)
    if not lines and tuple(before) != tuple(after):
        lines.append("the items are in another order")
    return lines


def _listed(what: str, ids: list[str]) -> list[str]:
    if not ids:
        return []
    items = "1 item" if len(ids) == 1 else f"{len(ids)} items"
    return [f"{items} {what}: {few(ids)}"]
