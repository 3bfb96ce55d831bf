"""What lies in a folder, and whether it makes a data set: no file is opened here."""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from striate.data.names import in_order
from striate.data.source import Item, Note, Skip
from striate.errors import DataError, nearest
from striate.files import holds_output, os_reason

MAX_LOSS: Final = 0.05
"""The share of the items that may be left out before the data is refused."""

_DIGITS: Final = re.compile(r"\d+(\.\d+)?")

IGNORED_NAMES: Final = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information"}
)
"""Names that systems leave behind, in lower case; so is everything that starts with a dot."""


@dataclass(kw_only=True)
class Found:
    """What a walk through a folder met. Paths are relative to its root, with `/`.

    Attributes:
        files: The files with one of the suffixes wanted, sorted.
        folders: The folders, sorted, without ignored ones.
        skipped: Such files that cannot be read, and why (broken links, FIFOs, ...).
        other_suffixes: The number of files of each other suffix, which were left alone.
        links_out: The links to outside the root, which were followed.
        links_back: The links to folders that hold the root, or that were met before, which were
            not followed.
        made: The folders that Striate wrote, which were left alone.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    other_suffixes: Counter[str] = field(default_factory=Counter)
    links_out: list[str] = field(default_factory=list)
    links_back: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


def display_name(name: str) -> str:
    r"""A file name as text: composed (NFC), with bytes that are not UTF-8 written as `\xNN`.

    >>> display_name("e\u0301") == "\u00e9", display_name("caf\udce9")
    (True, 'caf\\xe9')
    """
    if name.isascii():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def unique_ids(names: Iterable[str]) -> list[str]:
    """An id for each relative path, in order; two that look the same get a number."""
    shown_names = [display_name(name) for name in names]
    if len(set(shown_names)) == len(shown_names):
        return shown_names
    seen: Counter[str] = Counter()
    ids = []
    for shown in shown_names:
        seen[shown] += 1
        ids.append(shown if seen[shown] == 1 else f"{shown} ({seen[shown]})")
    return ids


def existing_path(path: Path) -> Path:
    """The path itself, where something lies there.

    Raises:
        DataError: Nothing does; the message lists the nearest names.
    """
    try:
        path.stat()
    except ValueError:
        raise DataError(f"cannot read {path}", why="not a file name") from None
    except OSError as error:
        near = nearest(path.name, _names_in(path.parent))
        fix = f"did you mean {' or '.join(repr(str(path.parent / n)) for n in near)}?"
        raise DataError(
            f"cannot read {path}", why=os_reason(error), fix=fix if near else ""
        ) from None
    return path


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of that name; False for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises on over-long names


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except OSError:
        return []


class FilesBelow:
    """The files of items by their ids, each path made when it is needed: there may be millions.

    Args:
        root: The folder around the files.
        ids: The items' ids.
        names: The path of each item's file, relative to the folder.
    """

    def __init__(self, root: Path, ids: Iterable[str], names: Iterable[str]) -> None:
        self._root = root
        pairs = zip(ids, names, strict=True)
        self._others = {item_id: name for item_id, name in pairs if item_id != name}

    def __getitem__(self, item_id: str) -> Path:
        """The file of an item."""
        return self._root / self._others.get(item_id, item_id)


def folders_above(names: Iterable[str]) -> set[str]:
    """Every folder above some relative paths.

    >>> sorted(folders_above(["a/b/1.png", "a/2.png", "3.png"]))
    ['a', 'a/b']
    """
    above: set[str] = set()
    folders = {name.rpartition("/")[0] for name in names} - {""}
    while folders:
        above |= folders
        folders = {folder.rpartition("/")[0] for folder in folders} - {""} - above
    return above


def data_folders(found: Found) -> list[str]:
    """The folders of a walk, without those around nothing but what Striate wrote."""
    around, filled = folders_above(found.made), folders_above(found.files)
    return [folder for folder in found.folders if folder in filled or folder not in around]


def walk(root: Path, suffixes: Collection[str]) -> Found:
    """Look through a folder.

    Hidden files, what systems leave behind, and folders that Striate wrote are left alone. A link
    is followed unless it leads to a folder that holds the root, or to something that was met
    before, so that no loop of links counts anything twice. A file outside the root to which
    several links lead, and one of several hard links, are as many files: two names, found as
    duplicates.

    Args:
        root: The folder.
        suffixes: The ends of the names of files that are wanted, in lower case.

    Raises:
        DataError: A folder cannot be read.
    """
    walk = _Walk(root=os.fspath(root), suffixes=tuple(suffixes))
    walk.run()
    found = walk.found
    for names in (found.files, found.folders, found.links_out, found.links_back, found.made):
        names.sort()
    walk.found.skipped.sort(key=lambda skip: skip.id)
    return walk.found


@dataclass
class _Walk:
    """The state of one walk; every path is relative to `root`.

    The inodes of files, of which there may be millions, are plain numbers, by their device, until
    a link asks whether one was met.
    """

    root: str
    suffixes: tuple[str, ...]
    found: Found = field(default_factory=Found)
    links: list[str] = field(default_factory=list)
    met: set[tuple[int, int]] = field(default_factory=set)
    files: defaultdict[int, array[int]] = field(default_factory=lambda: defaultdict(_numbers))

    def run(self) -> None:
        self._first_visit(Path(self.root).stat())
        self._below("")
        while self.links:  # only now, so that everything inside is known under its own name
            links, self.links = sorted(self.links), []
            for link in links:
                self._link(link)

    def _below(self, start: str) -> None:
        pending = [start]
        while pending:
            folder = pending.pop()
            try:
                for entry in self._entries(folder):
                    self._entry(entry, f"{folder}/{entry.name}" if folder else entry.name, pending)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    self._skip(folder, os_reason(error))
                    continue
                raise DataError(
                    f"cannot read the folder {Path(self.root, folder)}",
                    why=os_reason(error),
                    fix="make it readable, or move it out of the data",
                ) from error

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(f"{self.root}/{folder}") as entries:
            for entry in entries:
                if not (entry.name.startswith(".") or entry.name.lower() in IGNORED_NAMES):
                    yield entry

    def _entry(self, entry: os.DirEntry[str], path: str, pending: list[str]) -> None:
        if entry.is_symlink():
            self.links.append(path)
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:  # removed a moment ago, or a path that is too long
            self._skip(path, os_reason(error))
            return
        if not stat.S_ISDIR(status.st_mode):
            self.files[status.st_dev].append(status.st_ino)
            self._file(path, status.st_mode)
        elif holds_output(Path(self.root, path)):
            self.found.made.append(path)
        elif self._first_visit(status):
            self.found.folders.append(path)
            pending.append(path)

    def _link(self, path: str) -> None:
        full = Path(self.root, path)
        try:
            status = full.stat()
        except OSError as error:
            if self._wanted(path) or not _suffix(path):
                self._skip(path, "broken link" if error.errno == errno.ENOENT else os_reason(error))
            return
        root, target = Path(self.root).resolve(), full.resolve()
        outside = not target.is_relative_to(root)
        if not stat.S_ISDIR(status.st_mode):
            self._recall_files()
            if outside or self._first_visit(status):
                self._file(path, status.st_mode)
        elif root.is_relative_to(target) or not self._first_visit(status):
            self.found.links_back.append(path)
            return
        elif holds_output(full):
            self.found.made.append(path)
            return
        else:
            self.found.folders.append(path)
            self._below(path)
        if outside:
            self.found.links_out.append(path)

    def _first_visit(self, status: os.stat_result) -> bool:
        key = (status.st_dev, status.st_ino)
        new = key not in self.met
        self.met.add(key)
        return new

    def _recall_files(self) -> None:
        for device, inodes in self.files.items():
            self.met.update((device, inode) for inode in inodes)
        self.files.clear()

    def _wanted(self, path: str) -> bool:
        return path.lower().endswith(self.suffixes)

    def _file(self, path: str, mode: int) -> None:
        if not self._wanted(path):
            self.found.other_suffixes[_suffix(path) or "no suffix"] += 1
        elif stat.S_ISREG(mode):
            self.found.files.append(path)
        else:
            self._skip(path, "not a regular file")

    def _skip(self, path: str, reason: str) -> None:
        self.found.skipped.append(Skip(id=display_name(path), reason=reason))


def _numbers() -> array[int]:
    return array("Q")


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def walk_notes(found: Found, what: str) -> list[Note]:
    """What a user should know of the files that a walk for `what` left alone."""
    notes = []
    if found.other_suffixes:
        listing = ", ".join(f"{n} {suffix}" for suffix, n in sorted(found.other_suffixes.items()))
        message = f"files that are no {what}s were left alone: {listing}"
        notes.append(Note(code="other-files", message=message, severity="info"))
    if found.links_out:
        ids = tuple(display_name(link) for link in found.links_out)
        message = f"{len(ids)} links to outside the folder were followed: {few(ids)}"
        notes.append(Note(code="link-outside", message=message, ids=ids, severity="info"))
    if found.links_back:
        ids = tuple(display_name(link) for link in found.links_back)
        message = f"{len(ids)} links lead to folders that are read anyway or hold the data, and "
        message += f"were not followed: {few(ids)}"
        notes.append(Note(code="link-back", message=message, ids=ids, severity="info"))
    if found.made:
        ids = tuple(display_name(name) for name in found.made)
        message = f"folders that Striate wrote are no data and were left alone: {few(ids)}"
        notes.append(Note(code="output-folder", message=message, ids=ids, severity="info"))
    return notes


def class_notes(labels: Iterable[str | None]) -> list[Note]:
    """Remark on doubtful labels; whether a classifier can learn from them its task says.

    Args:
        labels: The label of each item; None where it has none.
    """
    classes = in_order({label for label in labels if label is not None})
    alike = defaultdict(list)
    for name in classes:
        alike[name.casefold().strip()].append(name)
    return [
        Note(
            code="similar-class-names",
            message=f"classes {' and '.join(map(repr, names))} differ only in case or spaces",
            advice="if they are one class, give them one name",
        )
        for names in alike.values()
        if len(names) > 1
    ]


def check_losses(items: Sequence[Item], skipped: Sequence[Skip]) -> None:
    """Refuse data of which too much would be left out.

    Args:
        items: Every item listed, those that turned out to be unreadable among them.
        skipped: What is left out; ids that are not among `items` were left out while listing.

    Raises:
        DataError: Over 5 % of all, or a whole class, would be gone; the reasons are counted.
    """
    gone = {skip.id for skip in skipped}
    total = len({item.id for item in items} | gone)
    left = Counter(item.label for item in items if item.id not in gone)
    lost = in_order({item.label for item in items if item.label and not left[item.label]})
    if lost:
        what = f"nothing of class {few([repr(name) for name in lost])} can be read"
    elif len(gone) > MAX_LOSS * total:
        what = f"{len(gone)} of {total} items cannot be read, more than {MAX_LOSS:.0%}"
    else:
        return
    raise DataError(
        what,
        why=reasons_for(skipped),
        fix="replace these files or take them out of the data",
    )


NUM_REASONS: Final = 5
"""Reasons that are named of many."""


def reasons_for(skipped: Sequence[Skip]) -> str:
    """Why items cannot be read: the commonest reasons, each with its number and an example.

    Reasons that differ in their numbers alone are one, told as that of the example.

    >>> reasons_for([Skip(id="a", reason="empty file"), Skip(id="b", reason="empty file")])
    'empty file (2, as a)'
    >>> reasons_for([Skip(id="a", reason="NaN at 3"), Skip(id="b", reason="NaN at 12")])
    'NaN at 3 (2, as a)'
    """
    alike: dict[str, list[Skip]] = defaultdict(list)
    for skip in skipped:
        alike[_DIGITS.sub("0", skip.reason)].append(skip)
    ranked = sorted(alike.values(), key=lambda skips: (-len(skips), skips[0].reason))
    why = ", ".join(f"{s[0].reason} ({len(s)}, as {s[0].id})" for s in ranked[:NUM_REASONS])
    more = len(ranked) - NUM_REASONS
    return why + (f", and {more} more reasons" if more > 0 else "")


def few(names: Sequence[str], count: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
