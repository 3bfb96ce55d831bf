"""What a user may choose about volumes, from Python's values or from text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from striate.errors import ArgumentError, UnknownNameError
from striate.kinds.volume.augment import POLICIES, SYMMETRIES, Symmetry, VolumePolicy

FITS: Final = ("resize", "crop", "patch")


@dataclass(frozen=True, kw_only=True)
class VolumeOptions:
    """The choices; None leaves one to the training volumes.

    Attributes:
        size: voxels of an input along (depth, height, width); one number stands for three.
        fit: `resize`, `crop` or `patch` (see `VolumeFeed`); by default `crop` where the files tell
            their spacing, else `resize`.
        spacing: three numbers in millimetres for (depth, height, width), or `ignore`; by default
            the median of the training volumes, made coarser where inputs would be over 64 voxels.
        window: two values, the darkest and the brightest; by default the 0.5th and the 99.5th
            percentile of the training voxels.
        symmetry: under which a label does not change (see `VolumePolicy`).
        augment: `none`, `gentle` or `strong`.
    """

    size: tuple[int, int, int] | None = None
    fit: Literal["resize", "crop", "patch"] | None = None
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
        given: by name; numbers, sequences, or text with commas between numbers.

    Raises:
        UnknownNameError: no such option, or a name that an option does not have.
        ArgumentError: a value that is not allowed.
    """
    known = list(VolumeOptions.__dataclass_fields__)
    for name in given:
        if name not in known:
            raise UnknownNameError("option of volumes", name, known)
    values = {name: value for name, value in given.items() if value is not None}
    for name, allowed in (("fit", FITS), ("symmetry", SYMMETRIES), ("augment", POLICIES)):
        if name in values and values[name] not in allowed:
            raise UnknownNameError(f"{name} of volumes", str(values[name]), allowed)
    if "size" in values:
        values["size"] = tuple(int(value) for value in _sizes(values["size"]))
    if "spacing" in values and values["spacing"] != "ignore":
        values["spacing"] = _positive("spacing", values["spacing"])
    if "window" in values:
        values["window"] = _window(values["window"])
    if values.get("spacing") not in (None, "ignore") and values.get("fit", "crop") != "crop":
        raise ArgumentError(
            f"spacing with fit={values['fit']}", why="only fit=crop keeps a spacing"
        )
    return VolumeOptions(**values)


def _sizes(value: Any) -> tuple[float, ...]:
    sizes = _numbers("size", value)
    sizes = sizes * 3 if len(sizes) == 1 else sizes
    if len(sizes) != 3 or any(size < 1 or size != int(size) for size in sizes):
        raise ArgumentError(f"size={value!r}", why="it is one or three whole numbers from 1 up")
    return sizes


def _positive(name: str, value: Any) -> tuple[float, ...]:
    numbers = _numbers(name, value)
    if len(numbers) != 3 or min(numbers) <= 0:
        raise ArgumentError(f"{name}={value!r}", why="it is three numbers above 0")
    return numbers


def _window(value: Any) -> tuple[float, ...]:
    window = _numbers("window", value)
    if len(window) != 2 or window[0] >= window[1]:
        raise ArgumentError(f"window={value!r}", why="it is two numbers, the lower first")
    return window


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    parts: Iterable[Any] = (
        value.split(",")
        if isinstance(value, str)
        else (value if isinstance(value, Iterable) else (value,))
    )
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}={value!r}", why="it is made of numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"{name}={value!r}", why="it is made of finite numbers")
    return numbers


assert set(get_args(Symmetry)) == set(SYMMETRIES)
