"""Volumes as inputs: one grid, one window of intensities, normalized by the training volumes.

Axes: (channels, depth, height, width). From files with an orientation (NIfTI, DICOM) depth runs from
feet to head, height from back to front and width from left to right (RAS, the last axis first).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import ArgumentError, DataError
from striate.kinds.inputs import Inputs
from striate.kinds.volume.augment import NUM_DRAWS, VolumePolicy, augment_volumes
from striate.kinds.volume.options import Fit, VolumeOptions, volume_options
from striate.kinds.volume.patches import corner_of, patch_at
from striate.kinds.volume.spacing import centred, resampled, size_at
from striate.progress import counted

MAX_SIDE: Final = 64
"""Voxels along the longest axis, by default, at most."""

_QUANTILES: Final = (np.arange(128) + 0.5) / 128
_SAMPLES: Final = 8192
_WINDOW: Final = (0.5, 99.5)


@dataclass(frozen=True, kw_only=True)
class VolumeInputs(Inputs[Tensor]):
    """How volumes become inputs of one size.

    Attributes:
        channels: Number of channels of every volume.
        size: (depth, height, width) of an input, in voxels.
        fit: How a volume gets that size: `resize` scales each axis; `crop` resamples to `spacing`
            and cuts the middle or fills it up; `patch` takes a part at full resolution, anywhere
            while training and the middle otherwise.
        spacing: (depth, height, width) of an input's voxels, in millimetres; empty where the
            files' own is not used.
        window: Values of each channel that become the darkest and the brightest.
        mean: Mean of each channel inside the window, over the training volumes.
        std: Standard deviation of each channel inside the window, over the training volumes.
        policy: How training varies them.
        remarks: What a user should know.
    """

    channels: int
    size: tuple[int, int, int]
    fit: Fit
    spacing: tuple[float, ...] = ()
    window: tuple[tuple[float, float], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    policy: VolumePolicy = field(default_factory=VolumePolicy)
    remarks: tuple[str, ...] = ()

    @classmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs for volumes like these.

        Args:
            readings: Readings of the training items.
            options: See `VolumeOptions`.

        Raises:
            UnknownNameError: There is no such option, or it does not have a value of that name.
            ArgumentError: A value is not allowed.
            DataError: There are no volumes, they have different numbers of channels, some files
                alone tell a spacing, or a volume is smaller than a patch.
        """
        chosen = volume_options(options)
        seen = [_seen(reading) for reading in readings]
        if not seen:
            raise DataError("there is no volume to train on")
        channels = _one_channel_count(seen)
        spacings = _spacings(seen, chosen)
        fit: Fit = chosen.fit or ("resize" if spacings is None else "crop")
        size, spacing, remarks = _grid(seen, spacings, fit, chosen)
        window, mean, std = _intensities(seen, chosen, channels)
        return cls(
            channels=channels,
            size=size,
            fit=fit,
            spacing=spacing,
            window=window,
            mean=mean,
            std=std,
            policy=chosen.policy(),
            remarks=remarks,
        )

    @property
    def batch_size(self) -> int:
        """Volumes that are computed together."""
        return 8

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, depth, height, width)."""
        return (self.channels, *self.size)

    def notes(self) -> tuple[Note, ...]:
        """How volumes are brought to one grid."""
        return tuple(Note(code="resampled", message=line, severity="info") for line in self.remarks)

    def details(self) -> Mapping[str, str]:
        """The window of values of each channel."""
        windows = ", ".join(f"{low:g} to {high:g}" for low, high in self.window[:4])
        return {"values": f"{counted(self.channels, 'channel')}, {windows}"}

    def inputs(self, readings: Sequence[Reading]) -> Float[Tensor, "n c d h w"]:
        """Normalized volumes; raises UnreadableItem for one that does not fit."""
        middle = np.full(3, 0.5)
        return self._normalized([self._raw(reading, middle) for reading in readings])

    def augmented(self, readings: Sequence[Reading], draws: Draws) -> Float[Tensor, "n c d h w"]:
        """Random variants of normalized volumes; raises UnreadableItem for one that does not fit."""
        numbers = draws.uniforms(NUM_DRAWS + 3)
        pairs = zip(readings, numbers[:, NUM_DRAWS:], strict=True)
        plain = self._normalized([self._raw(reading, place) for reading, place in pairs])
        return augment_volumes(plain, numbers[:, :NUM_DRAWS], self.policy)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inputs that `to_json` wrote."""
        return super().from_json({**document, "policy": VolumePolicy(**document["policy"])})

    def _raw(self, reading: Reading, place: NDArray[np.float64]) -> NDArray[np.float32]:
        """The volume on the common grid, clipped to the window."""
        array, window = reading.array, np.array(self.window, np.float32)
        if array.ndim != 4 or len(array) != self.channels:
            raise UnreadableItem(
                f"an array of {array.shape} where (channels, depth, height, width) with "
                f"{counted(self.channels, 'channel')} is needed"
            )
        if self.fit == "patch":
            if any(n < side for n, side in zip(array.shape[1:], self.size, strict=True)):
                raise UnreadableItem(f"a volume of {array.shape[1:]}, smaller than a patch")
            patch = patch_at(array, corner_of(array.shape[1:], self.size, place), self.size)
            return patch.clip(window[:, :1, None, None], window[:, 1:, None, None])
        if self.fit == "resize":
            return resampled(array, self.size, window)
        space = array.shape[1:]
        if self.spacing:
            if not reading.spacing:
                raise UnreadableItem("no spacing, unlike the volumes trained on")
            space = size_at(space, reading.spacing, self.spacing)
        return centred(resampled(array, space, window, self.size), self.size, window[:, 0])

    def _normalized(self, volumes: Sequence[NDArray[np.float32]]) -> Float[Tensor, "n c d h w"]:
        mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (self.mean, self.std))
        return torch.from_numpy(np.stack(volumes)).sub_(mean).div_(std)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What is kept of a training volume."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    quantiles: NDArray[np.float32]  # (channels, quantiles)


def _seen(reading: Reading) -> _Seen:
    """Facts and quantiles of evenly spaced voxels, so that a large volume is not read whole."""
    array = reading.array
    if array.ndim != 4:
        raise DataError(
            f"a volume of shape {array.shape}", why="it is (channels, depth, height, width)"
        )
    step = max(1, round((array[0].size / _SAMPLES) ** (1 / 3)))
    sample = np.asarray(array[:, ::step, ::step, ::step], np.float32).reshape(len(array), -1)
    return _Seen(
        shape=array.shape,
        spacing=tuple(reading.spacing),
        quantiles=np.quantile(sample, _QUANTILES, axis=1).T.astype(np.float32),
    )


def _one_channel_count(seen: Sequence[_Seen]) -> int:
    counts = Counter(one.shape[0] for one in seen)
    if len(counts) > 1:
        table = ", ".join(f"{n} in {items} volumes" for n, items in sorted(counts.items()))
        raise DataError(
            "the volumes have different numbers of channels",
            why=table,
            fix="give all the same channels",
        )
    return next(iter(counts))


def _spacings(seen: Sequence[_Seen], chosen: VolumeOptions) -> NDArray[np.float64] | None:
    """(volumes, 3) in millimetres; None where they are not known or not wanted."""
    known = [one.spacing for one in seen if one.spacing]
    if not known and isinstance(chosen.spacing, tuple):
        raise ArgumentError(
            f"spacing={_by(chosen.spacing)}",
            why="the volumes' own spacings are not known",
            fix="leave it out, or give size",
        )
    if chosen.spacing == "ignore" or not known:
        return None
    if len(known) < len(seen):
        raise DataError(
            "some volumes have a spacing and some have none",
            why=f"{len(known)} have one, {len(seen) - len(known)} have none",
            fix="leave these out, or ignore it with spacing=ignore",
        )
    return np.array(known, np.float64)


def _grid(
    seen: Sequence[_Seen], spacings: NDArray[np.float64] | None, fit: Fit, chosen: VolumeOptions
) -> tuple[tuple[int, int, int], tuple[float, ...], tuple[str, ...]]:
    """Size and spacing of inputs, and what to say of them."""
    shapes = np.array([one.shape[1:] for one in seen], np.float64)
    if fit == "patch":
        size = chosen.size or _three(np.minimum(shapes.min(0), MAX_SIDE))
        small = (shapes < np.array(size)).any(1)
        if small.any():
            raise DataError(
                f"{int(small.sum())} volumes are smaller than a patch of {_by(size)}",
                fix="choose a smaller size",
            )
        return size, (), (f"inputs are patches of {_by(size)} voxels at full resolution",)
    if spacings is None or fit == "resize":
        typical = np.median(shapes, 0)
        size = chosen.size or _three(typical / max(1.0, typical.max() / MAX_SIDE))
        return size, (), _said(shapes, size, fit)
    common = np.median(spacings, 0)
    if isinstance(chosen.spacing, tuple):
        common = np.array(chosen.spacing)
    typical = np.median(shapes * spacings / common, 0)
    if chosen.spacing is None:
        limit = np.array(chosen.size or (MAX_SIDE,) * 3)
        common = common * max(1.0, float((typical / limit).max()))
        typical = np.median(shapes * spacings / common, 0)
    size = chosen.size or _three(np.minimum(typical, MAX_SIDE))
    spacing = tuple(float(f"{value:.6g}") for value in common)
    lines = [f"volumes are resampled to {_by(spacing)} mm and cut or filled up to {_by(size)}"]
    if len(np.unique(spacings.round(4), axis=0)) > 1:
        low, high = spacings.min(0), spacings.max(0)
        lines.append(f"their spacings differ, from {_by(low)} to {_by(high)} mm")
    return size, spacing, tuple(lines)


def _said(shapes: NDArray[np.float64], size: tuple[int, ...], fit: Fit) -> tuple[str, ...]:
    other = int((shapes != np.array(size)).any(1).sum())
    if not other:
        return ()
    how = "scaled to" if fit == "resize" else "cut or filled up to"
    return (f"volumes are {how} {_by(size)} voxels; {other} of {len(shapes)} had another size",)


def _intensities(
    seen: Sequence[_Seen], chosen: VolumeOptions, channels: int
) -> tuple[tuple[tuple[float, float], ...], tuple[float, ...], tuple[float, ...]]:
    """Window, mean and deviation of each channel, every volume weighing the same."""
    pooled = np.stack([one.quantiles for one in seen], 1).reshape(channels, -1).astype(np.float64)
    window = np.percentile(pooled, _WINDOW, axis=1).T
    if chosen.window is not None:
        window = np.tile(chosen.window, (channels, 1))
    window = window.astype(np.float32).astype(np.float64)
    inside = pooled.clip(window[:, :1], window[:, 1:])
    std = inside.std(1)
    return (
        tuple((low, high) for low, high in window.tolist()),
        tuple(inside.mean(1).tolist()),
        tuple(np.where(std > 0, std, 1.0).tolist()),
    )


def _three(values: NDArray[np.float64]) -> tuple[int, int, int]:
    depth, height, width = (max(1, round(value)) for value in values.tolist())
    return depth, height, width


def _by(values: Iterable[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
