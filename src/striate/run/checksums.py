"""Checksums of a run's files, by which damage and later changes are noticed.

`SHA256SUMS` holds those of a finished run, in the form that `sha256sum -c SHA256SUMS` reads. Its last
line, a comment for that program, holds the checksum of the lines before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from striate.files import sha256

CHECKSUMS: Final = "SHA256SUMS"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


def checksum_lines(sums: Mapping[str, str]) -> bytes:
    """The content of `SHA256SUMS`.

    Args:
        sums: The SHA-256 of each file, by name.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()
    return lines + _seal(lines)


def read_checksums(content: bytes) -> dict[str, str] | None:
    """The SHA-256 of each file, by name; None where the content is not as it was written."""
    length = len(_seal(b""))
    lines, seal = content[:-length], content[-length:]
    if seal != _seal(lines):
        return None
    found = map(_LINE.fullmatch, lines.decode().splitlines())
    return {match[2]: match[1] for match in found if match}


def _seal(lines: bytes) -> bytes:
    return f"# {sha256(lines)} of the lines above\n".encode()
