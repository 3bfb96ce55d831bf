"""Volumes in DICOM series: a folder with one file a slice, put in order and turned to one orientation.

DICOM PS3.3, sections C.7.6.2 (Image Plane) and C.11.1 (Modality LUT); read with pydicom.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from striate.data.names import natural_key
from striate.data.packages import imported
from striate.data.readers.content import head_of, read_content
from striate.data.readers.volume import canonical, volume_reading
from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import MissingExtraError

MAX_BYTES: Final = 2**30
"""The largest file of a slice."""

MAX_VOXELS: Final = 2**31
"""The most voxels of a series."""

SUFFIXES: Final = (".dcm", ".dicom")

_NEEDED: Final = ("Rows", "Columns", "BitsAllocated", "PixelData")

_UNEVEN: Final = 0.1
"""The share of the usual gap between slices by which one may differ."""


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's preamble, or a DICOM file's suffix."""
    return path.suffix.lower() in SUFFIXES or head_of(path, 132)[128:] == b"DICM"


def read_series(paths: Sequence[Path]) -> Reading:
    """The volume of the files of one series.

    Slices are put in order by position along their normal, values are scaled by each file's slope
    and intercept (Hounsfield units in CT). Files without a position are taken by their number, and
    the orientation is then unknown.

    Args:
        paths: The files, one a slice, in any order.

    Raises:
        UnreadableItem: A file cannot be read (it is named), has colours or several frames; the
            slices are of several series, of different sizes or directions; or one is missing.
        MissingExtraError: pydicom is not installed.
    """
    digest = hashlib.sha256()
    slices = []
    for path in sorted(paths):
        with _naming(path.name):
            content = read_content(path, MAX_BYTES)
            slices.append((path.name, _dataset(content)))
        digest.update(hashlib.sha256(content).digest())
    _check_one_series([dataset for _, dataset in slices])
    first = slices[0][1]
    if len(slices) * int(first.Rows) * int(first.Columns) > MAX_VOXELS:
        raise UnreadableItem(f"over {MAX_VOXELS} voxels")
    if not all("ImagePositionPatient" in d and "ImageOrientationPatient" in d for _, d in slices):
        return _by_number(slices, digest.hexdigest())
    rows, columns = np.array(first.ImageOrientationPatient, np.float64).reshape(2, 3)
    normal = np.cross(rows, columns)
    places = np.array([np.array(d.ImagePositionPatient, np.float64) for _, d in slices])
    order = np.argsort(places @ normal, kind="stable")
    gap = _even_gap((places @ normal)[order], [slices[i][0] for i in order], first)
    voxels = np.stack([_values(*slices[i]) for i in order])
    between_rows, between_columns = (float(step) for step in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = rows * between_columns, columns * between_rows
    affine[:3, 2] = normal * gap
    affine[:2] *= -1  # DICOM counts to the left and to the back
    turned, spacing = canonical(voxels.transpose(2, 1, 0), affine)
    return volume_reading(turned[None], digest.hexdigest(), spacing)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the slice in what is wrong with it: pydicom's and NumPy's errors are of the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MissingExtraError:
        raise
    except UnreadableItem as error:
        raise UnreadableItem(f"{name}: {error.reason}") from None
    except Exception as error:
        # pydicom raises nearly every built-in exception on a broken file.
        raise UnreadableItem(f"{name}: no DICOM image: {error}") from None


def _dataset(content: bytes) -> Any:
    dataset = imported("pydicom", "volume").dcmread(io.BytesIO(content), force=False)
    missing = [name for name in _NEEDED if name not in dataset]
    if missing:
        raise UnreadableItem(f"no DICOM image: without {', '.join(missing)}")
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        raise UnreadableItem("several frames in one file; save one file a slice")
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise UnreadableItem("colours, where grey values are needed")
    return dataset


def _check_one_series(datasets: Sequence[Any]) -> None:
    series = {str(dataset.get("SeriesInstanceUID", "")) for dataset in datasets}
    if len(series) > 1:
        raise UnreadableItem(f"files of {len(series)} series; put each in a folder of its own")
    sizes = {(int(dataset.Rows), int(dataset.Columns)) for dataset in datasets}
    if len(sizes) > 1:
        listing = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))
        raise UnreadableItem(f"slices of different sizes: {listing}")
    for name in ("ImageOrientationPatient", "PixelSpacing"):
        values = [np.array(d.get(name) or (), np.float64) for d in datasets]
        if any(
            v.shape != values[0].shape or not np.allclose(v, values[0], atol=1e-3) for v in values
        ):
            raise UnreadableItem(f"slices differ in {name}")


def _even_gap(along: Float[np.ndarray, " slices"], names: Sequence[str], first: Any) -> float:
    """The millimetres from slice to slice."""
    if len(along) == 1:
        return float(first.get("SpacingBetweenSlices") or first.get("SliceThickness") or 1.0)
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if usual <= 0:
        raise UnreadableItem(f"{names[int(gaps.argmin())]} lies where another slice lies")
    away = np.abs(gaps - usual)
    if away.max() > _UNEVEN * usual:
        worst = int(away.argmax())
        raise UnreadableItem(
            f"slices are not evenly spaced: {gaps[worst]:g} mm after {names[worst]}, "
            f"elsewhere {usual:g} mm"
        )
    return usual


def _by_number(slices: list[tuple[str, Any]], sha256: str) -> Reading:
    """A volume whose files give no positions."""
    numbered = all(dataset.get("InstanceNumber") not in (None, "") for _, dataset in slices)
    ordered = sorted(slices, key=lambda pair: natural_key(pair[0]))
    if numbered:
        ordered.sort(key=lambda pair: int(pair[1].InstanceNumber))
    order = "of their numbers" if numbered else "of their files' names, for some have no number"
    first = ordered[0][1]
    depth = first.get("SpacingBetweenSlices") or first.get("SliceThickness")
    plane = first.get("PixelSpacing")
    spacing = (float(depth), float(plane[0]), float(plane[1])) if depth and plane else ()
    note = Note(
        code="no-orientation",
        message=f"the files give no positions; slices are in the order {order}",
    )
    voxels = np.stack([_values(*pair) for pair in ordered])
    return volume_reading(voxels[None], sha256, spacing, (note,))


def _values(name: str, dataset: Any) -> NDArray[np.float32]:
    """The values of a slice (rows, columns), scaled as its file says."""
    with _naming(name):
        stored = np.asarray(dataset.pixel_array, np.float32)
        slope = float(dataset.get("RescaleSlope", 1))
        intercept = float(dataset.get("RescaleIntercept", 0))
        if stored.ndim != 2:
            raise UnreadableItem(f"an image of shape {stored.shape}")
    return stored * np.float32(slope) + np.float32(intercept)
