"""Images as inputs: one square size, uint8, normalized as the weights want it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from striate.data.randomness import Draws
from striate.data.source import Reading, UnreadableItem
from striate.data.stores.pixels import center_crop, resize_shorter
from striate.errors import UnknownNameError
from striate.kinds.image.augment import POLICIES, AugmentPolicy, augment
from striate.kinds.image.symmetry import SYMMETRIES, apply_symmetry, views_of
from striate.kinds.inputs import ExportedInput, Inputs
from striate.models import Network
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
        mean: Mean of each channel that normalizes, in units of a full scale of 1.
        std: Standard deviation of each channel that normalizes, in the same units.
        averaged: Set of symmetries whose outputs are averaged in prediction.
        symmetry: Set of symmetries that augmentation draws from.
    """

    batch_size: ClassVar[int | None] = 8
    folds: ClassVar[bool] = True
    sets: ClassVar[Mapping[str, tuple[int, ...]]] = SYMMETRIES

    size: int
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET.mean
    std: tuple[float, ...] = IMAGENET.std
    averaged: str = "identity"
    symmetry: str = "mirror"

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs of the size that was chosen; what normalizes belongs to the weights.

        Raises:
            UnknownNameError: Images have no such option.
        """
        for name in options:
            if name not in ("size", "symmetry"):
                raise UnknownNameError("option of images", name, ("size", "symmetry"))
        return cls(size=int(options["size"]))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, size, size)."""
        return (self.channels, self.size, self.size)

    @property
    def read_size(self) -> int:
        """The side of the square."""
        return self.size

    def checked(self, reading: Reading) -> Reading:
        """The image resized to a shorter side of `size`, by the code that fills the cache.

        Raises:
            UnreadableItem: It has another number of channels.
        """
        if len(reading.array) != self.channels:
            raise UnreadableItem(
                f"{len(reading.array)} channels, and the model takes {self.channels}"
            )
        pixels = torch.from_numpy(resize_shorter(np.asarray(reading.array, np.uint8), self.size))
        return replace(reading, array=center_crop(pixels, self.size).numpy())

    def inputs(self, readings: Sequence[Reading]) -> UInt8[Tensor, "n c s s"]:
        """The central squares, uint8."""
        return torch.stack([center_crop(torch.from_numpy(r.array), self.size) for r in readings])

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> UInt8[Tensor, "n c s s"]:
        """Random variants, uint8."""
        pixels = [torch.from_numpy(reading.array) for reading in readings]
        return augment(pixels, draws, self._policy, self.size)

    def copy_of(self, readings: Sequence[Reading], draws: Draws) -> UInt8[Tensor, "n c s s"]:
        """A variant with its own crop and colours; the copies go through the symmetries in turn."""
        policy = replace(self._policy, dihedral=False, horizontal_flip=False, vertical_flip=False)
        pixels = [torch.from_numpy(reading.array) for reading in readings]
        numbers = SYMMETRIES[self.symmetry]
        varied = augment(pixels, draws, policy, self.size)
        return apply_symmetry(varied, numbers[draws.epoch % len(numbers)])

    def for_network(self, network: Network) -> Self:
        """The inputs with the normalization of the network's weights."""
        prepared = network.preprocessing
        return replace(self, mean=prepared.mean, std=prepared.std)

    def adapt(self, network: Network) -> None:
        """The network tells how its pixels are normalized, as one with weights by name does."""
        network.preprocessing = Preprocessing(mean=self.mean, std=self.std, size=self.size)

    def with_symmetry(self, symmetry: str) -> Self:
        """From scratch images are mirrored, unless the user says otherwise."""
        return replace(self, symmetry="mirror" if symmetry == "auto" else symmetry)

    def with_views(self, symmetry: str) -> Self:
        """The inputs whose outputs are averaged over a set of symmetries."""
        return replace(self, averaged=symmetry)

    def normalized(self, inputs: Tensor) -> Float[Tensor, "n c s s"]:
        """Pixels of 0 to 255 with the weights' mean and standard deviation."""
        return Preprocessing(mean=self.mean, std=self.std, size=self.size).normalize(inputs)

    def views(self, inputs: Tensor) -> list[Tensor]:
        """Normalized inputs under each symmetry whose outputs are averaged."""
        return views_of(inputs, self.averaged)

    def transformed(self, inputs: Tensor, number: int) -> Tensor:
        """Inputs under the symmetry of that number."""
        return apply_symmetry(inputs, number)

    @property
    def exported(self) -> ExportedInput:
        """Pixels of the central square."""
        means = f"0 to 255; the image's shorter side resized to {self.size}, the middle square"
        return ExportedInput(name="pixels", means=means, dtype=torch.uint8)

    def to_json(self) -> dict[str, Any]:
        """Size, normalization and the symmetries averaged in prediction."""
        return {
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
            mean=tuple(document["mean"]),
            std=tuple(document["std"]),
            averaged=document["symmetry"],
        )

    @property
    def _policy(self) -> AugmentPolicy:
        return POLICIES[_POLICIES[self.symmetry]]
