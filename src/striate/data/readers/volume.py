"""Volumes in array files (NPY, NPZ), and what every reading of a volume must hold to.

An array is (depth, height, width), (channels, depth, height, width) or (depth, height, width,
channels); a clip is the same with time for depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from striate.data.packages import imported
from striate.data.readers.content import head_of, sha256_of
from striate.data.readers.image_values import looks_like_image
from striate.data.readers.npy import num_axes, opened_npz, read_npy
from striate.data.readers.reader import ARRAYS, READERS, ArrayKind, Arrays, FileReader, stored_item
from striate.data.source import FileContent, Note, Reading, UnreadableItem
from striate.errors import DataError

MAX_CHANNELS: Final = 4
"""An axis of four axes that is no longer than this is taken for the channels, the first before the
last."""

NAMES: Final[tuple[str, ...]] = ("volume", "array", "data", "x", "arr_0")
"""Names that the volume of an .npz file goes by, in lower case; a single array needs none."""

_SLAB_VOXELS: Final = 1 << 24


def volume_reading(
    array: NDArray[Any],
    sha256: str,
    spacing: Sequence[float] = (),
    notes: tuple[Note, ...] = (),
) -> Reading:
    """A reading of a volume, checked. What is mapped from the disk stays mapped.

    Args:
        array: The volume's numbers, (channels, depth, height, width).
        sha256: The SHA-256 of what is stored.
        spacing: The millimetres between voxels along (depth, height, width); empty where they are
            not known.
        notes: Remarks on the item.

    Raises:
        UnreadableItem: The volume is empty or holds no real numbers; it holds NaN or Inf, with
            the first index; or the spacing is none.
    """
    if array.dtype.kind not in "buif":
        raise UnreadableItem(f"{array.dtype} values, not real numbers")
    if array.size == 0:
        raise UnreadableItem(f"no voxels: the shape is {array.shape}")
    if array.dtype.itemsize > 4:
        array = array.astype(np.float32)  # where a number may become Inf
    if array.dtype.kind == "f":
        _check_finite(array)
    if not all(np.isfinite(spacing)) or any(step <= 0 for step in spacing):
        raise UnreadableItem(f"a spacing of {' x '.join(f'{step:g}' for step in spacing)} mm")
    return Reading(array=array, sha256=sha256, spacing=tuple(map(float, spacing)), notes=notes)


def _check_finite(array: NDArray[Any]) -> None:
    """Look through (channels, depth, ...) for values that are not finite, some slices at a time.

    Raises:
        UnreadableItem: There are; the first is named by its index in space and its channel.
    """
    step = max(1, _SLAB_VOXELS // max(1, array[:, :1].size))
    for start in range(0, array.shape[1], step):
        slab = array[:, start : start + step]
        bad = ~np.isfinite(slab)
        if bad.any():
            channel, depth, *rest = (int(index) for index in np.argwhere(bad)[0])
            place = ", ".join(map(str, (depth + start, *rest)))
            raise UnreadableItem(
                f"values that are not finite, the first {slab[channel, depth, *rest]} "
                f"at index ({place}) of channel {channel}"
            )


def channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """The array as (channels, depth, height, width), by the rule of `MAX_CHANNELS`; a view.

    Raises:
        UnreadableItem: The array has neither three axes nor four.
    """
    if array.ndim == 3:
        return array[None]
    if array.ndim != 4:
        raise UnreadableItem(f"an array of shape {array.shape}; a volume has three or four axes")
    if array.shape[0] > MAX_CHANNELS >= array.shape[3]:
        return np.moveaxis(array, 3, 0)
    return array


def canonical(
    array: NDArray[Any], affine: Float[np.ndarray, "4 4"]
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """The voxels as (depth, height, width): from feet to head, back to front, left to right.

    Each axis takes the place of the direction that it is nearest to, flipped where it runs against
    it; nothing is interpolated. This is nibabel's `as_closest_canonical` (RAS) with the axes in
    reverse order.

    Args:
        array: The voxels (i, j, k); further axes stay behind.
        affine: The map from (i, j, k, 1) to millimetres to the right, to the front and to the
            head.

    Returns:
        A view of the array, and the spacing along (depth, height, width) in millimetres.

    Raises:
        UnreadableItem: The map leaves out an axis.
        MissingExtraError: nibabel is not installed.
    """
    orientations = imported("nibabel.orientations", "volume")
    orientation = orientations.io_orientation(affine)
    if np.isnan(orientation).any():
        raise UnreadableItem("the orientation makes a plane of the volume")
    turned = orientations.apply_orientation(array, orientation)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(0))[np.argsort(orientation[:, 0])]
    return turned.transpose(2, 1, 0, *range(3, array.ndim)), tuple(spacing[::-1].tolist())


def read_npy_volume(data: FileContent) -> Reading:
    """A volume from an .npy file, mapped; its header is checked against the file first.

    Raises:
        UnreadableItem: The file cannot be read, holds objects, or is no volume.
    """
    return volume_reading(channels_first(read_npy(data)), sha256_of(data))


def read_npz_volume(data: FileContent) -> Reading:
    """A volume from an .npz file, with its spacing where there is an array of that name.

    Raises:
        UnreadableItem: The file cannot be read, expands beyond reason, holds objects, or holds
            no volume, or several.
    """
    with opened_npz(data) as arrays:
        spacing = arrays.pop("spacing", None)
        found = [name for name in NAMES if name in arrays] or list(arrays)
        if not found or (len(arrays) > 1 and found[0] not in NAMES):
            raise UnreadableItem(f"arrays {', '.join(arrays) or 'none'}; name one volume")
        array = arrays[found[0]]()
        steps = () if spacing is None else spacing().ravel().tolist()
    if len(steps) not in (0, 3):
        raise UnreadableItem(f"{len(steps)} numbers in spacing; a volume has three")
    return volume_reading(channels_first(array), sha256_of(data), steps)


def _array_reader(
    arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str
) -> Callable[[int], Reading]:
    """Volumes in one array (N, D, H, W), (N, C, D, H, W) or (N, D, H, W, C), or mapped from a file.

    Clips are the same with time for depth. Which axis holds the channels follows from their number
    (see `MAX_CHANNELS`).
    """
    volumes = np.asarray(arrays)
    if volumes.ndim not in (4, 5) or volumes.dtype.kind not in "buif" or not volumes.size:
        raise DataError(
            f"{name} holds {volumes.dtype} of the shape {volumes.shape}",
            why="volumes are numbers, (N, D, H, W), (N, C, D, H, W) or (N, D, H, W, C)",
        )
    spacing = extras.get("spacing", np.empty(0)).ravel().tolist()
    if len(spacing) not in (0, 3):
        raise DataError(f"{name} has {len(spacing)} numbers in spacing", why="it is three")

    def read(index: int) -> Reading:
        volume, sha256 = stored_item(volumes, index)
        return volume_reading(channels_first(volume), sha256, spacing)

    return read


def _claims(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether there are five axes, or four of which none could be an image's channels."""
    if dtype.kind not in "buif":
        return False
    image = bool({shape[1], shape[-1]} & {1, 3}) or looks_like_image(shape[1:])
    return len(shape) == 5 or (len(shape) == 4 and not image)


READERS.add(
    "volume-npy",
    FileReader(
        "volume", (".npy",), read_npy_volume, lambda data: num_axes(data) in (3, 4), last=True
    ),
)
READERS.add(
    "volume-npz",
    FileReader("volume", (".npz",), read_npz_volume, lambda data: head_of(data, 4) == b"PK\3\4"),
)
ARRAYS.add(
    "volume",
    ArrayKind(
        _claims,
        lambda shape, channels: len(shape) == 3 or (len(shape) == 4 and channels > 1),
        _array_reader,
    ),
)
