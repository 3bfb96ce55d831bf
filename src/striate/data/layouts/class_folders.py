"""A folder of class folders, with or without train, val and test above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from striate.data.folder_walk import (
    Found,
    class_notes,
    display_name,
    existing_path,
    few,
    is_folder,
    unique_ids,
    walk,
    walk_notes,
)
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers.reader import FileSource, kind_of_files, suffixes_of
from striate.data.source import SPLIT_NAMES, Item, Listing, Note, Source
from striate.errors import DataError
from striate.typing import Kind, SplitName

LAYOUT: Final = "DATA/CLASS/IMAGE or DATA/train/CLASS/IMAGE with DATA/test/CLASS/IMAGE"


def open_folder(root: str | Path, *, follow_links: bool = False) -> Source:
    """The files below a folder, labelled by the folder they lie in.

    What most of the files hold is taken (see `kind_of_files`), other files are left alone.

    Args:
        root: The folder, which holds class folders, or splits (train, val, test) that hold class
            folders.
        follow_links: Whether links that leave the folder are followed as well.

    Raises:
        DataError: There is no such folder, there are no items, a class is empty, there are fewer
            than two classes, or splits with different classes.
    """
    root = data_folder(root, LAYOUT)
    kind, found = _of_one_kind(root, follow_links)
    splits = split_folders(name.split("/")[0] for name in found.files if "/" in name)
    placed = [name for name in found.files if is_placed(name, splits)]
    if not placed:
        raise _no_items(root, found, kind)
    _check_no_empty_class(root, found, placed, splits, kind)
    items = folder_items(placed, splits)
    notes = [
        *walk_notes(found, kind),
        *_unplaced_note(found, placed, kind),
        *class_notes(items),
    ]
    return FileSource(
        kind,
        name=str(root),
        listing=Listing(items=items, skipped=tuple(found.skipped), notes=tuple(notes)),
        contents={item.id: root / name for item, name in zip(items, placed, strict=True)},
    )


def data_folder(path: str | Path, layout: str) -> Path:
    """The folder at a path; `layout` says what is expected in it.

    Raises:
        DataError: There is no such folder, or it is a file.
    """
    root = existing_path(Path(path))
    if not root.is_dir():
        raise DataError(
            f"{root} is a file", why="a folder is needed", fix=f"the layout is {layout}"
        )
    return root


def split_folders(tops: Iterable[str]) -> Mapping[str, SplitName] | None:
    """The top folders that are splits; None where the top folders are classes.

    They are splits where nothing but splits holds items, or where there is one to train on and one
    to test on. A lone folder "test" beside "cat" and "dog" is a class.

    Args:
        tops: The top folders below which there are items.
    """
    tops = set(tops)
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    roles = set(splits.values())
    whole = tops == set(splits) or ("train" in roles and len(roles) > 1)
    return splits if splits and whole else None


def is_placed(name: str, splits: Mapping[str, SplitName] | None) -> bool:
    """Whether the item of a relative path lies in a class folder."""
    folders = name.split("/")[:-1]
    return bool(folders) if splits is None else len(folders) > 1 and folders[0] in splits


def folder_items(names: Sequence[str], splits: Mapping[str, SplitName] | None) -> tuple[Item, ...]:
    """Items of relative paths, each labelled by its class folder."""
    parts = [name.split("/") for name in names]
    return tuple(
        Item(
            id=item_id,
            label=display_name(folders[0 if splits is None else 1]),
            split=None if splits is None else splits[folders[0]],
        )
        for item_id, folders in zip(unique_ids(names), parts, strict=True)
    )


def _of_one_kind(root: Path, follow_links: bool) -> tuple[Kind, Found]:
    """What most files in the folder hold, and the files of that kind."""
    found = walk(root, suffixes_of(), follow_links=follow_links)
    kind = kind_of_files(root / name for name in found.files if "/" in name)
    wanted = suffixes_of(kind)
    if all(name.lower().endswith(tuple(wanted)) for name in found.files):
        return kind, found
    return kind, walk(root, wanted, follow_links=follow_links)


def _check_no_empty_class(
    root: Path,
    found: Found,
    placed: Sequence[str],
    splits: Mapping[str, SplitName] | None,
    kind: Kind,
) -> None:
    """Refuse class folders without an item, naming them."""
    depth = 1 if splits is None else 2
    filled = {tuple(name.split("/")[:depth]) for name in placed}
    folders = [tuple(name.split("/")) for name in found.folders]
    empty = sorted(
        "/".join(folder)
        for folder in folders
        if len(folder) == depth and folder not in filled and (not splits or folder[0] in splits)
    )
    if not empty:
        return
    gone = Counter(
        skip.reason for skip in found.skipped if skip.id.startswith(display_name(empty[0]) + "/")
    )
    raise DataError(
        f"no {kind} in the class folder{'s' if len(empty) > 1 else ''} "
        f"{few([str(root / name) for name in empty])}",
        why=", ".join(f"{reason} ({count})" for reason, count in gone.items()),
        fix=f"add {kind}s, or remove the folder",
    )


def _unplaced_note(found: Found, placed: Sequence[str], kind: Kind) -> list[Note]:
    """A remark on items that lie in no class folder."""
    kept = set(placed)
    unplaced = [display_name(name) for name in found.files if name not in kept]
    if not unplaced:
        return []
    message = f"{len(unplaced)} {kind}s lie in no class folder and were left out: {few(unplaced)}"
    return [Note(code="no-class-folder", message=message, ids=tuple(unplaced))]


def _no_items(root: Path, found: Found, kind: Kind) -> DataError:
    if found.files:
        return DataError(
            f"{len(found.files)} {kind}s in {root} lie in no class folder",
            fix=f"the layout is {LAYOUT}",
        )
    notes = "; ".join(note.message for note in walk_notes(found, kind))
    return DataError(f"no {kind}s in {root}", why=notes, fix=f"the layout is {LAYOUT}")


LAYOUTS.add("folder", Layout(f"a folder ({LAYOUT})", is_folder, open_folder, last=True))
