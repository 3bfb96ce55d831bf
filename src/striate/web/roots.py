"""Files that a page may show: reached by an opaque id, and only inside their folder."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


class RootedFiles:
    """Files below one folder, each under an id that says nothing of its path.

    No path is ever made from what a client sends: an id that was not given out is not found. When
    a file is read, its real path must still lie below the folder's, so that a link that was put in
    its place later leads nowhere.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve(strict=True)
        self._paths: dict[str, Path] = {}
        self._ids: dict[Path, str] = {}

    def add(self, path: Path) -> str:
        """The id of a file, given or anew.

        Args:
            path: The file, absolute or relative to the folder.

        Raises:
            KeyError: It is not below the folder.
        """
        real = self._real(self._folder / path)
        if real not in self._ids:
            self._ids[real] = secrets.token_urlsafe(16)
            self._paths[self._ids[real]] = real
        return self._ids[real]

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a file.

        Args:
            name: Its id.
            most_bytes: The largest size that is read.

        Raises:
            KeyError: There is no such id, or no regular file of that size below the folder any more.
        """
        path = self._paths[name]
        if self._real(path) != path:
            raise KeyError(name)
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | _NO_LINKS), "rb") as file:
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode) or facts.st_size > most_bytes:
                    raise KeyError(name)
                return file.read(most_bytes)
        except OSError:
            raise KeyError(name) from None

    def _real(self, path: Path) -> Path:
        """The real path of a file below the folder; raises KeyError."""
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise KeyError(str(path)) from None
        if not real.is_relative_to(self._folder):
            raise KeyError(str(path))
        return real


_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""The last name is no link, and a pipe that was put there does not block."""
