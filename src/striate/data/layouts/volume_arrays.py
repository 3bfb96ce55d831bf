"""Volumes in one array: (N, D, H, W), (N, C, D, H, W) or (N, D, H, W, C); clips alike, time for depth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.folder_walk import check_classes
from striate.data.layouts.array_kinds import ARRAYS, ArrayKind, ArrayParts
from striate.data.layouts.arrays import class_names
from striate.data.readers.volume import channels_first, volume_reading
from striate.data.source import Item, Listing, Reading, Source
from striate.errors import DataError
from striate.typing import SplitName


class VolumeArrays(Source):
    """Volumes held in one array, or mapped from one file.

    Args:
        arrays: (N, D, H, W), (N, C, D, H, W) or (N, D, H, W, C); which axis holds the channels
            follows from their number (see `volume_files.MOST_COLOURS`).
        labels: (N,) names or numbers of classes; None where there are none.
        targets: (N,) numbers to predict; None where there are none.
        splits: (N,) the part of each volume, where the user gave it.
        groups: (N,) the group of each volume.
        spacing: of all volumes along (D, H, W), in millimetres; empty where it is not known.
        name: for messages and the run folder.

    Raises:
        DataError: shapes that are no volumes; labels or targets of another number.
    """

    kind = "volume"

    def __init__(
        self,
        arrays: NDArray[Any],
        labels: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        *,
        splits: Sequence[SplitName | None] | None = None,
        groups: Sequence[str] | None = None,
        spacing: Sequence[float] = (),
        name: str = "arrays",
    ) -> None:
        self.name = name
        if arrays.ndim not in (4, 5) or arrays.dtype.kind not in "buif" or not arrays.size:
            raise DataError(
                f"{name} holds {arrays.dtype} of the shape {arrays.shape}",
                why="volumes are numbers, (N, D, H, W), (N, C, D, H, W) or (N, D, H, W, C)",
            )
        if len(spacing) not in (0, 3):
            raise DataError(f"{name} has {len(spacing)} numbers in spacing", why="it is three")
        self._arrays, self._spacing = arrays, tuple(spacing)
        names = None if labels is None else class_names(labels, name)
        numbers = None if targets is None else np.asarray(targets, np.float64).reshape(-1)
        if numbers is not None and not np.isfinite(numbers).all():
            bad = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise DataError(f"target {bad} of {name} is {numbers[bad]}", why="it must be finite")
        columns = (("labels", names), ("targets", numbers), ("splits", splits), ("groups", groups))
        for what, column in columns:
            if column is not None and len(column) != len(arrays):
                raise DataError(f"{name} has {len(arrays)} volumes and {len(column)} {what}")
        items = tuple(
            Item(
                id=str(index),
                label=None if names is None else names[index],
                target=None if numbers is None else float(numbers[index]),
                split=None if splits is None else splits[index],
                group=None if groups is None else groups[index],
            )
            for index in range(len(arrays))
        )
        notes = () if names is None else tuple(check_classes(items, name))
        self.listing = Listing(items=items, notes=notes)

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The volume, channels first, as stored; raises UnreadableItem for NaN and Inf."""
        volume = np.ascontiguousarray(self._arrays[int(item.id)])
        sha256 = hashlib.sha256(volume.data).hexdigest()
        return volume_reading(channels_first(volume), sha256, self._spacing)


def _claims(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Five axes, or four of which none could be an image's one or three channels."""
    if dtype.kind not in "buif":
        return False
    return len(shape) == 5 or (len(shape) == 4 and not {shape[1], shape[3]} & {1, 3})


def _open(parts: ArrayParts) -> Source:
    labels = None if parts.labels is None else np.asarray(parts.labels)
    # Numbers that are not whole are no classes.
    regression = (
        labels is not None and labels.dtype.kind == "f" and bool((labels != np.rint(labels)).any())
    )
    spacing, groups = parts.extras.get("spacing"), parts.extras.get("groups")
    return VolumeArrays(
        parts.arrays,
        None if regression else labels,
        labels if regression else None,
        splits=parts.splits,
        groups=None if groups is None else [str(group) for group in groups.tolist()],
        spacing=() if spacing is None else spacing.ravel().tolist(),
        name=parts.name,
    )


ARRAYS.add("volume", ArrayKind(claims=_claims, open=_open))
