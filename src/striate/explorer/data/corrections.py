"""Corrected labels, in a table that `striate fit --patch` takes; the data stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

from striate.data.snapshot import SnapshotItem
from striate.errors import ArgumentError, OptionError
from striate.files import check_output, csv_rows, csv_text, utf8_text, write_atomic
from striate.run.run import Run

COLUMNS: Final = ("id", "label", "was", "reason")
REASON: Final = "by hand"
OPTION: Final = "patch_out"


class Corrections:
    """What labels are to become, by the items' names.

    Args:
        run: The run whose items are corrected.
        items: Its items.
        path: The table that is written after each correction, and read now where it is there; None
            to write none.

    Raises:
        OptionError: There is a file that is no such table, or it is one of the data.
    """

    def __init__(self, run: Run, items: Sequence[SnapshotItem], path: Path | None = None) -> None:
        self._run, self._items, self._path = run, items, path
        self._lock = Lock()
        self._rows: dict[str, tuple[str, str, str, str]] = {}
        if path is not None:
            ours = path.is_file() and _is_patch(path)
            check_output(path, [run.record.data, run.folder.path], OPTION, ours=ours)
            if path.is_dir():
                raise OptionError(OPTION, str(path), why="it is a folder", fix="name a file")
            if ours:
                self._rows = _read(path)

    def document(self) -> dict[str, Any]:
        """The corrections by the number of the item, and where they are saved."""
        numbers = {utf8_text(item.id): number for number, item in enumerate(self._items)}
        with self._lock:
            rows = list(self._rows.values())
        return {
            "path": None if self._path is None else str(self._path),
            "corrections": [
                {"item": numbers[row[0]], "label": row[1], "reason": row[3]}
                for row in rows
                if row[0] in numbers
            ],
        }

    def correct(self, number: int, label: str | None) -> dict[str, Any]:
        """Set what an item's label is to become, and write the table.

        Args:
            number: The item.
            label: Its right class; empty to leave the item out, None to take a correction back.

        Raises:
            ArgumentError: There is no such item or class, or no table to write.
        """
        if self._path is None:
            raise ArgumentError("nothing to save to", fix="start with `patch_out=`")
        if not 0 <= number < len(self._items):
            raise ArgumentError(f"item {number}", why=f"there are {len(self._items)}")
        allowed = self._run.classes if self._run.task.one_class else ()
        if label and label not in map(utf8_text, allowed):
            raise ArgumentError(f"label {label[:80]!r}", why="the run knows no such class")
        item = self._items[number]
        with self._lock:
            self._rows.pop(utf8_text(item.id), None)
            if label is not None:
                self._rows[utf8_text(item.id)] = (item.id, label, item.label, REASON)
            write_atomic(self._path, csv_text(COLUMNS, list(self._rows.values())).encode())
        return self.document()


def _is_patch(path: Path) -> bool:
    """Whether a file is a table of corrections that Striate wrote."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().strip() == ",".join(COLUMNS)
    except (OSError, UnicodeDecodeError):
        return False


def _read(path: Path) -> dict[str, tuple[str, str, str, str]]:
    """The rows of such a table, by the items' names."""
    try:
        rows = csv_rows(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(OPTION, str(path), why=str(error), fix="choose another name") from None
    return {row["id"]: (row["id"], row["label"], row["was"], row["reason"]) for row in rows}
