"""DICOM files that are items of their own: X-rays, clips, and files with odd tags."""

import io
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.data.layouts import open_source
from striate.data.readers.dicom import read_dicom_image, read_dicom_volume, read_series
from striate.data.readers.image import read_image
from striate.data.sandbox import read_all
from striate.data.source import Reading, UnreadableItem
from striate.fitting.check import check

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("nibabel")


def dicom(pixels: np.ndarray, *, bits: int = 12, **tags: object) -> bytes:
    """A DICOM file of (rows, columns), (frames, rows, columns) or the same with RGB behind."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    colours = pixels.dtype == np.uint8 and pixels.shape[-1] == 3
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[-3:-1] if colours else pixels.shape[-2:]
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored, data.HighBit = (8, 7) if pixels.dtype == np.uint8 else (bits, bits - 1)
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.SamplesPerPixel = 3 if colours else 1
    data.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    data.PlanarConfiguration = 0
    if pixels.ndim == (4 if colours else 3):
        data.NumberOfFrames = len(pixels)
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def numbers(*shape: int, dtype: type = np.uint16, top: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, shape).astype(dtype)


def test_an_x_ray_keeps_its_values_and_its_slope() -> None:
    pixels = numbers(8, 9)
    np.testing.assert_array_equal(read_image(dicom(pixels)).array, pixels[None])
    scaled = read_image(dicom(pixels, RescaleSlope="2", RescaleIntercept="-5"))
    np.testing.assert_array_equal(scaled.array, pixels[None] * np.float32(2) - 5)


def test_8_bit_grey_and_colours_become_rgb() -> None:
    grey, colours = (
        numbers(8, 9, dtype=np.uint8, top=255),
        numbers(8, 9, 3, dtype=np.uint8, top=255),
    )
    np.testing.assert_array_equal(read_image(dicom(grey)).array, np.stack([grey] * 3))
    np.testing.assert_array_equal(read_image(dicom(colours)).array, colours.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (numbers(8, 9), lambda p: 4095 - p),
        (numbers(8, 9, dtype=np.uint8, top=255), lambda p: 255 - p),
        (numbers(8, 9, dtype=np.int16, top=2000), lambda p: -1 - p),
    ],
)
def test_monochrome1_is_turned_around(pixels: np.ndarray, expected: object) -> None:
    reading = read_image(dicom(pixels, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(reading.array[0], expected(pixels))
    assert [note.code for note in reading.notes] == ["polarity"]
    frames = np.stack([pixels, pixels // 2])
    volume = read_dicom_volume(dicom(frames, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(volume.array[0, 0], expected(pixels))
    assert "polarity" in [note.code for note in volume.notes]


@pytest.mark.parametrize(
    "tags",
    [
        {"SamplesPerPixel": None},
        {"PhotometricInterpretation": None},
        {"PixelRepresentation": None},
        {"BitsStored": None, "HighBit": None},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"NumberOfFrames": ""},
        {"PixelSpacing": ""},
    ],
)
def test_what_has_one_meaning_may_be_missing_or_empty(tags: dict[str, object]) -> None:
    pixels = numbers(8, 9)
    np.testing.assert_array_equal(read_image(dicom(pixels, **tags)).array, pixels[None])


@pytest.mark.parametrize("name", ["Rows", "Columns", "PixelData"])
def test_what_cannot_be_guessed_is_named(name: str) -> None:
    with pytest.raises(UnreadableItem, match=f"no DICOM image: without {name}"):
        read_dicom_image(dicom(numbers(8, 9), **{name: None}))
    with pytest.raises(UnreadableItem, match="no DICOM image: ValueError"):
        read_dicom_image(dicom(numbers(8, 9), PixelData=bytes(10)))


def test_a_file_without_a_preamble_is_told_by_its_suffix(tmp_path: Path) -> None:
    pixels = numbers(8, 9)
    (tmp_path / "a.dcm").write_bytes(dicom(pixels)[132:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").array, pixels[None])


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"BM"])
def test_a_preamble_that_is_the_head_of_another_format(tmp_path: Path, head: bytes) -> None:
    pixels = numbers(8, 9)
    path = tmp_path / "scan.dcm"
    path.write_bytes(head.ljust(128, b"\0") + dicom(pixels)[128:])
    assert (striate.read(path).array[0] == pixels).all()


def test_frames_are_a_volume_of_grey_or_colours() -> None:
    grey, colours = numbers(5, 8, 9), numbers(5, 8, 9, 3, dtype=np.uint8, top=255)
    np.testing.assert_array_equal(read_dicom_volume(dicom(grey)).array, grey[None])
    reading = read_dicom_volume(dicom(colours))
    np.testing.assert_array_equal(reading.array, np.moveaxis(colours, -1, 0))
    with pytest.raises(UnreadableItem, match="5 frames, which are a volume"):
        read_image(dicom(grey))


def test_frames_in_functional_groups_are_put_in_order() -> None:
    from pydicom.dataset import Dataset

    def group(**sequences: Dataset) -> Dataset:
        data = Dataset()
        for name, item in sequences.items():
            setattr(data, name, [item])
        return data

    def tags(**values: object) -> Dataset:
        data = Dataset()
        for name, value in values.items():
            setattr(data, name, value)
        return data

    frames, order = numbers(4, 6, 7), [2, 0, 3, 1]
    shared = group(
        PixelMeasuresSequence=tags(PixelSpacing=[0.5, 0.25], SliceThickness=3),
        PlaneOrientationSequence=tags(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelValueTransformationSequence=tags(RescaleSlope="2", RescaleIntercept="1"),
    )
    places = [
        group(PlanePositionSequence=tags(ImagePositionPatient=[0, 0, 3 * place])) for place in order
    ]
    content = dicom(
        frames, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=places
    )
    reading = read_dicom_volume(content)
    expected = frames[np.argsort(order), ::-1, ::-1] * np.float32(2) + 1
    np.testing.assert_array_equal(reading.array[0], expected)
    np.testing.assert_allclose(reading.spacing, (3, 0.5, 0.25))


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_files_in_class_folders_are_images(tmp_path: Path, suffix: str) -> None:
    for label in "ab":
        for number in range(2):
            path = tmp_path / label / f"{number}{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(dicom(numbers(8, 9) + number))
    (tmp_path / "a" / "notes.txt").write_text("taken in May")
    source = open_source(tmp_path)
    assert source.kind == "image" and len(source.listing.items) == 4
    assert "1 .txt" in source.listing.notes[0].message
    for _, reading in read_all(source, source.listing.items, None, 1):
        assert isinstance(reading, Reading) and reading.array.shape == (1, 8, 9)


def test_frames_in_class_folders_and_in_folders_of_their_own_are_volumes(tmp_path: Path) -> None:
    clip = dicom(numbers(5, 8, 9))
    for name in ("a/0.dcm", "b/0.dcm"):
        for path in (tmp_path / "files" / name, tmp_path / "folders" / name / "1.dcm"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(clip)
    for root in (tmp_path / "files", tmp_path / "folders"):
        source = open_source(root)
        assert source.kind == "volume" and len(source.listing.items) == 2
        for _, reading in read_all(source, source.listing.items, None, 1):
            assert isinstance(reading, Reading) and reading.array.shape == (1, 5, 8, 9)


def series(folder: Path, **tags: object) -> Path:
    uid = pydicom.uid.generate_uid()
    folder.mkdir(parents=True)
    for place in range(4):
        usual = {
            "SeriesInstanceUID": uid,
            "InstanceNumber": place + 1,
            "ImagePositionPatient": [0, 0, 3.0 * place],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [1, 1],
        }
        content = dicom(numbers(12, 12) + len(folder.name), **{**usual, **tags})
        (folder / f"{place}.dcm").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": ""},
        {"ImagePositionPatient": ""},
        {"ImageOrientationPatient": [1, 0, 0, 0, 1]},
        {"InstanceNumber": "", "ImagePositionPatient": ""},
        {"Rows": 0},
        {"SamplesPerPixel": 3},
    ],
)
def test_one_bad_series_of_many_is_left_out(tmp_path: Path, tags: dict[str, object]) -> None:
    for label in "ab":
        for number in range(11):
            bad = (label, number) == ("a", 0)
            series(tmp_path / label / f"s{number}{label}", **(tags if bad else {}))
    checked = check(tmp_path)
    assert [skip.id for skip in checked.dataset.skipped] == ["a/s0a"]
    assert "\n" not in checked.dataset.skipped[0].reason


def test_series_none_of_which_has_a_spacing_are_read(tmp_path: Path) -> None:
    for label in "ab":
        for number in range(6):
            series(tmp_path / label / f"s{number}{label}", PixelSpacing="")
    checked = check(tmp_path)
    assert len(checked.dataset.items) == 12
    assert "no-spacing" in [note.code for note in checked.dataset.notes]


def test_a_directory_file_among_the_slices_is_no_slice(tmp_path: Path) -> None:
    root = series(tmp_path / "s")
    data = pydicom.dcmread(root / "0.dcm")
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    del data.PixelData
    data.save_as(root / "DICOMDIR")
    assert read_series(sorted(root.iterdir())).array.shape == (1, 4, 12, 12)


@pytest.mark.slow
def test_a_fit_of_x_rays(tmp_path: Path, own_cache: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("along", "across"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            wave = 2000 + 1000 * np.sin(np.arange(64) * rng.uniform(0.4, 1.2))
            plane = (wave[:, None] + rng.normal(0, 50, (64, 64))).astype(np.uint16)
            plane = plane if label == "along" else plane.T.copy()
            (tmp_path / "data" / label / f"{number}.dcm").write_bytes(dicom(plane))
    run = striate.fit(
        tmp_path / "data", out=tmp_path / "run", method="probe", image_size=64, device="cpu"
    )
    (answer,) = run.predict([tmp_path / "data" / "along" / "0.dcm"])
    assert answer.reason is None
