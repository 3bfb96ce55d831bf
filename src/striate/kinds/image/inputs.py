"""Images as inputs: one height and width, normalized as the weights or the training images want it.

8-bit RGB images (photos) are normalized as the network's weights want it. Images of any other number
of channels, or of values of more than 8 bits, are normalized by the mean and the standard deviation
of each channel over the training images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws
from striate.data.readers.image_array import EIGHT_BIT, STORED
from striate.data.source import Reading
from striate.data.stores.resizing import MAX_ASPECT, resize_shorter
from striate.data.stores.store import Stack
from striate.errors import UnknownNameError
from striate.kinds.image.augment import AugmentPolicy, augment, policy_for
from striate.kinds.image.framing import (
    CROP,
    FRAMINGS,
    RECTANGLE,
    Shapes,
    cropped,
    fill_of,
    fitted,
    frame_of,
)
from striate.kinds.image.survey import PHOTO, Survey
from striate.kinds.image.symmetry import SYMMETRIES, apply_symmetry, views_of
from striate.kinds.image.values import ValueFormat
from striate.kinds.inputs import ExportedInput, Inputs, number_option
from striate.models import Network
from striate.models.catalog import find
from striate.weights.preprocessing import IMAGENET, Preprocessing

SMALL: Final = 64
"""Images of a shorter side below this many pixels are small: they are kept at their own size."""

ENLARGED: Final = 128
"""Side below which a network made for 224 pixels has too few positions left to see with."""

TEXT_FAMILY: Final = "text"
"""Family of plain networks, which are made for images of any size."""

SMALL_BATCH: Final = 64
"""Small images that are computed together."""

_OPTIONS: Final = ("size", "symmetry", "framing", "enlargeable")


@dataclass(frozen=True, kw_only=True)
class ImageInputs(Inputs[Tensor]):
    """Images in one frame: their central squares, or all of them with the rest filled.

    Attributes:
        size: Side of the square in pixels, and the shorter side at which images are kept; a
            rectangle has about as many pixels as the square.
        channels: Channels of an image.
        dtype: Type of the values as stored: "uint8", "uint16", "int16" or "float32".
        mean: Mean of each channel that normalizes: of photos in units of a full scale of 1, of
            other images in units of their values.
        std: Standard deviation of each channel that normalizes, in the same units.
        value_range: Smallest and largest value of the training images; of photos 0 and 255.
        axes: Axes of an image in the array that was trained on, "HW", "CHW" or "HWC"; empty where
            the images were files.
        scales: Of photos, the value of white in whole numbers of more than 8 bits and in floats,
            where training items had such; 0 where none had, and the type decides.
        averaged: Set of symmetries whose outputs are averaged in prediction.
        symmetry: Set of symmetries that augmentation draws from.
        framing: What is seen of an image: "crop", "pad" or "rectangle"; see
            `striate.kinds.image.framing`.
        frame: Height and width of the input; None for the square of `size`.
        shapes: Heights and widths of the training images; not kept in the run.
        small: Whether the images are so small that networks for photographs see little in them,
            and are prepared for networks of their own.
        enlargeable: Whether small images are enlarged for a network that is made for larger ones:
            where the user chose no size. Not kept in the run.
    """

    folds: ClassVar[bool] = True

    size: int
    channels: int = 3
    dtype: str = "uint8"
    mean: tuple[float, ...] = IMAGENET.mean
    std: tuple[float, ...] = IMAGENET.std
    value_range: tuple[float, float] = (0.0, 255.0)
    axes: str = ""
    scales: tuple[float, float] = (0.0, 0.0)
    averaged: str = "identity"
    symmetry: str = "mirror"
    framing: str = CROP
    frame: tuple[int, int] | None = None
    shapes: Shapes = field(default_factory=Shapes, compare=False)
    small: bool = False
    enlargeable: bool = field(default=False, compare=False)

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs of the size that was chosen; what normalizes photos belongs to the weights.

        Raises:
            UnknownNameError: Images have no such option, or no such framing.
            DataError: The images have different numbers of channels, or 8-bit and other values.
        """
        for name in options:
            if name not in _OPTIONS:
                # The others are those of `fit` itself.
                raise UnknownNameError("option of images", name, ["size"])
        survey = Survey()
        for reading in readings:
            survey.add(reading.array)
        size = int(number_option(options, "size", 0, 1, whole=True))
        channels, dtype = survey.format()
        inputs = cls(
            size=size,
            shapes=survey.shapes(),
            scales=survey.deep_scales(),
            small=size < SMALL,
            enlargeable=bool(options.get("enlargeable", False)),
        )
        if (channels, dtype) != PHOTO:
            mean, std = survey.moments()
            inputs = replace(
                inputs,
                scales=(0.0, 0.0),
                channels=channels,
                dtype=dtype,
                mean=mean,
                std=std,
                value_range=survey.value_range(),
            )
        return inputs.with_framing(options.get("framing", CROP))

    def with_framing(self, framing: str) -> Self:
        """The inputs that show this much of an image.

        Raises:
            UnknownNameError: There is no such framing.
        """
        if framing not in FRAMINGS:
            raise UnknownNameError("framing", framing, FRAMINGS)
        frame = frame_of(framing, self.size, self.shapes.aspect)
        square = frame == (self.size, self.size)
        return replace(self, framing=framing, frame=None if square else frame)

    def framings(self) -> Mapping[str, Self]:
        """The central square alone where it shows nearly all; otherwise the whole image too."""
        names = (CROP,) if self.shapes.square_enough else FRAMINGS
        ways = {name: self.with_framing(name) for name in names}
        # Where the median image is about square, the rectangle is the square of `pad`.
        return {name: way for name, way in ways.items() if name != RECTANGLE or not way.is_square}

    @property
    def batch_size(self) -> int:
        """Images that are computed together: few, so that maps stay in the processor's cache."""
        return SMALL_BATCH if self.small else 8

    @property
    def space(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.frame or (self.size, self.size)

    @property
    def is_square(self) -> bool:
        """Whether the input is as high as wide."""
        return self.space[0] == self.space[1]

    @property
    def sets(self) -> Mapping[str, tuple[int, ...]]:
        """All sets for a square; a rectangle cannot be transposed."""
        if self.is_square:
            return SYMMETRIES
        return {name: numbers for name, numbers in SYMMETRIES.items() if max(numbers) < 4}

    @property
    def is_photo(self) -> bool:
        """Whether the images are 8-bit RGB."""
        return self._format.is_photo

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (self.channels, *self.space)

    @property
    def read_size(self) -> int:
        """The shorter side at which images are kept."""
        return self.size

    @property
    def array_extras(self) -> Mapping[str, NDArray[Any]]:
        """Arrays are brought to 8 bits for photos, and hold values as stored for others."""
        extras = {"values": np.array(EIGHT_BIT if self.is_photo else STORED)}
        if self.is_photo:
            extras["scales"] = np.array(self.scales)
        return {**extras, "axes": np.array(self.axes)} if self.axes else extras

    def with_conventions(self, conventions: Mapping[str, Any]) -> Self:
        """The inputs that take arrays as those trained on: the same axes, the same white."""
        if not conventions:
            return self
        whole, fraction = map(float, conventions.get("scales", self.scales))
        return replace(self, axes=str(conventions["axes"]), scales=(whole, fraction))

    def details(self) -> Mapping[str, str]:
        """Channels and values of the images, how arrays are read, the framing and what it shows."""
        axes = [f"axes of arrays {' x '.join(self.axes)}"] if self.axes else []
        return {
            "values": ", ".join([*self._format.as_text(), *axes]),
            "framing": self.framing,
            "pixels seen": self.shapes.seen(self.framing),
        }

    def checked(self, reading: Reading) -> Reading:
        """What the network sees of an image, which is resized by the code that fills the cache.

        Raises:
            UnreadableItem: It has another number of channels, or 8-bit values where the model takes
                others, or the other way around.
        """
        self._format.check(reading.array)  # before the work of resizing
        pixels = self._format.values(resize_shorter(reading.array, self.size))
        return replace(reading, array=self._framed(pixels).numpy())

    def inputs(self, readings: Sequence[Reading]) -> Shaped[Tensor, "n c h w"]:
        """What is seen of the images: uint8 of 8-bit images, otherwise the values as float32.

        Raises:
            UnreadableItem: See `checked`.
        """
        if (stack := self._stacked(readings)) is not None:
            return stack
        values = self._format.values
        return torch.stack([self._framed(values(reading.array)) for reading in readings])

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> Shaped[Tensor, "n c h w"]:
        """Random variants, of the type of `inputs`; colours are changed of photos alone."""
        stack = self._stacked(readings)
        values = self._format.values
        pixels = [values(reading.array) for reading in readings] if stack is None else stack
        return augment(pixels, draws, self._policy, self.space, self._fill)

    def copy_of(self, readings: Sequence[Reading], draws: Draws) -> Shaped[Tensor, "n c h w"]:
        """A variant with its own crop and colours; the copies go through the symmetries in turn."""
        policy = replace(self._policy, dihedral=False, horizontal_flip=False, vertical_flip=False)
        pixels = [self._format.values(reading.array) for reading in readings]
        numbers = SYMMETRIES[self.symmetry]
        varied = augment(pixels, draws, policy, self.space, self._fill)
        return apply_symmetry(varied, numbers[draws.epoch % len(numbers)])

    def network_options(self, name: str) -> dict[str, Any]:
        """A network that is built for a size is made for that of the square."""
        options = super().network_options(name)
        made_for_size = getattr(find(name).config, "made_for_size", False)
        return {**options, "input_size": self.size} if made_for_size else options

    def for_network(self, network: Network) -> Self:
        """Photos are normalized as the network's weights want it; of others the network is told."""
        if not self.is_photo:
            self.adapt(network)
            return self
        prepared = network.preprocessing
        return replace(self, mean=prepared.mean, std=prepared.std)

    def for_model(self, name: str) -> Self:
        """Small images are enlarged for a network that was designed for larger ones."""
        variant = find(name)
        designed = variant.config.input_size
        if not self.small or variant.family == TEXT_FAMILY:
            return self
        if designed >= ENLARGED:
            return self.for_photographs()
        follows = getattr(variant.config, "made_for_size", False)
        return self if follows else self._enlarged(designed)

    def for_photographs(self) -> Self:
        """Small images as networks of photographs see them: enlarged, unless the user chose a size."""
        return replace(self._enlarged(ENLARGED), small=False) if self.small else self

    def _enlarged(self, size: int) -> Self:
        """The inputs of this size, where it is larger than their own and the user chose none."""
        if size <= self.size or not self.enlargeable:
            return self
        return replace(self, size=size).with_framing(self.framing)

    def adapt(self, network: Network) -> None:
        """The network tells how its pixels are normalized, as one with weights by name does."""
        network.preprocessing = self._preprocessing

    def with_symmetry(self, symmetry: str) -> Self:
        """From scratch images are mirrored, unless the user says otherwise."""
        return replace(self, symmetry="mirror" if symmetry == "auto" else symmetry)

    def with_views(self, symmetry: str) -> Self:
        """The inputs whose outputs are averaged over a set of symmetries."""
        return replace(self, averaged=symmetry)

    def normalized(self, inputs: Tensor) -> Float[Tensor, "n c h w"]:
        """What `inputs` gives, each channel with a mean of about 0 and a deviation of about 1."""
        return self._preprocessing.normalize(inputs)

    def views(self, inputs: Tensor) -> list[Tensor]:
        """Normalized inputs under each symmetry whose outputs are averaged."""
        return views_of(inputs, self.averaged)

    def transformed(self, inputs: Tensor, number: int) -> Tensor:
        """Inputs under the symmetry of that number."""
        return apply_symmetry(inputs, number)

    @property
    def exported(self) -> ExportedInput:
        """Pixels of what is seen of an image."""
        dtype = self._format.computed
        seen = f"the image's shorter side resized to {self.size}, the middle square"
        details: dict[str, Any] = {"framing": self.framing}
        if self.framing != CROP:
            fill = fill_of(self._mean_colour, dtype).tolist()
            height, width = self.space
            seen = (
                f"the image's shorter side resized to {self.size}, then the whole image scaled to "
                f"fit into the middle of {height} x {width}, the rest filled with {fill}"
            )
            details["fill"] = fill
        if self.is_photo:
            means = f"0 to 255; {seen}"
            details["pictures"] = {
                "size": self.size,
                "max_aspect": MAX_ASPECT,
                "frame": list(self.space),
                "fill": details.get("fill"),
                "scales": list(self.scales),
            }
            return ExportedInput(name="pixels", means=means, dtype=dtype, details=details)
        return ExportedInput(
            name="pixels",
            means=f"{self.dtype} values as stored, channels first; {seen}",
            dtype=dtype,
            details={**details, "stored": self.dtype, "value_range": list(self.value_range)},
        )

    def to_json(self) -> dict[str, Any]:
        """Format, size, framing, normalization and the symmetries averaged in prediction."""
        return {
            "channels": self.channels,
            "dtype": self.dtype,
            "value_range": self.value_range,
            "axes": self.axes,
            "scales": self.scales,
            "mean": self.mean,
            "std": self.std,
            "image_size": self.size,
            "symmetry": self.averaged,
            "framing": self.framing,
            "frame": self.frame,
            "small": self.small,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inputs that `to_json` wrote; a run without a framing saw the central square."""
        frame = document.get("frame")
        return cls(
            size=document["image_size"],
            channels=len(document["mean"]),
            dtype=document.get("dtype", cls.dtype),
            value_range=tuple(document.get("value_range", cls.value_range)),
            axes=document.get("axes", cls.axes),
            scales=tuple(document.get("scales", cls.scales)),
            mean=tuple(document["mean"]),
            std=tuple(document["std"]),
            averaged=document["symmetry"],
            framing=document.get("framing", CROP),
            frame=None if frame is None else (int(frame[0]), int(frame[1])),
            small=document.get("small", cls.small),
        )

    @cached_property
    def _format(self) -> ValueFormat:
        return ValueFormat(
            channels=self.channels,
            dtype=self.dtype,
            value_range=self.value_range,
            scales=self.scales,
        )

    @property
    def _policy(self) -> AugmentPolicy:
        return policy_for(
            self.symmetry,
            small=self.small,
            whole=self.framing != CROP,
            square=self.is_square,
            photo=self.is_photo,
        )

    @property
    def _mean_colour(self) -> tuple[float, ...]:
        """The mean of each channel in the values of an image.

        Of photos it is ImageNet's and not that of the network's normalization, so that features are
        made of the same pixels whatever network they are for.
        """
        return tuple(255 * mean for mean in IMAGENET.mean) if self.is_photo else self.mean

    @property
    def _fill(self) -> Shaped[Tensor, " c"] | None:
        """What is beside a whole image, as its values are computed with; None for a crop."""
        if self.framing == CROP:
            return None
        return fill_of(self._mean_colour, self._format.computed)

    def _stacked(self, readings: Sequence[Reading]) -> Shaped[Tensor, "n c h w"] | None:
        """What is seen of images that lie in one array, no image by itself; None of others."""
        if not (isinstance(readings, Stack) and str(readings.array.dtype) == self.dtype):
            return None
        if readings.array.shape[1:] != self.input_shape:
            return None
        array = readings.array
        return torch.from_numpy(array if self.dtype == "uint8" else array.astype(np.float32))

    def _framed(self, pixels: Shaped[Tensor, "c height width"]) -> Shaped[Tensor, "c h w"]:
        """What the network sees of an image; of what it saw before, the same."""
        fill = self._fill
        return cropped(pixels, self.size) if fill is None else fitted(pixels, self.space, fill)

    @property
    def _preprocessing(self) -> Preprocessing:
        prepared = Preprocessing(mean=self.mean, std=self.std, size=self.size)
        return prepared if self.is_photo else replace(prepared, full_scale=1.0)
