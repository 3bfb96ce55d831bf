"""Labels that are likely wrong: found by a fit, and corrected for the next."""

import csv
import shutil

import pytest

import striate


@pytest.fixture(scope="module")
def mixed_up(photos, tmp_path_factory):
    """The pictures, two of them in the wrong folder."""
    root = tmp_path_factory.mktemp("data") / "photos"
    shutil.copytree(photos, root)
    (root / "stripes" / "07.png").rename(root / "disc" / "stripes-7.png")
    (root / "stripes" / "09.png").rename(root / "square" / "stripes-9.png")
    return root


def test_wrong_labels_are_found_and_a_patch_puts_them_right(mixed_up, tmp_path):
    options = {"method": "probe", "image_size": 64, "device": "cpu"}
    run = striate.fit(mixed_up, out=tmp_path / "first", **options)
    table = tmp_path / "first" / "labels-to-check.csv"
    with table.open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows["disc/stripes-7.png"]["label"] == "stripes"
    assert rows["square/stripes-9.png"]["was"] == "square"
    (issue,) = (i for i in run.report.data_issues if i.code == "doubtful-label")
    assert "give it to the next fit as --patch" in issue.advice

    again = striate.fit(mixed_up, out=tmp_path / "second", patch=str(table), **options)
    (issue,) = (i for i in again.report.data_issues if i.code == "patched")
    corrected = sum(bool(row["label"]) for row in rows.values())
    assert f"{corrected} labels corrected and {len(rows) - corrected} items left" in issue.message
    assert (mixed_up / "disc" / "stripes-7.png").exists()
