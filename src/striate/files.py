"""Files written whole or not at all, and where they may lie."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from striate.errors import StorageError


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV document; text that a spreadsheet would run as a formula gets a leading quote."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_escape_cell(column) for column in columns])
    writer.writerows([_escape_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def _escape_cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell.encode("utf-8", "backslashreplace").decode()
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "'") and text else text


def unescape_cell(cell: str) -> str:
    """A cell as it was before `csv_text` wrote it."""
    return cell[1:] if cell[:1] == "'" else cell


def user_cache_folder() -> Path:
    """Where Striate keeps what can be made again: $STRIATE_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("STRIATE_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "striate"


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises:
        StorageError: it could not be written, or not be made durable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(path, len(content), error) from None


def storage_error(path: Path, needed: int, error: OSError) -> StorageError:
    """The error for a file of `needed` bytes that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free
        return StorageError(
            f"no space for {str(path)!r}",
            why=f"needs {size_text(needed)}, {size_text(free)} free",
            fix="free some space, or choose another folder with --out",
        )
    return StorageError(f"cannot write {str(path)!r}", why=error.strerror or str(error))


def size_text(num_bytes: float) -> str:
    """Bytes as a person writes them.

    >>> size_text(999), size_text(17_400_000)
    ('999 B', '17.4 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
