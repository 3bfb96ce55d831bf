"""`striate.read`: what is read of one file or series."""

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import DataError, UnknownNameError


def test_an_image_comes_with_its_notes(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (12, 8), (9, 8, 7)).save(path, "PNG")
    reading = striate.read(path)
    assert reading.array.shape == (3, 8, 12) and reading.array.dtype == np.uint8
    assert [note.code for note in reading.notes] == ["format-mismatch"]


def test_a_table_comes_with_its_spacing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x\n0,1\n0.5,2\n1,3\n")
    reading = striate.read(str(path))
    assert reading.array.tolist() == [[1, 2, 3]] and reading.spacing == (0.5,)


def test_a_folder_of_slices_is_one_volume(tmp_path):
    for number in range(3):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    assert striate.read(tmp_path, "volume").array.shape == (1, 3, 8, 8)


def test_the_kind_may_be_named(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((12, 64, 64), np.float32))
    assert striate.read(path, kind="image").array.shape == (12, 64, 64)
    assert striate.read(path, kind="volume").array.shape == (1, 12, 64, 64)


def test_what_cannot_be_read_is_one_line(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read .*a.png: empty file"):
        striate.read(path)
    with pytest.raises(DataError, match="file not found"):
        striate.read(tmp_path / "b.png")
    with pytest.raises(UnknownNameError, match="did you mean 'signal'"):
        striate.read(path, kind="signals")
