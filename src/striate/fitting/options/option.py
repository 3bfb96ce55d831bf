"""How one option is declared, and what follows from its declaration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field
from numbers import Integral, Real
from os import PathLike, fspath
from textwrap import fill
from typing import Any, Final, Literal

from striate.errors import OptionError, UnknownNameError

Scope = Literal["fit", "kind", "method"]

_DOCSTRING_WIDTH: Final = 100

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


def option(
    default: Any,
    text: str,
    *,
    panel: str,
    scope: Sequence[Scope] = ("fit",),
    choices: Sequence[str] = (),
    registered: bool = False,
    neutral: Sequence[str] = (),
    minimum: float | None = None,
    metavar: str = "",
    decides: bool = True,
) -> Any:
    """The declaration of an option.

    Args:
        default: Value where the user says nothing.
        text: Explanation for the user, in whole sentences.
        panel: Group under which the command line lists the option.
        scope: "fit" for an option that always acts; "kind" for one that acts where the kind of
            the data names it; "method" for one that acts where a method that is tried uses it.
        choices: Values that are allowed, where they can be listed.
        registered: Whether a registry checks the value, which may hold more than `choices`.
        neutral: Values that ask for what a method without the option does anyway.
        minimum: Lowest value that is allowed.
        metavar: How the command line shows the value.
        decides: Whether the result depends on it, so that a resumed fit must have the same value.
    """
    metadata = {
        "text": text,
        "panel": panel,
        "scope": tuple(scope),
        "choices": tuple(choices),
        "registered": registered,
        "neutral": tuple(neutral),
        "minimum": minimum,
        "metavar": metavar,
        "decides": decides,
    }
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


_NUMBERS: Final = {
    "int": (Integral, "it must be a whole number"),
    "float": (Real, "it must be a number"),
}


def parse_time(text: str | float) -> float:
    """A duration in seconds, from `90s`, `10m`, `1.5h`, `1h30m` or a number of seconds.

    Raises:
        OptionError: It is no duration.

    >>> parse_time("10m"), parse_time("1h30m"), parse_time(45)
    (600.0, 5400.0, 45.0)
    """
    if _is(text, Real):
        return float(text)
    written = text if isinstance(text, str) else ""
    if re.fullmatch(r"\d+(\.\d+)?", written):
        return float(written)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise OptionError("time", text, why="it is no duration", fix="write 90s, 10m or 1h")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def numbers_of(option: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name, of texts too.

    Args:
        option: The option that has them, for the error.
        values: What the user gave.

    Raises:
        ArgumentError: A value is no number.
    """
    try:
        return {str(name): float(value) for name, value in values.items()}
    except (AttributeError, TypeError, ValueError):
        raise OptionError(option, values, fix="give a number for the name of a class") from None


def plain(value: Any) -> Any:
    """A value as JSON takes it: numbers of NumPy as Python's, and paths as text.

    >>> from pathlib import PurePath
    >>> plain({"size": (1, 2), "weights": PurePath("a.pt")})
    {'size': (1, 2), 'weights': 'a.pt'}
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {plain(name): plain(content) for name, content in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def default_of(declared: Field[Any]) -> Any:
    """The value of an option where the user says nothing, as `FitOptions` keeps it."""
    if declared.default is not MISSING:
        # `time` is kept in seconds.
        return parse_time(declared.default) if declared.name == "time" else declared.default
    return {}


def check_value(declared: Field[Any], value: Any) -> None:
    """Refuse a value that an option does not allow.

    Args:
        declared: The option.
        value: What the user gave.

    Raises:
        UnknownNameError: It is none of the choices.
        OptionError: It is of another type, or below the minimum.
    """
    # `time` is text or a number; it is read, and refused, by itself.
    types = set(str(declared.type).split(" | "))
    wanted = next((name for name in _NUMBERS if name in types and "str" not in types), None)
    if wanted is not None and not (value is None and "None" in types):
        number, why = _NUMBERS[wanted]
        if not _is(value, number) or not math.isfinite(value):
            raise OptionError(declared.name, value, why=why)
    choices = declared.metadata["choices"]
    if choices and not declared.metadata["registered"] and value not in choices:
        raise UnknownNameError(declared.name, str(value), choices)
    minimum = declared.metadata["minimum"]
    if minimum is not None and value is not None and value < minimum:
        raise OptionError(declared.name, value, why=f"it must be at least {minimum}")


def _is(value: Any, number: type) -> bool:
    """Whether a value is such a number; the two truth values are none."""
    return isinstance(value, number) and not isinstance(value, bool)


def annotation_of(declared: Field[Any]) -> Any:
    """The type that `help` shows for an option."""
    choices = declared.metadata["choices"]
    return Literal[choices] if choices else declared.type


def described(declared: Field[Any]) -> str:
    """The lines of a docstring on an option."""
    choices = declared.metadata["choices"]
    allowed = f" One of {', '.join(choices)}." if choices else ""
    default = declared.default if declared.default is not MISSING else {}
    text = f"{declared.name}: {declared.metadata['text']}{allowed} Default: {default!r}."
    return fill(
        text,
        width=_DOCSTRING_WIDTH,
        initial_indent=" " * 8,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )
