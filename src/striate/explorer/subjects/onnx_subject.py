"""The network of an ONNX file, with a built-in item or files of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.source import UnreadableItem
from striate.data.unlabelled import Input
from striate.errors import DataError, EngineError
from striate.explorer.onnx.file import read_onnx
from striate.explorer.onnx.network import OnnxNetwork, read_network
from striate.explorer.onnx.parts import parts_of
from striate.explorer.onnx.runtime import in_onnx_runtime
from striate.explorer.subjects.imagenet import NUM_CLASSES, imagenet_names
from striate.explorer.subjects.own_items import read_item, read_whole
from striate.explorer.subjects.sample_items import NAMES, sample
from striate.explorer.subjects.subject import Entry, Opened, Subject
from striate.explorer.walked import Walked
from striate.kinds.image.framing import FRAMINGS
from striate.kinds.image.inputs import ImageInputs
from striate.weights.preprocessing import IMAGENET, Preprocessing

TOLERANCE: Final = 1e-3
"""Difference from ONNX Runtime's logits, relative to the largest, that is refused."""

_TINY: Final = 1e-6
"""Logits below it count as 0."""

_FULL_SCALE: Final = 255.0

_UNIT: Final = 12.0
"""Normalized pixels are not larger."""

_MAX_SIDE: Final = 4096
"""Pixels of a side that a file may ask for."""


class OnnxSubject(Subject):
    """The network of an ONNX file, without what prepares an item and what follows the logits.

    A file that Striate exported says how pictures are prepared and what its classes are. Of another
    the page has to suppose both, and says so. Its logits are compared with ONNX Runtime's.

    Args:
        path: The file.
        shape: (channels, *space) of items, as far as the file leaves them open; None for what
            suits it.
        files: Pictures, series or volumes of the user's.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        DataError: The file cannot be read or holds something that the page cannot compute, or one
            of the user's cannot be read.
        ArgumentError: The file takes no items of this shape.
    """

    network: OnnxNetwork

    def __init__(
        self, path: Path, shape: tuple[int, ...] | None = None, files: Sequence[Path] = ()
    ) -> None:
        self.file = read_onnx(path)
        self.name = str(path)
        self.parts = parts_of(self.file, shape)
        self.network = self.parts.network
        self.shape = self.parts.shape
        self._pictures = _pictures(self.file.card, self.shape)
        self._scale = self._pixel_scale()
        self.classes = _classes(self.file.card, self.parts.outputs)
        self._answering = self._answering_network()
        for file in files:
            self._read(file)
        self._given: list[Input | None] = [*files, None]
        names = [*(file.name for file in files), NAMES[len(self.shape) - 1]]
        self.entries = [Entry(name=name) for name in names]
        self.notes = [*self._remarks(), self._compared()]

    def open(self, number: int) -> Opened:
        """Read a file, or draw the sample."""
        given = self._given[number]
        raw = sample(self.shape) if given is None else self._read(given)
        x = self._prepared(raw)
        answer, probabilities = self._answer(x)
        return Opened(x=x, raw=raw, answer=answer, probabilities=probabilities)

    def add(self, name: str, content: bytes) -> None:
        """Take the content of a file as one more item."""
        self._read(content)
        self._given.append(content)
        self.entries.append(Entry(name=name))

    def _read(self, given: Input) -> NDArray[Any]:
        """A file or its content, as the file's card wants it, or brought to the network's shape."""
        if self._pictures is None:
            return read_item(given, self.shape, self.decoder)
        reading = read_whole(given, self.shape, self.decoder, self._pictures.read_size)
        try:
            return self._pictures.checked(reading).array
        except UnreadableItem as error:
            raise DataError("cannot take this picture", why=str(error)) from None

    def _prepared(self, raw: NDArray[Any]) -> Tensor:
        """What the network takes, of an item as it is drawn."""
        with torch.no_grad():
            x: Tensor = self.parts.preparing(self._given_as(raw))
        return x.contiguous()

    def _given_as(self, raw: NDArray[Any]) -> Tensor:
        """What the file takes, its whole numbers in float32 too."""
        x = torch.from_numpy(raw)[None]
        x = self._scale.normalize(x) if raw.dtype == np.uint8 else x.float()
        if self.file.input_dtype == "uint8":
            x = x.round().clamp(0, _FULL_SCALE)
        return x.movedim(1, -1) if self.parts.channels_last else x

    def _pixel_scale(self) -> Preprocessing:
        """How 8-bit pixels are scaled: as the file's card or its first steps have it, or guessed."""
        channels = self.shape[0]
        as_stored = Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels, full_scale=1.0)
        if self.file.input_dtype == "uint8":
            return as_stored
        if self.file.card:
            low, high = _value_range(self.file.card)
            scale = (high - low) / _FULL_SCALE
            return replace(as_stored, mean=(-low / scale,) * channels, std=(1 / scale,) * channels)
        if not self._scales_pixels:
            return IMAGENET.for_channels(channels)
        black, white = self._ends_of_scale(_FULL_SCALE)
        is_of_bytes = white <= _UNIT or black > _UNIT
        return as_stored if is_of_bytes else replace(as_stored, full_scale=_FULL_SCALE)

    @property
    def _scales_pixels(self) -> bool:
        """Whether the file begins with steps that change the scale of an item."""
        return self._ends_of_scale(1.0) != (0.0, 1.0)

    def _ends_of_scale(self, white: float) -> tuple[float, float]:
        """What black and white become at most by the file's first steps, without their signs."""
        given = torch.zeros(1, *self.parts.preparing.input_shape)
        with torch.no_grad():
            ends = [self.parts.preparing(given + level) for level in (0.0, white)]
        return float(ends[0].abs().max()), float(ends[1].abs().max())

    def _answering_network(self) -> OnnxNetwork | None:
        """From what the network takes to what the file answers; None where the logits tell it."""
        if not self.parts.answers:
            return None
        try:
            return read_network(self.file, self.network.given, self.parts.answers, self.shape)
        except DataError:
            return None

    def _answer(self, x: Tensor) -> tuple[str, tuple[float, ...]]:
        """What the file says of an item: in words, and the probabilities of its classes."""
        if self._answering is None:
            return "", ()
        with torch.no_grad():
            told = self._answering(x).reshape(-1).tolist()
        if len(told) != self.parts.outputs or not (self.classes or self.parts.ending):
            return ", ".join(f"{number:.4g}" for number in told[:1]), ()
        best = int(np.argmax(told))
        name = self.classes[best] if self.classes else f"output {best}"
        return f"{name} {told[best]:.1%}", tuple(told)

    def _remarks(self) -> Iterator[str]:
        """What a user should know of how the file was read."""
        if not self.file.card:
            yield self._remark_on_scale()
        elif self._pictures is None:
            yield "Files are brought to the network's size; how the run prepared them is not in it."
        if self.parts.ending:
            yield f"The file ends in {self.parts.ending}; the page shows the logits before it."
        if self.parts.views > 1:
            yield (
                f"The file averages the answers over {self.parts.views} copies of an item, turned or "
                "mirrored; the page shows the item as it is."
            )
        if not self.file.card and self.classes:
            yield "Its 1000 outputs are taken to be ImageNet's classes in their usual order."

    def _remark_on_scale(self) -> str:
        if len(self.shape) != 3:
            return "How items are scaled is not in the file: each is given a mean of 0 and a deviation of 1."
        if self.file.input_dtype == "uint8":
            return "The file scales pixels itself."
        if not self._scales_pixels:
            return (
                "How pixels are scaled is not in the file: ImageNet's mean and deviation are taken."
            )
        top = "255" if self._scale.full_scale == 1 else "1"
        return f"The file scales pixels itself, and is given those from 0 to {top}."

    def _compared(self) -> str:
        """How the logits compare with ONNX Runtime's.

        Raises:
            DataError: They are others.
        """
        raw = sample(self.shape)
        logits = Walked.through(self.network, self._prepared(raw)).logits.astype(np.float64)
        given = self._given_as(raw).numpy().astype(self.file.input_dtype)
        try:
            expected = in_onnx_runtime(
                self.file, self.parts.preparing.given, self.network.made, given
            )
        except EngineError as error:
            return f"The numbers are not checked: {error}."
        if len(logits) != len(expected):
            raise DataError(
                f"cannot open {self.file.path}", why="the page does not show its last steps"
            )
        apart = float(np.abs(logits - expected).max() / max(np.abs(expected).max(), _TINY))
        if not apart <= TOLERANCE:
            raise DataError(
                f"cannot open {self.file.path}",
                why=f"the page computes other numbers than ONNX Runtime, by {apart:.0e}",
                fix="please report it with the file",
            )
        return f"Its logits equal those of ONNX Runtime to {apart:.0e}."


def _classes(card: Mapping[str, Any], outputs: int) -> tuple[str, ...]:
    """Names of the outputs; none where they are not known."""
    named = card.get("classes")
    if isinstance(named, list) and len(named) == outputs and all(isinstance(n, str) for n in named):
        return tuple(named)
    return imagenet_names() if not card and outputs == NUM_CLASSES else ()


def _value_range(card: Mapping[str, Any]) -> tuple[float, float]:
    """The smallest and the largest value that a run of no photos was trained on."""
    given = card.get("input")
    found = given.get("value_range") if isinstance(given, dict) else None
    if (
        isinstance(found, list)
        and len(found) == 2
        and all(isinstance(n, (int, float)) for n in found)
    ):
        low, high = map(float, found)
        if np.isfinite([low, high]).all() and low < high:
            return low, high
    return 0.0, _FULL_SCALE


def _pictures(card: Mapping[str, Any], shape: tuple[int, ...]) -> ImageInputs | None:
    """How the run of a file prepares photos; None where it is no such file."""
    try:
        given = card["input"]["pictures"]
        size, frame = int(given["size"]), tuple(map(int, given["frame"]))
        inputs = ImageInputs(
            size=size,
            framing=str(card["input"]["framing"]),
            frame=None if frame == (size, size) else (frame[0], frame[1]),
            scales=(float(given["scales"][0]), float(given["scales"][1])),
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return None
    known = inputs.framing in FRAMINGS and inputs.input_shape == shape
    return inputs if known and 0 < size <= _MAX_SIDE else None
