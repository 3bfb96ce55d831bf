"""DICOM series: put in order, scaled and turned; what makes no volume is left out."""

import io
from pathlib import Path

import numpy as np
import pytest

from striate.data.layouts import open_source
from striate.data.readers.dicom import read_series
from striate.data.readers.nifti import read_nifti
from striate.data.source import Reading, UnreadableItem
from striate.data.unlabelled import open_inputs

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)


def series(
    folder: Path,
    voxels: np.ndarray,
    *,
    gaps: tuple[float, ...] = (),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    series_uid: str | None = None,
) -> Path:
    """Slices (depth, rows, columns) in files whose names are in no order; stored as 3 v + 100."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    uid = series_uid or generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.concatenate([[0], np.cumsum(gaps or [2.5] * (len(voxels) - 1))])
    for number, plane in enumerate(voxels):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = folder / f"{(7 * number) % 11:02d}.dcm"
        data = FileDataset(str(name), {}, file_meta=meta, preamble=bytes(128))
        data.SeriesInstanceUID, data.InstanceNumber = uid, number + 1
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing = [0.9, 0.7]
        data.ImageOrientationPatient = list(orientation)
        data.ImagePositionPatient = [float(x) for x in -30 + normal * places[number]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 1
        data.RescaleSlope, data.RescaleIntercept = "0.5", "-1000"
        data.PixelData = plane.astype("<i2").tobytes()
        data.save_as(name, enforce_file_format=True)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_series_is_put_in_order_scaled_and_turned(tmp_path: Path) -> None:
    """Columns run to the left and rows to the back in an axial series; RAS runs the other way."""
    voxels = numbers(5, 6, 7)
    reading = read_series(files(series(tmp_path / "s", voxels)))
    expected = voxels[:, ::-1, ::-1] * np.float32(0.5) - 1000
    np.testing.assert_array_equal(reading.array[0], expected)
    np.testing.assert_allclose(reading.spacing, (2.5, 0.9, 0.7))


def test_a_series_equals_the_nifti_file_of_the_same_voxels(tmp_path: Path) -> None:
    voxels = numbers(5, 6, 7)
    orientation = (0.0, 0.98, -0.199, 0.0, -0.199, -0.98)  # sagittal, a little turned
    reading = read_series(files(series(tmp_path / "s", voxels, orientation=orientation)))
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([rows * 0.7, columns * 0.9, np.cross(rows, columns) * 2.5], 1)
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    nibabel.Nifti1Image(voxels.transpose(2, 1, 0), lps).to_filename(tmp_path / "a.nii")
    other = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(reading.array, other.array * np.float32(0.5) - 1000)
    np.testing.assert_allclose(reading.spacing, other.spacing, rtol=1e-3)


def test_a_folder_of_series(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(2):
            series(tmp_path / label / f"p{number}", numbers(3, 4, 5))
    source = open_source(tmp_path)
    assert source.kind == "volume" and len(source.listing.items) == 4
    assert source.listing.items[0].id == "a/p0" and source.listing.items[3].label == "b"
    assert source.read(source.listing.items[0]).array.shape == (1, 3, 4, 5)


def test_fault_54_series_that_make_no_volume(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        with pytest.raises(UnreadableItem) as caught:
            read_series(files(folder))
        assert "\n" not in str(caught.value)
        return caught.value.reason

    voxels = numbers(4, 5, 6)
    missing = series(tmp_path / "gap", voxels, gaps=(2.5, 5.0, 2.5))
    assert said(missing) == "slices are not evenly spaced: 5 mm after 07.dcm, elsewhere 2.5 mm"
    assert "lies where another slice lies" in said(
        series(tmp_path / "same", voxels, gaps=(0, 0, 0))
    )
    two = series(tmp_path / "two", voxels)
    series(two, voxels[:1])
    assert "files of 2 series" in said(two)
    uid = "1.2.3"
    mixed = series(tmp_path / "mixed", voxels, series_uid=uid)
    series(mixed, numbers(1, 9, 9), series_uid=uid)
    assert said(mixed) == "slices of different sizes: 5 x 6, 9 x 9"
    broken = series(tmp_path / "broken", voxels)
    (broken / "07.dcm").write_bytes((broken / "07.dcm").read_bytes()[:300])
    assert said(broken).startswith("07.dcm: ")
    (broken / "07.dcm").write_bytes(b"no dicom")
    assert said(broken).startswith("07.dcm: no DICOM image")


def test_files_without_positions_are_taken_by_number(tmp_path: Path) -> None:
    folder, voxels = series(tmp_path / "s", numbers(3, 4, 5)), numbers(3, 4, 5)
    for path in files(folder):
        data = pydicom.dcmread(path)
        del data.ImagePositionPatient
        data.SliceThickness = 4
        data.save_as(path)
    reading = read_series(files(folder))
    np.testing.assert_array_equal(reading.array[0], voxels * np.float32(0.5) - 1000)
    assert reading.spacing == (4.0, 0.9, 0.7)
    assert [note.code for note in reading.notes] == ["no-orientation"]


def test_a_reading_says_what_it_is_by_its_bytes(tmp_path: Path) -> None:
    one, again = series(tmp_path / "a", numbers(3, 4, 5)), tmp_path / "b"
    again.mkdir()
    for number, path in enumerate(files(one)):
        (again / f"{number}.dcm").write_bytes(path.read_bytes())
    digests: list[Reading] = [read_series(files(folder)) for folder in (one, again)]
    assert digests[0].sha256 == digests[1].sha256
    assert io.BytesIO(files(one)[0].read_bytes()).read(132)[128:] == b"DICM"


def test_a_series_to_predict(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", numbers(3, 4, 5))
    series(tmp_path / "t", numbers(3, 4, 5))
    np.save(tmp_path / "u.npy", numbers(3, 4, 5))
    for given, count in ((folder, 1), (tmp_path, 3)):
        inputs = open_inputs([given], kind="volume")
        assert len(inputs.listing.items) == count
        assert all(inputs.read(i).array.shape == (1, 3, 4, 5) for i in inputs.listing.items)
