"""What several commands share: arguments and options, and how results are printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias

from typer import Argument, Option

from striate.errors import OptionError

RunPath: TypeAlias = Annotated[Path, Argument(metavar="RUN", help="Run folder of a finished fit.")]
AsJson: TypeAlias = Annotated[bool, Option("--json", help="Print one JSON document.")]
Device: TypeAlias = Annotated[str, Option(help="auto, cpu or cuda.")]

Engine: TypeAlias = Annotated[
    str,
    Option(
        help="auto (the fastest by `striate engines RUN --measure`, for more than 16 items), torch, "
        "onnx or openvino."
    ),
]


def is_first() -> bool:
    """Whether this process speaks: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


class Printable(Protocol):
    """A result that is printed for a person or for a program."""

    def as_json(self) -> dict[str, Any]:
        """The document."""

    def as_text(self) -> str:
        """The lines."""


def print_result(result: Printable, json: bool) -> int:
    """Print a result as text or as one JSON document; the exit code of success."""
    if json:
        print_json(result.as_json())
    else:
        print(result.as_text())
    return 0


def print_json(document: Any) -> None:
    """Print one JSON document."""
    import json

    print(json.dumps(document, indent=2))


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned columns, whole numbers to the right; the first row is the head."""
    columns = [_aligned(column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(cell.replace(",", "").isdigit() for cell in column[1:] if cell.strip("-"))
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]


def parse_options(texts: Iterable[str], option: str = "option") -> dict[str, str]:
    """Options of a kind by name, from texts like `input=mel`.

    Args:
        texts: What the user wrote.
        option: The option that the texts are of.

    Raises:
        ArgumentError: A text has no `=`, or a name is given twice.

    >>> parse_options(["input=mel", "window=-160,240"])
    {'input': 'mel', 'window': '-160,240'}
    """
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise OptionError(option, text, fix="write NAME=VALUE")
        if name.strip() in options:
            raise OptionError(option, name.strip(), why="it is given twice")
        options[name.strip()] = value.strip()
    return options
