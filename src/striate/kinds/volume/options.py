"""What a user may choose about volumes, from Python's values or from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from striate.errors import ArgumentError, UnknownNameError
from striate.kinds.inputs import check_option_names
from striate.kinds.volume.augment import POLICIES, SYMMETRIES, Symmetry, VolumePolicy

Fit: TypeAlias = Literal["resize", "crop", "patch"]

_NUMBERS: Final[dict[str, tuple[Callable[[tuple[float, ...]], bool], str]]] = {
    "size": (
        lambda sizes: len(sizes) in (1, 3) and all(n >= 1 and n == int(n) for n in sizes),
        "it is one or three whole numbers from 1 up",
    ),
    "spacing": (
        lambda steps: len(steps) == 3 and min(steps) > 0,
        "it is three numbers above 0",
    ),
    "window": (
        lambda bounds: len(bounds) == 2 and bounds[0] < bounds[1],
        "it is two numbers, the lower first",
    ),
}
"""Options made of numbers: whether some are allowed, and what to say where they are not."""


@dataclass(frozen=True, kw_only=True)
class VolumeOptions:
    """The choices; None leaves one to the training volumes.

    Attributes:
        size: Voxels of an input along (depth, height, width); one number stands for three.
        fit: `resize`, `crop` or `patch` (see `VolumeInputs`); by default `crop` where the files tell
            their spacing, else `resize`.
        spacing: Three numbers in millimetres for (depth, height, width), or `ignore`; by default
            the median of the training volumes, made coarser where inputs would be over 64 voxels.
        window: Two values, the darkest and the brightest; by default the 0.5th and the 99.5th
            percentile of the training voxels.
        symmetry: Symmetry under which a label does not change (see `VolumePolicy`).
        augment: `none`, `gentle` or `strong`.
    """

    size: tuple[int, int, int] | None = None
    fit: Fit | None = None
    spacing: tuple[float, float, float] | Literal["ignore"] | None = None
    window: tuple[float, float] | None = None
    symmetry: Symmetry = "mirror"
    augment: str = "gentle"

    def policy(self) -> VolumePolicy:
        """How training varies volumes."""
        symmetry: Symmetry = "identity" if self.augment == "none" else self.symmetry
        return replace(POLICIES[self.augment], symmetry=symmetry)


def volume_options(given: Mapping[str, Any]) -> VolumeOptions:
    """The options as they are meant.

    >>> volume_options({"size": 32, "window": "-160,240"}).window
    (-160.0, 240.0)

    Args:
        given: Values by name: numbers, sequences, or text with commas between numbers.

    Raises:
        UnknownNameError: There is no such option, or it does not have a value of that name.
        ArgumentError: A value is not allowed.
    """
    check_option_names("volumes", given, [field.name for field in fields(VolumeOptions)])
    values = {name: value for name, value in given.items() if value is not None}
    for name, allowed in (("fit", get_args(Fit)), ("symmetry", SYMMETRIES), ("augment", POLICIES)):
        if name in values and values[name] not in allowed:
            raise UnknownNameError(f"{name} of volumes", str(values[name]), allowed)
    for name in _NUMBERS:
        if name in values and (name, values[name]) != ("spacing", "ignore"):
            values[name] = _numbers(name, values[name])
    if "size" in values:
        sizes = tuple(map(int, values["size"]))
        values["size"] = sizes * 3 if len(sizes) == 1 else sizes
    if values.get("spacing") not in (None, "ignore") and values.get("fit", "crop") != "crop":
        raise ArgumentError(
            f"spacing with fit={values['fit']}", why="only fit=crop keeps a spacing"
        )
    return VolumeOptions(**values)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    """One number or several, as values or as text, checked by the rule of the option's name."""
    given = value.split(",") if isinstance(value, str) else value
    parts: Iterable[Any] = given if isinstance(given, Iterable) else (given,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}={value!r}", why="it is made of numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"{name}={value!r}", why="it is made of finite numbers")
    allowed, rule = _NUMBERS[name]
    if not allowed(numbers):
        raise ArgumentError(f"{name}={value!r}", why=rule)
    return numbers


assert set(get_args(Symmetry)) == set(SYMMETRIES)
