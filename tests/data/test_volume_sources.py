"""Volumes from files: what is read, how it lies, and what is left out (faults.md, 49-54)."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import ArraySource, open_source
from striate.data.layouts.slices import read_slices
from striate.data.readers.nifti import read_nifti
from striate.data.readers.volume import canonical, read_npy_volume, read_npz_volume
from striate.data.source import UnreadableItem
from striate.errors import DataError

nibabel = pytest.importorskip("nibabel")

AFFINES = {
    "ras": np.diag([0.8, 0.9, 2.5, 1]),
    "lps": np.diag([-0.8, -0.9, 2.5, 1]),
    "sagittal": np.array([[0, 0, 3.0, 5], [-0.7, 0, 0, 9], [0, -0.7, 0, 1], [0, 0, 0, 1]]),
    "oblique": np.array(
        [[0.95, -0.2, 0.1, -40], [0.25, 0.9, -0.3, 12], [-0.1, 0.35, 2.0, 7], [0, 0, 0, 1.0]]
    ),
}


def numbers(*shape: int, kind: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(kind)


def nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(array, AFFINES["ras"] if affine is None else affine).to_filename(path)
    return path


def reason(read: object, path: Path) -> str:
    with pytest.raises(UnreadableItem) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return caught.value.reason


# --- NIfTI ---


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_is_turned_as_nibabel_does(tmp_path: Path, name: str, suffix: str) -> None:
    array = numbers(5, 6, 7)
    reading = read_nifti(nifti(tmp_path / f"a{suffix}", array, AFFINES[name]))
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, AFFINES[name]))
    np.testing.assert_array_equal(reading.array[0], np.asarray(theirs.dataobj).transpose(2, 1, 0))
    zooms = nibabel.affines.voxel_sizes(theirs.affine)[::-1]
    np.testing.assert_allclose(reading.spacing, zooms, rtol=1e-6)


def test_canonical_on_random_orientations() -> None:
    rng = np.random.default_rng(0)
    array = numbers(3, 4, 5)
    for _ in range(60):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.5, 3, 3)
        theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
        turned, spacing = canonical(array, affine)
        np.testing.assert_array_equal(turned, np.asarray(theirs.dataobj).transpose(2, 1, 0))
        np.testing.assert_allclose(spacing, nibabel.affines.voxel_sizes(theirs.affine)[::-1])


def test_nifti_scaling_channels_and_units(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers(4, 5, 6, 2), AFFINES["ras"])
    image.header.set_slope_inter(2.0, -1000.0)
    image.header.set_xyzt_units("micron", "sec")
    path = tmp_path / "a.nii"
    image.to_filename(path)
    reading = read_nifti(path)
    expected = np.asarray(nibabel.load(path).dataobj).transpose(3, 2, 1, 0)
    assert reading.array.dtype == np.float32 and reading.array.shape == (2, 6, 5, 4)
    np.testing.assert_allclose(reading.array, expected, rtol=1e-6)
    np.testing.assert_allclose(reading.spacing, (0.0025, 0.0009, 0.0008), rtol=1e-6)


def test_nifti_two_and_big_endian(tmp_path: Path) -> None:
    array = numbers(3, 4, 5)
    nibabel.Nifti2Image(array, np.eye(4)).to_filename(tmp_path / "two.nii")
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.Nifti1Image(array, np.eye(4), header).to_filename(tmp_path / "big.nii.gz")
    for name in ("two.nii", "big.nii.gz"):
        np.testing.assert_array_equal(
            read_nifti(tmp_path / name).array[0], array.transpose(2, 1, 0)
        )


def test_an_unscaled_nifti_stays_mapped(tmp_path: Path) -> None:
    array = read_nifti(nifti(tmp_path / "a.nii", numbers(5, 6, 7))).array
    while array.base is not None and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap)


def test_fault_51_a_gzip_bomb_is_skipped(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4))
    content = bytearray(image.to_bytes())
    content[40:56] = struct.pack("<8h", 3, 1024, 1024, 70, 1, 1, 1, 1)
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(content + bytes(70 * 2**20))
    assert (tmp_path / "bomb.nii.gz").stat().st_size < 300_000
    assert "expands from" in reason(read_nifti, tmp_path / "bomb.nii.gz")
    with gzip.open(tmp_path / "tail.nii.gz", "wb") as file:  # the header tells of one voxel
        file.write(image.to_bytes() + bytes(2**20))
    assert read_nifti(tmp_path / "tail.nii.gz").array.shape == (1, 1, 1, 1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_padding_behind_the_voxels_is_left_alone(tmp_path: Path, suffix: str) -> None:
    path = nifti(tmp_path / f"a{suffix}", numbers(5, 6, 7))
    whole = read_nifti(path).array
    packed = suffix == ".nii.gz"
    plain = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()) + bytes(512)
    path.write_bytes(gzip.compress(plain) if packed else plain)
    for data in (path, path.read_bytes()):
        np.testing.assert_array_equal(read_nifti(data).array, whole)


@pytest.mark.parametrize(("values", "background"), [((1, 9), 0), ((-3, 5), 0), ((-9, -2), -9)])
def test_nan_outside_the_brain_is_background(
    tmp_path: Path, values: tuple[int, int], background: int
) -> None:
    array = np.resize(np.array(values, np.float32), (4, 5, 6))
    array[:2] = np.nan
    reading = read_nifti(nifti(tmp_path / "a.nii.gz", array))
    assert set(np.unique(reading.array)) == {*values, background}
    assert reading.notes[0].message == f"NaN in 0.5 of the voxels, taken as {background}"
    array[:] = np.nan
    assert "not finite" in reason(read_nifti, nifti(tmp_path / "b.nii", array))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_fault_53_a_nifti_of_another_length_is_skipped(tmp_path: Path, suffix: str) -> None:
    path = nifti(tmp_path / f"a{suffix}", numbers(5, 6, 7))
    plain = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
    for held in (400, len(plain) - 1):
        cut = plain[:held]
        path.write_bytes(gzip.compress(cut) if suffix == ".nii.gz" else cut)
        assert f"needs {len(plain)} bytes and there are {held}" in reason(read_nifti, path)
    lying = bytearray(plain)
    lying[40:56] = struct.pack("<8h", 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path.write_bytes(gzip.compress(lying) if suffix == ".nii.gz" else bytes(lying))
    said = reason(read_nifti, path)
    assert "70362301923678" in said  # the petabytes asked for are named, not allocated


def test_fault_53_a_damaged_gzip_is_skipped(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", numbers(9, 9, 9))
    packed = path.read_bytes()
    path.write_bytes(packed[: len(packed) // 2])
    assert "damaged" in reason(read_nifti, path)
    path.write_bytes(b"not gzip at all")
    assert "gzip" in reason(read_nifti, path).lower()


@pytest.mark.parametrize("content", [b"", b"text, not a header", bytes(400)])
def test_no_nifti(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(content)
    assert reason(read_nifti, tmp_path / "a.nii") in (
        "empty file",
        "no NIfTI file: its first number is neither 348 nor 540",
    )


def test_fault_52_nan_is_skipped_with_its_index(tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.float32)
    array[3, 2, 1] = np.inf  # x, y, z
    path = nifti(tmp_path / "a.nii", array)
    assert "first inf at index (1, 2, 3) of channel 0" in reason(read_nifti, path)
    clip = np.zeros((7, 5, 6, 3), np.float32)
    clip[6, 1, 2, 2] = np.inf
    np.save(tmp_path / "a.npy", clip)
    assert "first inf at index (6, 1, 2) of channel 2" in reason(
        read_npy_volume, tmp_path / "a.npy"
    )


# --- arrays ---


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6, 7), (1, 5, 6, 7)),
        ((2, 5, 6, 7), (2, 5, 6, 7)),
        ((8, 6, 7, 3), (3, 8, 6, 7)),
        ((3, 6, 7, 3), (3, 6, 7, 3)),
    ],
)
def test_array_files(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = numbers(*shape)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", volume=array, spacing=np.array([3.0, 1, 1]))
    one, other = read_npy_volume(tmp_path / "a.npy"), read_npz_volume(tmp_path / "a.npz")
    assert one.array.shape == other.array.shape == expected
    np.testing.assert_array_equal(one.array, other.array)
    assert one.array.sum() == array.sum()
    assert one.spacing == () and other.spacing == (3.0, 1.0, 1.0)
    assert len(one.sha256) == 64


def lying_npy(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)


def test_fault_49_a_lying_npy_header_is_skipped(tmp_path: Path) -> None:
    content = lying_npy("(100000, 100000, 100000)")
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("volume.npy", content)
    assert "there are 64" in reason(read_npy_volume, tmp_path / "a.npy")
    assert "there are 64" in reason(read_npz_volume, tmp_path / "a.npz")


def test_fault_50_objects_are_refused(tmp_path: Path) -> None:
    array = np.empty((2, 2, 2), object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", volume=array)
    assert "run code" in reason(read_npy_volume, tmp_path / "a.npy")
    assert "run code" in reason(read_npz_volume, tmp_path / "a.npz")


def test_fault_51_an_npz_bomb_is_skipped(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", volume=np.zeros((70, 1024, 1024), np.uint8))
    assert "expands from" in reason(read_npz_volume, tmp_path / "a.npz")


def test_arrays_that_are_no_volumes(tmp_path: Path) -> None:
    for array, said in (
        (np.zeros((3, 3)), "three or four axes"),
        (np.zeros((0, 3, 3)), "no voxels"),
        (np.zeros((3, 3, 3), complex), "not real numbers"),
    ):
        np.save(tmp_path / "a.npy", array)
        assert said in reason(read_npy_volume, tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", one=np.zeros((3, 3, 3)), two=np.zeros((3, 3, 3)))
    assert "name one volume" in reason(read_npz_volume, tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", volume=np.ones((3, 3, 3)), spacing=np.array([1.0, 0, 1]))
    assert "a spacing of 1 x 0 x 1 mm" in reason(read_npz_volume, tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nonsense")
    assert "zip" in reason(read_npz_volume, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 6, 7, 8), (1, 6, 7, 8)),
        ((4, 2, 6, 7, 8), (2, 6, 7, 8)),
        ((4, 6, 7, 8, 3), (3, 6, 7, 8)),
    ],
)
def test_a_pair_of_arrays(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    X, y = numbers(*shape), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "a.npz", X=X, y=y, spacing=[2.0, 1.0, 1.0], groups=[1, 1, 2, 2])
    source = open_source(tmp_path / "a.npz")
    assert source.kind == "volume"
    assert [(i.label, i.group) for i in source.listing.items] == [
        ("0", "1"), ("1", "1"), ("0", "2"), ("1", "2")
    ]  # fmt: skip
    reading = source.read(source.listing.items[2])
    assert reading.array.shape == expected and reading.spacing == (2.0, 1.0, 1.0)
    np.testing.assert_array_equal(np.sort(reading.array, None), np.sort(X[2], None))
    np.savez(tmp_path / "b.npz", X=X, y=[0.5, 1, 2, 3])
    items = open_source(tmp_path / "b.npz").listing.items
    assert [item.target for item in items] == [0.5, 1, 2, 3] and items[0].label is None


def test_four_axes_that_could_be_images_are_images_unless_said(tmp_path: Path) -> None:
    X, y = numbers(4, 3, 8, 8, kind="uint8"), [0, 1, 0, 1]
    np.savez(tmp_path / "a.npz", X=X, y=y)
    assert open_source(tmp_path / "a.npz").kind == "image"
    np.savez(tmp_path / "b.npz", X=X, y=y, kind="volume")
    source = open_source(tmp_path / "b.npz")
    assert source.kind == "volume"
    assert source.read(source.listing.items[0]).array.shape == (1, 3, 8, 8)


def test_arrays_that_do_not_fit_together() -> None:
    with pytest.raises(DataError, match="has 2 volumes and 3 labels"):
        ArraySource(np.zeros((2, 3, 3, 3)), ["a", "b", "a"], kind="volume")
    with pytest.raises(DataError, match="target 1 of arrays is inf"):
        ArraySource(np.zeros((2, 3, 3, 3)), targets=[1.0, np.inf], kind="volume")
    with pytest.raises(DataError, match="volumes are numbers"):
        ArraySource(np.zeros((2, 3, 3)), ["a", "b"], kind="volume")


# --- folders and manifests ---


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    for label in ("ill", "well"):
        for number in range(2):
            nifti(tmp_path / label / f"{number}.nii.gz", numbers(4, 5, 6))
    (tmp_path / "ill" / "notes.txt").write_text("seen")
    source = open_source(tmp_path)
    assert source.kind == "volume"
    assert [item.id for item in source.listing.items][:2] == ["ill/0.nii.gz", "ill/1.nii.gz"]
    assert source.read(source.listing.items[3]).array.shape == (1, 6, 5, 4)


def test_a_manifest_of_files_and_of_folders_of_slices(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", numbers(4, 5, 6))
    pictures(tmp_path / "b", 4)
    (tmp_path / "m.csv").write_text("path,target,group\na.npy,1.5,p\nb,2.5,q\n")
    source = open_source(tmp_path / "m.csv")
    assert source.kind == "volume"
    assert [(i.target, i.group) for i in source.listing.items] == [(1.5, "p"), (2.5, "q")]
    shapes = [source.read(item).array.shape for item in source.listing.items]
    assert shapes == [(1, 4, 5, 6), (1, 4, 6, 8)]


def pictures(folder: Path, count: int, mode: str = "L", size: tuple[int, int] = (8, 6)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        level = 20 * number if mode == "L" else (20 * number, 5, 90)
        Image.new(mode, size, level).save(folder / f"slice{number}.png")
    return folder


def test_slices_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    reading = read_slices(pictures(tmp_path / "a", 12))
    assert reading.array.shape == (1, 12, 6, 8) and reading.array.dtype == np.uint8
    assert reading.array[0, :, 0, 0].tolist() == [20 * n for n in range(12)]
    assert read_slices(pictures(tmp_path / "b", 3, "RGB")).array.shape == (3, 3, 6, 8)


def test_folders_of_slices_and_their_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("a", "b"):
            pictures(tmp_path / part / label / "one", 3)
    assert open_source(tmp_path).kind == "image"
    source = open_source(f"slices:{tmp_path}")
    assert source.kind == "volume"
    assert next((i.id, i.label, i.split) for i in source.listing.items) == (
        "test/a/one", "a", "test"
    )  # fmt: skip
    assert source.read(source.listing.items[0]).array.shape == (1, 3, 6, 8)


def test_slices_that_make_no_volume(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "a", 2)
    pictures(folder, 1, size=(9, 9))
    assert reason(read_slices, folder) == "slice1.png is 8 x 6, the slices before it 9 x 9"
    (folder / "slice0.png").write_bytes(b"no picture")
    assert "slice0.png: " in reason(read_slices, folder)
    (tmp_path / "empty").mkdir()
    assert reason(read_slices, tmp_path / "empty") == "no slices in the folder"
    for label in ("x", "y"):
        pictures(tmp_path / "flat" / label, 2)
    with pytest.raises(DataError, match="each volume is a folder of its own"):
        open_source(f"slices:{tmp_path / 'flat'}")
