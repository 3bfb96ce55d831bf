"""How class folders are arranged: below a folder around them all, below splits, or neither."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from striate.data.folder_walk import display_name, few, unique_ids
from striate.data.names import SPLIT_WORDS, holds_answers, holds_anything, is_filler, split_named
from striate.data.source import Item, Note
from striate.errors import DataError
from striate.typing import SplitName

_FOLD: Final = re.compile(r"(k?fold|cv)[ _.-]?\d+", re.IGNORECASE)
_PART: Final = re.compile(r"(k?fold|cv|split|part|subset|batch|chunk)s?[ _.-]?\d+", re.IGNORECASE)

_PLAIN: Final = ("train", "training", "val", "valid", "validation", "test", "testing")
"""Names of splits that need no remark."""


class Place(NamedTuple):
    """Where an item lies: its split, if any, its class folder, and the path below that."""

    split: SplitName | None
    label: str
    below: str


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """What the folders above an item mean.

    Attributes:
        start: The path of the folder around all class folders or splits; empty, or ending in `/`.
        splits: The split that each folder below `start` is; empty where these are classes.
        inner: The path of the folder around the classes of a split, by the split's folder; empty,
            or ending in `/`.
    """

    start: str = ""
    splits: Mapping[str, SplitName] = field(default_factory=dict)
    inner: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> Place | None:
        """Where the item of a relative path lies; None where it lies in no class folder."""
        if not name.startswith(self.start):
            return None
        rest, split = name.removeprefix(self.start), None
        if self.splits:
            top, _, rest = rest.partition("/")
            split = self.splits.get(top)
            if split is None or not rest.startswith(self.inner.get(top, "")):
                return None
            rest = rest.removeprefix(self.inner.get(top, ""))
        label, slash, below = rest.partition("/")
        return Place(split, label, below) if slash else None

    def is_class_folder(self, name: str) -> bool:
        """Whether the folder of a relative path is that of a class."""
        place = self.place(f"{name}/-")
        return place is not None and place.below == "-"

    def check_classes_are_classes(
        self, names: Sequence[str], folders: Iterable[str], where: str | Path
    ) -> None:
        """Refuse pictures that lie beside folders of their labels, masks or boxes.

        Args:
            names: Relative paths of items.
            folders: Relative paths of folders, those without an item among them.
            where: The data's name, for messages.

        Raises:
            DataError: They do.
        """
        labels = (place.label for name in names if (place := self.place(name)))
        paths = filter(self.is_class_folder, folders)
        classes = {*labels, *(path.split("/")[-1] for path in paths)}
        answers = sorted(filter(holds_answers, classes))
        others = sorted(classes.difference(answers))
        if not answers or not all(map(holds_anything, others)):
            return
        raise DataError(
            f"the folders {few([display_name(name) for name in (*others, *answers)])} of {where} "
            "look like pictures with their labels, masks or boxes beside them",
            why="they would have been taken for classes",
            fix="give each class a folder, or list the pictures in a table with the columns path "
            "and label (masks and boxes are not learnt from)",
        )

    def items(self, names: Sequence[str]) -> tuple[Item, ...]:
        """Items of relative paths that have a place, each labelled by its class folder."""
        shown: dict[str, str] = {}  # items of a class share one text
        return tuple(
            Item(
                id=item_id,
                label=shown.setdefault(place.label, display_name(place.label)),
                split=place.split,
            )
            for item_id, name in zip(unique_ids(names), names, strict=True)
            if (place := self.place(name)) is not None
        )

    def notes(self) -> list[Note]:
        """What a user should know of how the folders were taken."""
        notes = []
        if self.start:
            message = f"the data were taken from the folder {display_name(self.start)}"
            notes.append(Note(code="folder-around", message=message, severity="info"))
        odd = {top: split for top, split in self.splits.items() if top.lower() not in _PLAIN}
        if odd:
            taken = few([f"{display_name(top)} for {split}" for top, split in sorted(odd.items())])
            message = f"folders were taken for splits: {taken}"
            notes.append(Note(code="split-folders", message=message, severity="info"))
        return notes


def arrangement_of(
    names: Sequence[str], folders: Iterable[str] = (), where: str | Path = ""
) -> Arrangement:
    """How some items are arranged.

    The top folders are splits where nothing but splits holds items, or where there is one to train
    on and one to test on. A lone folder "test" beside "cat" and "dog" is a class.

    Args:
        names: Relative paths of items.
        folders: Relative paths of folders, those without an item among them.
        where: The data's name, for messages.

    Raises:
        DataError: The classes look like splits or folds of one data set.
    """
    start = _start(names, folders)
    inside = [name.removeprefix(start) for name in names if name.startswith(start)]
    tops = {name.split("/")[0] for name in inside if "/" in name}
    splits = {top: split for top in tops if (split := split_named(top)) is not None}
    roles = set(splits.values())
    if not splits or not (tops == set(splits) or ("train" in roles and len(roles) > 1)):
        arrangement = Arrangement(start=start)
        _check_classes_are_no_parts(arrangement, inside, Path(where, start))
        return arrangement
    inner = {}
    for top in splits:
        below = [name.removeprefix(f"{top}/") for name in inside if name.startswith(f"{top}/")]
        inner[top] = _inner(below)
    return Arrangement(start=start, splits=splits, inner=inner)


def subfolder_notes(arrangement: Arrangement, names: Sequence[str]) -> list[Note]:
    """A warning where every class holds the same subfolders, which may be the classes.

    Args:
        arrangement: How the items are arranged.
        names: Relative paths of items.
    """
    shared = _shared_subfolders(place for name in names if (place := arrangement.place(name)))
    if len(shared) < 2:
        return []
    message = f"every class holds the same subfolders ({few(shared)})"
    advice = "if these are the classes, put them at the top, or below train and test"
    return [Note(code="same-subfolders", message=message, advice=advice)]


def _start(names: Sequence[str], folders: Iterable[str]) -> str:
    """The folder around all that lies in folders, unless it is a split or holds items itself."""
    start, folders = "", list(folders)
    while True:
        deep = [n.removeprefix(start) for n in names if n.startswith(start)]
        deep = [name for name in deep if "/" in name]
        beside = (f.removeprefix(start) for f in folders if f.startswith(start))
        tops = {name.split("/")[0] for name in (*deep, *beside)}
        if len(tops) != 1 or any(name.count("/") == 1 for name in deep):
            return start
        (top,) = tops
        if split_named(top) is not None:
            return start
        start += f"{top}/"


def _inner(names: Sequence[str]) -> str:
    """The folder around the classes of a split: one that is named like a split, or says nothing."""
    tops = {name.split("/")[0] for name in names if "/" in name}
    flat = any(name.count("/") < 2 for name in names)
    if len(tops) != 1 or flat:
        return ""
    (top,) = tops
    return f"{top}/" if split_named(top) is not None or is_filler(top) else ""


def _check_classes_are_no_parts(
    arrangement: Arrangement, names: Sequence[str], where: Path
) -> None:
    """Refuse folders that would be classes and look like splits or folds of one data set."""
    found = Arrangement()
    tops = sorted({place.label for name in names if (place := found.place(name))})
    shared = _shared_subfolders(place for name in names if (place := found.place(name)))
    parts = all(map(_PART.fullmatch, tops)) or any(map(split_named, tops))
    if len(tops) > 1 and (all(map(_FOLD.fullmatch, tops)) or (len(shared) > 1 and parts)):
        below = f", and {few(shared)} in them like classes" if shared else ""
        raise DataError(
            f"the folders {few([display_name(top) for top in tops])} of {where} look like parts of "
            f"one data set{below}",
            why="they would have been taken for classes",
            fix=f"name each part after its split ({SPLIT_WORDS}), or list the files in a table "
            "with the columns path, label and split or group",
        )


def _shared_subfolders(places: Iterable[Place]) -> list[str]:
    """The subfolders that every class holds, where there are two classes or more."""
    below: dict[str, set[str]] = defaultdict(set)
    for place in places:
        folder, slash, _ = place.below.partition("/")
        below[place.label].update([folder] if slash else [])
    shared = set.intersection(*below.values()) if len(below) > 1 else set()
    return sorted(map(display_name, shared))
