"""A folder of class folders, with or without train, val and test above them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from striate.data.folder_walk import (
    Found,
    check_classes,
    display_name,
    existing_path,
    few,
    is_folder,
    unique_ids,
    walk,
    walk_notes,
)
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.readers.reader import files_source, kind_of_files, suffixes_of
from striate.data.source import Item, Listing, Note, Source
from striate.errors import DataError
from striate.typing import Kind, SplitName

SPLIT_NAMES: Final[dict[str, SplitName]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of parts, in lower case, and what each is called here."""

LAYOUT: Final = "DATA/CLASS/IMAGE or DATA/train/CLASS/IMAGE with DATA/test/CLASS/IMAGE"


def open_folder(root: str | Path, *, follow_links: bool = False) -> Source:
    """The files below a folder, labelled by the folder they lie in.

    What most of the files hold is taken (see `kind_of_files`), other files are left alone.

    Args:
        root: holds class folders, or parts (train, val, test) that hold class folders.
        follow_links: follow links that leave the folder as well.

    Raises:
        DataError: no such folder, no images, an empty class, fewer than two classes, parts with
            different classes.
    """
    root = existing_path(Path(root))
    if not root.is_dir():
        raise DataError(
            f"{root} is a file", why="a folder is needed", fix=f"the layout is {LAYOUT}"
        )
    kind, found = _look(root, follow_links)
    parts = _parts(found)
    depth = 1 if parts is None else 2  # folders above an image, at least
    placed = [name for name in found.files if _is_placed(name, parts, depth)]
    if not placed:
        raise _no_items(root, found, kind)
    _check_no_empty_class(root, found, placed, parts, kind)
    ids = unique_ids(placed)
    items = tuple(
        Item(
            id=item_id,
            label=display_name(name.split("/")[depth - 1]),
            split=None if parts is None else parts[name.split("/")[0]],
        )
        for item_id, name in zip(ids, placed, strict=True)
    )
    notes = [
        *walk_notes(found, kind),
        *_unplaced_note(found, placed, kind),
        *check_classes(items, str(root)),
    ]
    return files_source(
        kind,
        name=str(root),
        listing=Listing(items=items, skipped=found.skipped, notes=tuple(notes)),
        paths={item_id: root / name for item_id, name in zip(ids, placed, strict=True)},
    )


def _look(root: Path, follow_links: bool) -> tuple[Kind, Found]:
    """What the folder holds, and the files of that kind."""
    images = walk(root, follow_links=follow_links)
    if not images.other_suffixes:
        return "image", images
    suffixes = suffixes_of("image") | suffixes_of("signal") | suffixes_of("volume")
    everything = walk(root, follow_links=follow_links, suffixes=suffixes)
    kind = kind_of_files(root / name for name in everything.files if "/" in name)
    if kind == "image":
        return kind, images
    return kind, walk(root, follow_links=follow_links, suffixes=suffixes_of(kind))


def _parts(found: Found) -> dict[str, SplitName] | None:
    """The top folders that are parts; None where the top folders are classes.

    They are parts where nothing but parts holds images, or where there is a part to train on and
    one to test on. A lone folder "test" beside "cat" and "dog" is a class.
    """
    with_images = {name.split("/")[0] for name in found.files if "/" in name}
    parts = {top: SPLIT_NAMES[top.lower()] for top in with_images if top.lower() in SPLIT_NAMES}
    roles = set(parts.values())
    if parts and (with_images == set(parts) or ("train" in roles and len(roles) > 1)):
        return parts
    return None


def _is_placed(name: str, parts: dict[str, SplitName] | None, depth: int) -> bool:
    """Whether an image lies in a class folder."""
    folders = name.split("/")[:-1]
    return len(folders) >= depth and (parts is None or folders[0] in parts)


def _check_no_empty_class(
    root: Path, found: Found, placed: list[str], parts: dict[str, SplitName] | None, kind: Kind
) -> None:
    """Refuse class folders without an item, naming them."""
    depth = 1 if parts is None else 2
    filled = {tuple(name.split("/")[:depth]) for name in placed}
    folders = [tuple(name.split("/")) for name in found.folders]
    empty = sorted(
        "/".join(folder)
        for folder in folders
        if len(folder) == depth and folder not in filled and (parts is None or folder[0] in parts)
    )
    if not empty:
        return
    gone = Counter(
        skip.reason for skip in found.skipped if skip.id.startswith(display_name(empty[0]) + "/")
    )
    reasons = ", ".join(f"{reason} ({count})" for reason, count in gone.items())
    raise DataError(
        f"no {kind} in the class folder{'s' if len(empty) > 1 else ''} "
        f"{few([str(root / name) for name in empty])}",
        why=reasons,
        fix=f"add {kind}s, or remove the folder",
    )


def _unplaced_note(found: Found, placed: list[str], kind: Kind) -> list[Note]:
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
    notes = "; ".join(note.message for note in walk_notes(found))
    return DataError(f"no images in {root}", why=notes, fix=f"the layout is {LAYOUT}")


SOURCES.add(
    "folder",
    SourceFormat(layout=f"a folder ({LAYOUT})", matches=is_folder, open=open_folder, last=True),
)
