"""`check` of data before training."""

import shutil

import pytest

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
