"""Checksums of a run's files, by which damage and later changes are noticed.

`SHA256SUMS` holds those of a finished run, in the form that `sha256sum -c SHA256SUMS` reads. Its last
line, a comment for that program, holds the checksum of the lines before. A JSON file that changes
while a fit goes on holds its checksum itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

CHECKSUMS: Final = "SHA256SUMS"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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


def _seal(lines: bytes) -> bytes:
    return f"# {sha256(lines)} of the lines above\n".encode()
