"""A folder of class folders, with or without train, val and test above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from striate.data.folder_walk import (
    FilesBelow,
    Found,
    class_notes,
    data_folders,
    display_name,
    existing_path,
    few,
    folders_above,
    is_folder,
    walk,
    walk_notes,
)
from striate.data.layouts.arrangement import Arrangement, arrangement_of, subfolder_notes
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.layouts.manifest import SUFFIXES as TABLE_SUFFIXES
from striate.data.names import holds_anything
from striate.data.readers.reader import FileSource, kind_of_files, suffixes_of
from striate.data.source import Listing, Note, Source
from striate.errors import DataError
from striate.typing import Kind

LAYOUT: Final = "DATA/CLASS/IMAGE or DATA/train/CLASS/IMAGE with DATA/test/CLASS/IMAGE"

_REMEDIES: Final[Mapping[str, str]] = {
    **dict.fromkeys((".hdr", ".mha", ".mhd", ".nrrd", ".mgz"), "convert scans to NIfTI (.nii.gz)"),
    **dict.fromkeys((".m4a", ".aac", ".amr", ".wma"), "convert sounds to WAV or FLAC"),
    **dict.fromkeys((".txt", ".dat", ".parquet", ".xlsx"), "save the table of a series as .csv"),
    ".mat": "save arrays as .npy",
}
"""What to do with files that are not read, by their suffix, where a folder holds nothing else."""


def open_folder(root: str | Path, kind: Kind | None = None) -> Source:
    """The files below a folder, labelled by the folder they lie in.

    Files of other kinds are left alone.

    Args:
        root: The folder, which holds class folders, or splits (train, val, test) that hold class
            folders; one folder may be around them all.
        kind: What the files hold; None for what most of them do (see `kind_of_files`).

    Raises:
        DataError: There is no such folder, there are no items, a class is empty, there are fewer
            than two classes, splits with different classes, or classes that look like splits.
    """
    root = data_folder(root, LAYOUT)
    named = kind is not None
    kind, found = _of_one_kind(root, kind)
    arrangement = arrangement_of(found.files, data_folders(found), root)
    arrangement.check_classes_are_classes(found.files, data_folders(found), root)
    placed = [name for name in found.files if arrangement.place(name) is not None]
    if not placed:
        raise _no_items(root, found, kind)
    _check_no_empty_class(root, found, placed, arrangement, kind)
    items = arrangement.items(placed)
    labels = {str(item.label) for item in items}
    if len(labels) == 1 and all(map(holds_anything, labels)) and (hint := _table_hint(root, kind)):
        what = f"all {kind}s of {root} lie in one folder, {labels.pop()}"
        raise DataError(what, why="a classifier needs two classes", fix=hint)
    notes = [
        *arrangement.notes(),
        *subfolder_notes(arrangement, placed),
        *walk_notes(found, kind),
        *_unplaced_note(found, placed, kind),
        *class_notes(item.label for item in items),
    ]
    return FileSource(
        kind,
        name=str(root),
        listing=Listing(items=items, skipped=tuple(found.skipped), notes=tuple(notes)),
        contents=FilesBelow(root, (item.id for item in items), placed),
        named=named,
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


def _of_one_kind(root: Path, kind: Kind | None) -> tuple[Kind, Found]:
    """The kind of the files, by default what most in the folder hold, and the files of that kind."""
    if kind is not None:
        return kind, walk(root, suffixes_of(kind))
    found = walk(root, suffixes_of())
    kind = kind_of_files(f"{root}/{name}" for name in found.files if "/" in name)
    wanted = suffixes_of(kind)
    ends = tuple(wanted)
    if all(name.lower().endswith(ends) for name in found.files):
        return kind, found
    return kind, walk(root, wanted)


def _check_no_empty_class(
    root: Path,
    found: Found,
    placed: Sequence[str],
    arrangement: Arrangement,
    kind: Kind,
) -> None:
    """Refuse class folders without an item, naming them."""
    filled = folders_above(placed)
    empty = [
        folder
        for folder in data_folders(found)
        if arrangement.is_class_folder(folder) and folder not in filled
    ]
    if not empty:
        return
    gone = Counter(
        skip.reason for skip in found.skipped if skip.id.startswith(display_name(empty[0]) + "/")
    )
    raise DataError(
        f"no {kind} in the class folder{'s' if len(empty) > 1 else ''} "
        f"{few([str(root / name) for name in empty])}",
        why=", ".join(f"{reason} ({count})" for reason, count in gone.items()),
        fix=f"add {kind}s, or move the folder out of the data",
    )


def _unplaced_note(found: Found, placed: Sequence[str], kind: Kind) -> list[Note]:
    """A remark on items that lie in no class folder."""
    kept = set(placed)
    unplaced = [display_name(name) for name in found.files if name not in kept]
    if not unplaced:
        return []
    message = f"{len(unplaced)} {kind}s lie in no class folder and were left out: {few(unplaced)}"
    advice = "move each into the folder of its class, if it has one"
    return [Note(code="no-class-folder", message=message, ids=tuple(unplaced), advice=advice)]


def _no_items(root: Path, found: Found, kind: Kind) -> DataError:
    if found.files:
        return DataError(
            f"{len(found.files)} {kind}s in {root} lie in no class folder",
            fix=_table_hint(root, kind) or f"the layout is {LAYOUT}",
        )
    notes = "; ".join(note.message for note in walk_notes(found, kind))
    remedies = dict.fromkeys(
        _REMEDIES[end] for end in sorted(found.other_suffixes) if end in _REMEDIES
    )
    fix = "; ".join([*remedies, f"the layout is {LAYOUT}"])
    return DataError(f"no {kind}s in {root}", why=notes, fix=fix)


def _table_hint(root: Path, kind: Kind) -> str:
    """What to do where a table beside the items may hold their labels; empty without one."""
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
    if not tables:
        return ""
    named = f"if {tables[0]} lists the {kind}s and their labels, give it instead"
    return f"{named}: its columns are path and label"


LAYOUTS.add(
    "folder",
    Layout(f"a folder ({LAYOUT})", is_folder, open_folder, last=True, open_as=open_folder),
)
