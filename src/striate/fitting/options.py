"""What a user can choose about a fit, checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from striate.errors import ArgumentError, UnknownNameError
from striate.kinds.image.symmetry import SYMMETRIES
from striate.typing import Kind

METHODS: Final = ("auto", "probe", "kernel", "finetune", "scratch")

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The options of `striate fit`.

    Attributes:
        model: name of a network; "auto" takes the offline default.
        weights: "imagenet", a file, or None for a random start; "auto" follows `method`.
        method: "probe" trains a linear head on frozen features, "kernel" a kernel machine on
            frozen features of every scale, "finetune" goes on from the probe, "scratch" starts from
            random weights; "auto" keeps the best of the first three.
        time: seconds the whole fit may take.
        epochs: number of epochs of fine-tuning; None plans them from `time`.
        symmetry: of the images, where labels do not depend on it: "identity", "mirror", "flips",
            "dihedral"; "auto" asks the probe.
        image_size: side of the network's input in pixels; None chooses from the data.
        seed: of the split, the augmentation and the training.
        device: "auto", "cpu" or "cuda".
        workers: threads that prepare batches beside the training.
        options: how signals, volumes or graphs become inputs, by name (see the feed of the kind).

    Raises:
        ArgumentError: a value that is not allowed.
    """

    model: str = "auto"
    weights: str | None = "auto"
    method: str = "auto"
    time: float = 600.0
    epochs: int | None = None
    symmetry: str = "auto"
    image_size: int | None = None
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method", self.method, METHODS)
        symmetries = ["auto", *SYMMETRIES]
        if self.symmetry not in symmetries:
            raise UnknownNameError("symmetry", self.symmetry, symmetries)
        _at_least("time", self.time, 1)
        _at_least("epochs", self.epochs, 1)
        _at_least("image-size", self.image_size, 8)
        _at_least("seed", self.seed, 0)
        _at_least("workers", self.workers, 0)

    def check_kind(self, kind: Kind) -> None:
        """Refuse what would be ignored for items of a kind.

        Raises:
            ArgumentError: an option that the kind does not have.
        """
        if kind == "image":
            if self.options:
                raise ArgumentError(
                    f"--option {next(iter(self.options))}", why="images have no such options"
                )
            return
        for option, given in (
            ("method kernel", self.method == "kernel"),
            ("symmetry", self.symmetry != "auto" and kind != "volume"),
            ("image-size", self.image_size is not None and kind != "volume"),
            ("workers", self.workers > 0),
        ):
            if given:
                raise ArgumentError(f"--{option}", why=f"it is of no use for a {kind}")

    def feed_options(self, kind: Kind) -> dict[str, Any]:
        """The options of a kind's feed, those with a name of their own among them."""
        options = dict(self.options)
        if kind == "volume" and self.image_size is not None:
            options["size"] = self.image_size
        if kind == "volume" and self.symmetry != "auto":
            options["symmetry"] = self.symmetry
        return options

    def choices(self) -> dict[str, Any]:
        """The options that decide the result: what a resumed run must share with its start."""
        return {k: v for k, v in asdict(self).items() if k not in ("workers", "device")}


def _at_least(option: str, value: float | None, least: float) -> None:
    if value is not None and value < least:
        raise ArgumentError(f"--{option} {value}", why=f"it must be at least {least}")


def parse_time(text: str | float) -> float:
    """A duration in seconds, from `90s`, `10m`, `1.5h`, `1h30m` or a number of seconds.

    Raises:
        ArgumentError: the text is no duration.

    >>> parse_time("10m"), parse_time("1h30m"), parse_time(45)
    (600.0, 5400.0, 45.0)
    """
    if isinstance(text, int | float):
        return float(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ArgumentError(f"--time {text!r}", why="it is no duration", fix="write 90s, 10m or 1h")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_options(texts: Sequence[str]) -> dict[str, str]:
    """Options by name, from texts like `input=mel`.

    Raises:
        ArgumentError: a text without `=`, or a name given twice.

    >>> parse_options(["input=mel", "window=-160,240"])
    {'input': 'mel', 'window': '-160,240'}
    """
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ArgumentError(f"--option {text!r}", fix="write NAME=VALUE")
        if name.strip() in options:
            raise ArgumentError(f"--option {name.strip()}", why="it is given twice")
        options[name.strip()] = value.strip()
    return options
