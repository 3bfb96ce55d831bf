"""`check` of data before training: what it says, and that `fit` says the same."""

import shutil

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import DataError
from striate.fitting.check import check


def test_clean_data(photos, probe_run):
    found = check(photos, image_size=64).as_json()
    assert found["classes"] == {"disc": 20, "square": 20, "stripes": 20}
    assert found["splits"] == probe_run.report.split_sizes
    assert found["skipped"] == []


def test_what_is_wrong_is_listed(photos, tmp_path, own_cache):
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(tmp_path / "photos/disc/01.png", tmp_path / "photos/square/copy.png")
    (tmp_path / "photos/disc/empty.png").write_bytes(b"")
    checked = check(tmp_path / "photos")
    found = checked.as_json()
    assert found["skipped"] == [{"item": "disc/empty.png", "reason": "empty file"}]
    assert {"duplicates", "label-conflict"} <= {note["code"] for note in found["notes"]}
    assert "left out: disc/empty.png: empty file" in checked.as_text()


def test_data_that_cannot_be_used(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(DataError):
        check(tmp_path)


def noise(folder, *counts):
    """A folder of classes with so many pictures each."""
    rng = np.random.default_rng(0)
    for label, count in zip("abcdef", counts, strict=False):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def verdicts(data, tmp_path, **options):
    """What `check` and `fit` say of some data: the refusal, or nothing."""
    said = []
    for call in (
        lambda: check(data, **options),
        lambda: striate.fit(data, out=tmp_path / "run", method="probe", **options),
    ):
        try:
            call()
            said.append("")
        except DataError as error:
            said.append(str(error))
        except ValueError as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (3, 3), (1, 9), (2, 2, 5), (4, 0), (5,)])
def test_fit_gives_the_verdict_of_check_for_few_items(counts, tmp_path, own_cache):
    checked, fitted = verdicts(noise(tmp_path / "data", *counts), tmp_path, image_size=16)
    assert checked == fitted
    assert bool(checked) == (min(counts) == 0 or len(counts) < 2 or max(counts) < 3)


def test_fit_gives_the_verdict_of_check_for_series_too_short(tmp_path, own_cache):
    values = np.random.default_rng(0).normal(size=(30, 5))
    np.savez(tmp_path / "short.npz", X=values, y=np.arange(30) % 2)
    checked, fitted = verdicts(tmp_path / "short.npz", tmp_path)
    assert checked == fitted
    assert "a series has at least 9 places" in checked


def test_every_problem_is_listed(tmp_path, own_cache):
    data = noise(tmp_path / "data", 1, 1)
    (data / "a" / "broken.png").write_bytes(b"no picture")
    checked, fitted = verdicts(data, tmp_path, image_size=16)
    assert checked == fitted
    assert checked.startswith("2 problems: (1) 1 of 3 items cannot be read")
    assert "(2) " in checked and "no item is left for the val and the test part" in checked


def test_a_class_that_a_split_lacks_is_noted_and_one_that_training_lacks_refused(
    tmp_path, own_cache
):
    for part, counts in {"train": (4, 4, 4), "val": (2, 2), "test": (2, 2, 2)}.items():
        noise(tmp_path / "data" / part, *counts)
    codes = {note.code for note in check(tmp_path / "data", image_size=16).dataset.notes}
    assert "class-not-in-split" in codes
    noise(tmp_path / "more" / "train", 4, 4)
    noise(tmp_path / "more" / "test", 2, 2, 2)
    with pytest.raises(DataError, match=r"different classes: only in test: c; add items"):
        check(tmp_path / "more", image_size=16)
