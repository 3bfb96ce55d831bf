"""Files written whole or not at all, locks between processes, and where files may lie."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from striate.errors import OptionError, StorageError

_DISK_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})

_ESCAPED: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""How text begins that a spreadsheet would run as a formula, or that could be taken for escaped."""

_REASONS: Final = {
    errno.ENOENT: "file not found",
    errno.ENOTDIR: "file not found",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.EISDIR: "a folder, not a file",
    errno.ENAMETOOLONG: "path too long",
    errno.ELOOP: "a loop of links",
    errno.ENXIO: "not a regular file",
}


OUTPUT: Final = ".striate"
"""An empty file in every folder that Striate made for what it writes."""

OUTPUT_MARKS: Final = (OUTPUT, "data.lock.json")
"""Names by which such a folder is known; earlier versions wrote no mark into a run's."""


def os_reason(error: OSError) -> str:
    """What an error of the operating system means for a file that was to be read."""
    known = _REASONS.get(error.errno or 0)
    return known or (error.strerror or str(error)).lower()


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV document; text that a spreadsheet would run as a formula gets a leading quote.

    `csv_rows` reads it back.
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_escape_cell(column) for column in columns])
    writer.writerows([_escape_cell(cell) for cell in row] for row in rows)
    return out.getvalue()


def csv_rows(document: str) -> list[dict[str, str]]:
    """The rows of a document that `csv_text` wrote, by the names of the columns."""
    lines = csv.reader(StringIO(document, newline=""))
    header, *rows = ([_unescape_cell(cell) for cell in line] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def utf8_text(text: str) -> str:
    """Text with what UTF-8 cannot hold (a name of odd bytes) made visible, as in a CSV document."""
    return text.encode("utf-8", "backslashreplace").decode()


def _escape_cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = utf8_text(cell)
    return "'" + text if text[:1] in _ESCAPED and text else text


def _unescape_cell(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" else cell


def unescaped(cell: str) -> str:
    """A cell as it was before `csv_text` escaped it; text that a person began with ' stays.

    >>> unescaped("'-1"), unescaped("-1"), unescaped("'tis")
    ('-1', '-1', "'tis")
    """
    return cell[1:] if cell[:1] == "'" and cell[1:2] and cell[1] in _ESCAPED else cell


def holds_output(folder: Path) -> bool:
    """Whether Striate wrote a folder: that of a run, finished or not, or of explanations."""
    return any((folder / mark).exists() for mark in OUTPUT_MARKS)


def mark_output(folder: Path) -> None:
    """Make a folder for output; a new or empty one gets the mark by which it is known as such.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / OUTPUT).touch()


def missing_folders(folder: Path) -> list[Path]:
    """Of a folder and those around it the ones that are not there, the innermost first."""
    around = (folder, *folder.parents)
    return [path for path in around if not os.path.exists(path)]  # noqa: PTH110 - where no permission is, Path.exists raises


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that were made for what is not written after all, unless they hold something.

    Args:
        folders: What `missing_folders` gave before they were made.
    """
    if folders and {path.name for path in folders[0].glob("*")} == {OUTPUT}:
        (folders[0] / OUTPUT).unlink()
    with contextlib.suppress(OSError):  # the first that holds something ends it
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def folder_for_work(folder: Path) -> Iterator[None]:
    """Make a folder, and those around it; if the work in it fails, they go again while empty.

    Raises:
        OSError: It cannot be made.
    """
    made = missing_folders(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        remove_empty(made)
        raise


def check_output(
    path: Path,
    inputs: Iterable[object],
    option: str,
    *,
    ours: bool | None = None,
    makes_folder: bool = False,
) -> None:
    """Refuse to write a file that would replace one of the user's.

    Args:
        path: The file to be written.
        inputs: What is read for it: the paths among it are kept, and what lies below a folder
            unless it is seen to be an output.
        option: The option that names the file, or its folder.
        ours: Whether a file that lies there is seen to be such an output of an earlier time; None
            where that cannot be seen.
        makes_folder: Whether its folder is made where there is none.

    Raises:
        OptionError: There is no such folder, or it would replace an input, a file that is no such output, or what is no file.
    """
    why = _cannot_be_replaced(path)
    if why is None and not makes_folder and not _is_folder(path.parent):
        why = f"there is no folder {str(path.parent)!r}"
        raise OptionError(option, str(path), why=why, fix="make it first, or choose another name")
    if why is not None:
        why = f"{str(path)!r} is {why}"
        raise OptionError(option, str(path), why=why, fix="choose another name")
    if not path.is_file() or path.stat().st_size == 0:
        return
    given = [Path(entry) for entry in inputs if isinstance(entry, str | os.PathLike)]
    if any(_holds(entry, path, below=not ours) for entry in given):
        why = f"{str(path)!r} is one of the inputs"
    elif ours is False:
        why = f"{str(path)!r} is there, and Striate did not write it"
    else:
        return
    raise OptionError(option, str(path), why=why, fix="choose another name")


def check_output_folder(folder: Path, inputs: Iterable[object], option: str) -> None:
    """Refuse to write files among the user's data, where they would be taken for items later.

    Args:
        folder: The folder to write to. A new or empty one is marked as output, and so never read.
        inputs: What is read: the folders among it are kept as they are, with all that is below.
        option: The option that names the folder.

    Raises:
        OptionError: It is a file; or the folder holds files, Striate did not make it, and it is one
            of the inputs or lies in one.
    """
    if os.path.exists(folder) and not _is_folder(folder):  # noqa: PTH110 - as above
        why = f"{str(folder)!r} is a file, and a folder is needed"
        raise OptionError(option, str(folder), why=why, fix="choose another name")
    if not folder.is_dir() or not any(folder.iterdir()) or holds_output(folder):
        return
    given = [Path(entry) for entry in inputs if isinstance(entry, str | os.PathLike)]
    if any(_is_folder(entry) and _holds(entry, folder, below=True) for entry in given):
        why = f"{str(folder)!r} is a folder of the data: what is written there would be an item"
        raise OptionError(option, str(folder), why=why, fix="choose a new folder")


def _cannot_be_replaced(path: Path) -> str | None:
    """What lies under a name where that is no file, such as a device; None where one may be written."""
    if _is_folder(path):
        return "a folder, not a file"
    there = os.path.exists(path)  # noqa: PTH110 - Path.exists raises on over-long names
    return "not a regular file" if there and not path.is_file() else None


def _is_folder(entry: Path) -> bool:
    return os.path.isdir(entry)  # noqa: PTH112 - Path.is_dir raises on over-long names


def _holds(entry: Path, path: Path, *, below: bool) -> bool:
    """Whether a path is a file, or a folder around it; not so a name that no file can have."""
    if not os.path.exists(entry):  # noqa: PTH110 - Path.exists raises on over-long names
        return False
    return path.samefile(entry) or (
        below and entry.is_dir() and path.resolve().is_relative_to(entry.resolve())
    )


def user_cache_folder() -> Path:
    """The folder of files that can be made again: $STRIATE_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("STRIATE_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("striate", appauthor=False)


class FileInUseError(OSError):
    """Another process holds a lock file.

    Args:
        owner: The number of that process, or "another program" where it is not known.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(errno.EAGAIN, f"in use by process {owner}")
        self.owner = owner


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file for this process; the system lets go of it when the process ends.

    Args:
        path: The lock file, which is made where it is missing. The number of the process that
            holds it is written into a file beside it, since a locked file cannot be read
            everywhere.

    Raises:
        FileInUseError: Another process holds it.
        StorageError: It cannot be written.
    """
    from filelock import FileLock, Timeout

    owner = path.with_name(f"{path.name}-owner")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        held_by = owner.read_text().strip() if owner.is_file() else ""
        raise FileInUseError(held_by or "another program") from None
    except OSError as error:
        raise storage_error(path, None, error) from None
    try:
        try:
            owner.write_text(str(os.getpid()))
        except OSError as error:
            raise storage_error(owner, None, error) from None
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises:
        StorageError: The file could not be written, or not be made durable.
    """
    with atomic_file(path, len(content)) as file:
        file.write(content)


@contextlib.contextmanager
def atomic_file(
    path: Path, needed: int | None = None, *, folder: Path | None = None
) -> Iterator[BinaryIO]:
    """A file to write to, which is there under its name once all of it is written, or not at all.

    Where a link has the name, the file that it leads to is written. What is no file is left alone:
    whoever may write to `/dev` would put a file in the place of a device.

    Args:
        path: The file.
        needed: The number of its bytes, where it is known.
        folder: A folder of the same file system for what is not finished; the file's own by
            default.

    Raises:
        StorageError: The file could not be written, or not be made durable.
    """
    if (what := _cannot_be_replaced(path)) is not None:
        raise StorageError(f"cannot write {str(path)!r}", why=what, fix="choose another name")
    path = path.resolve() if path.is_symlink() else path
    temporary = (folder or path.parent) / f".{path.name}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _make_folder_durable(path.parent)
    except OSError as error:
        raise storage_error(path, needed, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def is_half_written(path: Path) -> bool:
    """Whether a file is what `atomic_file` writes to until all is written; by its name."""
    return re.fullmatch(r"\..+\.\d+", path.name) is not None


def _make_folder_durable(folder: Path) -> None:
    """Make the names in a folder durable, where the system can open a folder at all."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(
    path: Path,
    needed: int | None,
    error: OSError,
    *,
    fix: str = "free some space, or choose another folder with `out=`",
) -> StorageError:
    """The error of a file that could not be written.

    Args:
        path: The file.
        needed: The number of its bytes, where it is known.
        error: What the system said.
        fix: What the user can do about it.
    """
    if error.errno in _DISK_FULL:
        free = f"{size_text(shutil.disk_usage(path.parent).free)} free"
        why = free if needed is None else f"needs {size_text(needed)}, {free}"
        return StorageError(f"no space for {str(path)!r}", why=why, fix=fix)
    if error.errno == errno.ENOENT and not _is_folder(path.parent):
        why, fix = f"there is no folder {str(path.parent)!r}", "make it, or choose another name"
        return StorageError(f"cannot write {str(path)!r}", why=why, fix=fix)
    return StorageError(f"cannot write {str(path)!r}", why=error.strerror or str(error), fix=fix)


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
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sealed_json(document: Mapping[str, Any]) -> bytes:
    """A JSON document whose last key is `sha256`, the checksum of what stands before it.

    Args:
        document: Has no such key; NaN and infinities are refused.
    """
    text = json.dumps(document, indent=2, allow_nan=False).removesuffix("\n}")
    return f'{text},\n  "sha256": "{sha256(text.encode())}"\n}}'.encode()


def read_sealed_json(content: bytes) -> dict[str, Any] | None:
    """What `sealed_json` was given; None where a bit of the content is another."""
    try:
        document: dict[str, Any] = json.loads(content)
        document.pop("sha256")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return document if sealed_json(document) == content else None


def sealed(content: bytes) -> bytes:
    """Bytes with their SHA-256 behind them, for files of the cache.

    >>> unsealed(sealed(b"maps")), unsealed(sealed(b"maps")[:-1]), unsealed(b"")
    (b'maps', None, None)
    """
    return content + hashlib.sha256(content).digest()


def unsealed(content: bytes) -> bytes | None:
    """What `sealed` was given; None where a bit of the content is another."""
    length = hashlib.sha256().digest_size
    held = content[:-length]
    return held if len(content) >= length and sealed(held) == content else None
