"""Images as inputs: one square size, normalized as the weights or the training images want it.

8-bit RGB images (photos) are normalized as the network's weights want it. Images of any other number
of channels, or of values of more than 8 bits, are normalized by the mean and the standard deviation
of each channel over the training images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws
from striate.data.readers.image import grey_to_uint8
from striate.data.readers.image_array import EIGHT_BIT, STORED
from striate.data.source import Reading, UnreadableItem
from striate.data.stores.pixels import center_crop, resize_shorter
from striate.errors import UnknownNameError
from striate.kinds.image.augment import POLICIES, AugmentPolicy, augment
from striate.kinds.image.survey import PHOTO, Survey, is_deep_grey
from striate.kinds.image.symmetry import SYMMETRIES, apply_symmetry, views_of
from striate.kinds.inputs import ExportedInput, Inputs
from striate.models import Network
from striate.models.catalog import find
from striate.weights.preprocessing import IMAGENET, Preprocessing

_POLICIES: Final = {
    "identity": "upright",
    "mirror": "natural",
    "flips": "dihedral",
    "dihedral": "dihedral",
}
"""Name of the augmentation that suits a set of symmetries."""


@dataclass(frozen=True, kw_only=True)
class ImageInputs(Inputs[Tensor]):
    """Central squares of images.

    Attributes:
        size: Side of the square in pixels.
        channels: Channels of an image.
        dtype: Type of the values as stored: "uint8", "uint16", "int16" or "float32".
        mean: Mean of each channel that normalizes: of photos in units of a full scale of 1, of
            other images in units of their values.
        std: Standard deviation of each channel that normalizes, in the same units.
        value_range: Smallest and largest value of the training images; of photos 0 and 255.
        averaged: Set of symmetries whose outputs are averaged in prediction.
        symmetry: Set of symmetries that augmentation draws from.
    """

    batch_size: ClassVar[int | None] = 8
    folds: ClassVar[bool] = True
    sets: ClassVar[Mapping[str, tuple[int, ...]]] = SYMMETRIES

    size: int
    channels: int = 3
    dtype: str = "uint8"
    mean: tuple[float, ...] = IMAGENET.mean
    std: tuple[float, ...] = IMAGENET.std
    value_range: tuple[float, float] = (0.0, 255.0)
    averaged: str = "identity"
    symmetry: str = "mirror"

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs of the size that was chosen; what normalizes photos belongs to the weights.

        Raises:
            UnknownNameError: Images have no such option.
            DataError: The images have different numbers of channels, or 8-bit and other values.
        """
        for name in options:
            if name not in ("size", "symmetry"):
                raise UnknownNameError("option of images", name, ("size", "symmetry"))
        survey = Survey()
        for reading in readings:
            survey.add(reading.array)
        size, (channels, dtype) = int(options["size"]), survey.format()
        if (channels, dtype) == PHOTO:
            return cls(size=size)
        mean, std = survey.moments()
        return cls(
            size=size,
            channels=channels,
            dtype=dtype,
            mean=mean,
            std=std,
            value_range=survey.value_range(),
        )

    @property
    def is_photo(self) -> bool:
        """Whether the images are 8-bit RGB."""
        return (self.channels, self.dtype) == PHOTO

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, size, size)."""
        return (self.channels, self.size, self.size)

    @property
    def read_size(self) -> int:
        """The side of the square."""
        return self.size

    @property
    def array_extras(self) -> Mapping[str, NDArray[Any]]:
        """Arrays are brought to 8 bits for photos, and hold values as stored for others."""
        return {"values": np.array(EIGHT_BIT if self.is_photo else STORED)}

    def checked(self, reading: Reading) -> Reading:
        """The image resized to a shorter side of `size`, by the code that fills the cache.

        Raises:
            UnreadableItem: It has another number of channels, or 8-bit values where the model takes
                others, or the other way around.
        """
        self._check(reading.array)  # before the work of resizing
        pixels = self._values(resize_shorter(reading.array, self.size))
        return replace(reading, array=center_crop(pixels, self.size).numpy())

    def inputs(self, readings: Sequence[Reading]) -> Shaped[Tensor, "n c s s"]:
        """The central squares: uint8 of 8-bit images, otherwise the values as float32.

        Raises:
            UnreadableItem: See `checked`.
        """
        return torch.stack([center_crop(self._values(r.array), self.size) for r in readings])

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> Shaped[Tensor, "n c s s"]:
        """Random variants, of the type of `inputs`; colours are changed of photos alone."""
        pixels = [self._values(reading.array) for reading in readings]
        return augment(pixels, draws, self._policy, self.size)

    def copy_of(self, readings: Sequence[Reading], draws: Draws) -> Shaped[Tensor, "n c s s"]:
        """A variant with its own crop and colours; the copies go through the symmetries in turn."""
        policy = replace(self._policy, dihedral=False, horizontal_flip=False, vertical_flip=False)
        pixels = [self._values(reading.array) for reading in readings]
        numbers = SYMMETRIES[self.symmetry]
        varied = augment(pixels, draws, policy, self.size)
        return apply_symmetry(varied, numbers[draws.epoch % len(numbers)])

    def network_options(self, name: str) -> dict[str, Any]:
        """A network of one size only is made for the size of the square."""
        options = super().network_options(name)
        fixed = getattr(find(name).config, "fixed_size", False)
        return {**options, "input_size": self.size} if fixed else options

    def for_network(self, network: Network) -> Self:
        """Photos are normalized as the network's weights want it; of others the network is told."""
        if not self.is_photo:
            self.adapt(network)
            return self
        prepared = network.preprocessing
        return replace(self, mean=prepared.mean, std=prepared.std)

    def adapt(self, network: Network) -> None:
        """The network tells how its pixels are normalized, as one with weights by name does."""
        network.preprocessing = self._preprocessing

    def with_symmetry(self, symmetry: str) -> Self:
        """From scratch images are mirrored, unless the user says otherwise."""
        return replace(self, symmetry="mirror" if symmetry == "auto" else symmetry)

    def with_views(self, symmetry: str) -> Self:
        """The inputs whose outputs are averaged over a set of symmetries."""
        return replace(self, averaged=symmetry)

    def normalized(self, inputs: Tensor) -> Float[Tensor, "n c s s"]:
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
        """Pixels of the central square."""
        square = f"the image's shorter side resized to {self.size}, the middle square"
        if self.is_photo:
            means = f"0 to 255; {square}"
            return ExportedInput(name="pixels", means=means, dtype=torch.uint8)
        return ExportedInput(
            name="pixels",
            means=f"{self.dtype} values as stored, channels first; {square}",
            dtype=torch.uint8 if self.dtype == "uint8" else torch.float32,
            details={"stored": self.dtype, "value_range": list(self.value_range)},
        )

    def to_json(self) -> dict[str, Any]:
        """Format, size, normalization and the symmetries averaged in prediction."""
        return {
            "channels": self.channels,
            "dtype": self.dtype,
            "value_range": self.value_range,
            "mean": self.mean,
            "std": self.std,
            "image_size": self.size,
            "symmetry": self.averaged,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inputs that `to_json` wrote."""
        return cls(
            size=document["image_size"],
            channels=len(document["mean"]),
            dtype=document.get("dtype", cls.dtype),
            value_range=tuple(document.get("value_range", cls.value_range)),
            mean=tuple(document["mean"]),
            std=tuple(document["std"]),
            averaged=document["symmetry"],
        )

    @property
    def _policy(self) -> AugmentPolicy:
        policy = POLICIES[_POLICIES[self.symmetry]]
        if self.is_photo:
            return policy
        # What is a change of light in a photo would be another measurement here.
        return replace(policy, brightness=0.0, contrast=0.0, saturation=0.0)

    @property
    def _preprocessing(self) -> Preprocessing:
        prepared = Preprocessing(mean=self.mean, std=self.std, size=self.size)
        return prepared if self.is_photo else replace(prepared, full_scale=1.0)

    def _check(self, array: NDArray[Any]) -> None:
        """Refuse an image of another format; raises UnreadableItem."""
        if self.is_photo and is_deep_grey(array):
            return
        if len(array) != self.channels:
            raise UnreadableItem(f"{len(array)} channels, and the model takes {self.channels}")
        if (array.dtype == np.uint8) != (self.dtype == "uint8"):
            raise UnreadableItem(f"{array.dtype} values, and the model takes {self.dtype}")

    def _values(self, array: NDArray[Any]) -> Shaped[Tensor, "c h w"]:
        """An image of any height and width as its values are computed with."""
        self._check(array)
        if self.dtype != "uint8":
            return torch.from_numpy(array.astype(np.float32))
        if array.dtype != np.uint8:
            array = np.repeat(grey_to_uint8(array, []), self.channels, axis=0)
        return torch.from_numpy(array)
