"""DICOM: one file of one frame is an image; several frames, or the files of a series, are a volume.

DICOM PS3.3, sections C.7.6.2 (Image Plane), C.7.6.3 (Image Pixel), C.7.6.16 (Multi-frame Functional
Groups) and C.11.1 (Modality LUT); read with pydicom. A tag that is missing, empty or no number is
taken for missing. MONOCHROME1, whose smallest value is white, is turned around.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.packages import imported, silenced
from striate.data.readers.content import head_of, opened, read_content
from striate.data.readers.dicom_slices import Slice, stacked
from striate.data.readers.image_formats import DICOM_SUFFIXES
from striate.data.readers.image_values import POLARITY, min_is_black, values_reading
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.volume import volume_reading
from striate.data.source import FileContent, Note, Reading, UnreadableItem
from striate.errors import MissingExtraError

MAX_BYTES: Final = 2**30
"""The largest file."""

MAX_VOXELS: Final = 2**31
"""The most voxels of a volume."""

PATIENCE: Final = 12
"""A series may take so many times as long to read as one picture."""

_NEEDED: Final = ("Rows", "Columns", "BitsAllocated", "PixelData")

_NO_IMAGES: Final = (
    "1.2.840.10008.1.3.10",  # DICOMDIR
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports
)
"""How the classes of files begin that lie beside the slices and hold no pixels."""


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's preamble, or a DICOM file's suffix."""
    return path.suffix.lower() in DICOM_SUFFIXES or head_of(path, 132)[128:] == b"DICM"


def has_frames(data: FileContent) -> bool:
    """Whether a file is of DICOM and has several frames; False where pydicom is not installed."""
    if head_of(data, 132)[128:] != b"DICM":
        return False
    try:
        pydicom = imported("pydicom", "volume")
        with silenced(), opened(data) as file:
            dataset = pydicom.dcmread(
                file, stop_before_pixels=True, specific_tags=["NumberOfFrames"]
            )
            return _num_frames(dataset) > 1
    except Exception:  # whatever is wrong with the file is said when it is read
        return False


def read_dicom_image(data: FileContent) -> Reading:
    """The image of one file of one frame: 8-bit RGB, or one channel with its values.

    Grey values of more than 8 bits are scaled by the file's slope and intercept.

    Raises:
        UnreadableItem: The file cannot be read, or has several frames.
        MissingExtraError: pydicom is not installed.
    """
    with _naming(""):
        content = read_content(data, MAX_BYTES)
        dataset = _dataset(content)
        sha256 = hashlib.sha256(content).hexdigest()
        if (count := _num_frames(dataset)) > 1:
            raise UnreadableItem(f"{count} frames, which are a volume, among images")
        plane, notes = _stored(dataset)[0], _notes([dataset])
        if plane.dtype == np.uint8 and _rescale(dataset) == (1.0, 0.0):
            pixels = plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=-1)
            return values_reading(np.moveaxis(pixels, -1, 0), sha256, notes)
        if plane.ndim == 3:
            return values_reading(np.moveaxis(plane, -1, 0), sha256, notes)
        return values_reading(_scaled(plane, dataset)[None], sha256, notes)


def read_dicom_volume(data: FileContent) -> Reading:
    """The volume of one file of several frames, (1 or 3, frames, rows, columns).

    Raises:
        UnreadableItem: The file cannot be read, or the frames' positions make no volume.
        MissingExtraError: pydicom is not installed.
    """
    with _naming(""):
        content = read_content(data, MAX_BYTES)
        return _of_frames(_dataset(content), hashlib.sha256(content).hexdigest())


def read_series(paths: Sequence[Path]) -> Reading:
    """The volume of the files of one series.

    Slices are put in order by position along their normal, values are scaled by each file's slope
    and intercept (Hounsfield units in CT). Files without a position are taken by their number, and
    the orientation is then unknown. One file of several frames alone is a volume as well.

    Args:
        paths: The files, one a slice, in any order.

    Raises:
        UnreadableItem: A file cannot be read (it is named), has colours or several frames; the
            slices are of several series, of different sizes or directions; or one is missing.
        MissingExtraError: pydicom is not installed.
    """
    digest = hashlib.sha256()
    datasets = []
    for path in sorted(paths):
        with _naming(path.name):
            content = read_content(path, MAX_BYTES)
            digest.update(hashlib.sha256(content).digest())
            dataset = _read(content)
            kind = str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", ""))
            if not kind.startswith(_NO_IMAGES):
                datasets.append((path.name, _checked(dataset)))
    if not datasets:
        raise UnreadableItem("no file of the folder holds an image")
    if len(datasets) == 1 and _num_frames(datasets[0][1]) > 1:
        with _naming(datasets[0][0]):
            return _of_frames(datasets[0][1], digest.hexdigest())
    slices = []
    _check_one_series(datasets)
    for name, dataset in datasets:
        with _naming(name):
            slices.append(_slice(name, dataset))
    with _naming(""):
        voxels, spacing, notes = stacked(slices)
    notes += _notes([dataset for _, dataset in datasets])
    return volume_reading(voxels[None], digest.hexdigest(), spacing, notes)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the file in what is wrong with it: pydicom's and NumPy's errors are of the file."""
    start = f"{name}: " if name else ""
    try:
        with silenced():
            yield
    except MissingExtraError:
        raise
    except UnreadableItem as error:
        raise UnreadableItem(f"{start}{error.reason}") from None
    except Exception as error:
        # pydicom raises nearly every built-in exception on a broken file.
        raise UnreadableItem.because_of(error, f"{start}no DICOM image") from None


def _dataset(content: bytes) -> Any:
    return _checked(_read(content))


def _read(content: bytes) -> Any:
    """The data of a file, with a transfer syntax also where it has none."""
    pydicom = imported("pydicom", "volume")
    uid = imported("pydicom.uid", "volume")
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = plain if little else uid.ExplicitVRBigEndian
    return dataset


def _checked(dataset: Any) -> Any:
    """The data with what can only have one meaning filled in where it is missing or empty.

    Raises:
        UnreadableItem: It is no image, or has too many pixels.
    """
    missing = [name for name in _NEEDED if _empty(dataset, name)]
    if missing:
        raise UnreadableItem(f"no DICOM image: without {', '.join(missing)}")
    samples = int(_number(dataset, "SamplesPerPixel") or 1)
    usual = {
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "RGB",
        "PixelRepresentation": 0,
        "BitsStored": int(dataset.BitsAllocated),
        "PlanarConfiguration": 0,
    }
    for name, value in usual.items():
        if _empty(dataset, name):
            setattr(dataset, name, value)
    if _empty(dataset, "HighBit"):
        dataset.HighBit = int(dataset.BitsStored) - 1
    if _num_frames(dataset) * int(dataset.Rows) * int(dataset.Columns) > MAX_VOXELS:
        raise UnreadableItem(f"over {MAX_VOXELS} voxels")
    return dataset


def _empty(dataset: Any, name: str) -> bool:
    value = dataset.get(name)
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _number(dataset: Any, name: str) -> float | None:
    """The number in a tag; None where it is missing, empty or no finite number."""
    numbers = _numbers(dataset, name, 1)
    return None if numbers is None else float(numbers[0])


def _numbers(dataset: Any, name: str, count: int) -> NDArray[np.float64] | None:
    """So many numbers in a tag; None where it is missing, empty or holds anything else."""
    if _empty(dataset, name):
        return None
    try:
        numbers = np.array(dataset.get(name), np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _num_frames(dataset: Any) -> int:
    return int(_number(dataset, "NumberOfFrames") or 1)


def _stored(dataset: Any) -> NDArray[Any]:
    """The frames, (frames, rows, columns) grey with black as the smallest, or with RGB behind."""
    array = np.asarray(dataset.pixel_array)
    kind = str(dataset.PhotometricInterpretation).strip().upper()
    if kind == "PALETTE COLOR":
        array = np.asarray(imported("pydicom.pixels", "volume").apply_color_lut(array, dataset))
        array = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
    colours = int(dataset.SamplesPerPixel) == 3 or kind == "PALETTE COLOR"
    if array.ndim == (3 if colours else 2):
        array = array[None]
    if array.ndim != (4 if colours else 3):
        raise UnreadableItem(f"an image of shape {array.shape}")
    if kind == "MONOCHROME1":
        array = min_is_black(array, int(dataset.BitsStored))
    return array


def _rescale(dataset: Any) -> tuple[float, float]:
    """The slope and the intercept; 1 and 0 where there are none."""
    return _number(dataset, "RescaleSlope") or 1.0, _number(dataset, "RescaleIntercept") or 0.0


def _scaled(plane: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """Grey values scaled as the file says; as they are where it says nothing."""
    slope, intercept = _rescale(dataset)
    if (slope, intercept) == (1.0, 0.0):
        return plane
    return plane.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _notes(datasets: Sequence[Any]) -> tuple[Note, ...]:
    turned = any(str(d.PhotometricInterpretation).strip() == "MONOCHROME1" for d in datasets)
    return (POLARITY,) if turned else ()


def _slice(name: str, dataset: Any) -> Slice:
    """One file of a series."""
    if _num_frames(dataset) > 1:
        raise UnreadableItem("several frames, beside other files; put each in a folder of its own")
    if int(dataset.SamplesPerPixel) != 1:
        raise UnreadableItem("colours, where grey values are needed")
    return Slice(
        name=name,
        values=np.asarray(_scaled(_stored(dataset)[0], dataset), np.float32),
        position=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        plane_spacing=_numbers(dataset, "PixelSpacing", 2),
        thickness=_number(dataset, "SpacingBetweenSlices") or _number(dataset, "SliceThickness"),
        number=int(_number(dataset, "InstanceNumber") or 0),
    )


def _of_frames(dataset: Any, sha256: str) -> Reading:
    """The volume of the frames of one file; what all frames share is said once."""
    frames = _stored(dataset)
    notes = _notes([dataset])
    if frames.ndim == 4:
        return volume_reading(np.moveaxis(frames, -1, 0), sha256, notes=notes)
    slices = []
    for number, plane in enumerate(frames):
        measures = _of_frame(dataset, number, "PixelMeasuresSequence") or dataset
        place = _of_frame(dataset, number, "PlanePositionSequence")
        turn = _of_frame(dataset, number, "PlaneOrientationSequence")
        values = _of_frame(dataset, number, "PixelValueTransformationSequence") or dataset
        slices.append(
            Slice(
                name=f"frame {number + 1}",
                values=np.asarray(_scaled(plane, values), np.float32),
                position=None if place is None else _numbers(place, "ImagePositionPatient", 3),
                orientation=None if turn is None else _numbers(turn, "ImageOrientationPatient", 6),
                plane_spacing=_numbers(measures, "PixelSpacing", 2),
                thickness=_number(dataset, "SpacingBetweenSlices")
                or _number(measures, "SpacingBetweenSlices")
                or _number(measures, "SliceThickness"),
                number=number,
            )
        )
    voxels, spacing, remarks = stacked(slices)
    return volume_reading(voxels[None], sha256, spacing, remarks + notes)


def _of_frame(dataset: Any, number: int, sequence: str) -> Any:
    """What a frame's functional groups, or those that all share, say of one subject; or None."""
    groups = [
        *list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[number : number + 1],
        *list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1],
    ]
    found = [group.get(sequence)[0] for group in groups if group.get(sequence)]
    return found[0] if found else None


def _check_one_series(datasets: Sequence[tuple[str, Any]]) -> None:
    series = {str(dataset.get("SeriesInstanceUID") or "") for _, dataset in datasets}
    if len(series) > 1:
        raise UnreadableItem(f"files of {len(series)} series; put each in a folder of its own")
    sizes = {(int(dataset.Rows), int(dataset.Columns)) for _, dataset in datasets}
    if len(sizes) > 1:
        listing = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes))
        raise UnreadableItem(f"slices of different sizes: {listing}")
    if len(datasets) * sizes.pop()[0] * int(datasets[0][1].Columns) > MAX_VOXELS:
        raise UnreadableItem(f"over {MAX_VOXELS} voxels")


READERS.add(
    "dicom-frames",
    FileReader(
        "volume", DICOM_SUFFIXES, read_dicom_volume, has_frames, isolated=True, patience=PATIENCE
    ),
)
