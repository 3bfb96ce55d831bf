"""The content of files, read so that no file can hang or fool the reader.

Every function takes a file's path or, where it is in memory already, its bytes.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from striate.data.source import FileContent, TooLargeItem, UnreadableItem
from striate.errors import DataError
from striate.files import os_reason


def read_content(data: FileContent, max_bytes: int) -> bytes:
    """All bytes of a file.

    Raises:
        UnreadableItem: The file cannot be read, is empty, or holds more than `max_bytes`.
    """
    with opened(data) as file:
        length = file.seek(0, os.SEEK_END)
        if length > max_bytes:
            raise TooLargeItem(f"{length} bytes, over the limit of {max_bytes}")
        file.seek(0)
        content = file.read()
    if not content:
        raise UnreadableItem("empty file")
    return content


@contextmanager
def opened(data: FileContent) -> Iterator[io.BufferedReader | io.BytesIO]:
    """A regular file for reading from its beginning.

    A FIFO or a device is not opened, and one that takes the place of a file just then does not
    hang, for files are opened without blocking.

    Raises:
        UnreadableItem: The file cannot be opened, or reading it fails.
    """
    if isinstance(data, bytes):
        yield io.BytesIO(data)
        return
    if "\0" in str(data):
        raise UnreadableItem("not a file name")
    try:
        _check_regular(data.stat())
        descriptor = os.open(data, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check_regular(os.fstat(descriptor))
            yield file
    except OSError as error:  # gzip's own errors have no number
        raise UnreadableItem(os_reason(error) if error.errno else str(error)) from None


@contextmanager
def refusing(what: object, fix: str = "") -> Iterator[None]:
    """Refuse the data as a whole where something that is read meanwhile is unreadable.

    Args:
        what: The file, for the message.
        fix: What the user can do about it.

    Raises:
        DataError: It is, with the reason.
    """
    try:
        yield
    except UnreadableItem as error:
        raise DataError(f"cannot read {what}", why=error.reason, fix=fix) from None


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableItem("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableItem("not a regular file")


def head_of(data: FileContent, count: int) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with opened(data) as file:
            return file.read(count)
    except UnreadableItem:
        return b""


def length_of(data: FileContent) -> int:
    """The number of bytes in a file.

    Raises:
        UnreadableItem: There is no such file.
    """
    with opened(data) as file:
        return file.seek(0, os.SEEK_END)


def sha256_of(data: FileContent) -> str:
    """The SHA-256 of a file, which is read a part at a time.

    Raises:
        UnreadableItem: The file cannot be read.
    """
    with opened(data) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_of(content: bytes) -> str:
    """A file's content as UTF-8, with or without a byte-order mark, or as UTF-16 with one.

    Raises:
        UnreadableItem: It is neither; the reason names the first such line.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableItem(f"line {line} is not UTF-8") from None
