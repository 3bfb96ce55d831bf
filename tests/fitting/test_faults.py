"""Faults of the data that a whole fit must survive and report."""

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.layouts import ArraySource
from striate.data.layouts.class_folders import open_folder
from striate.errors import ArgumentError

OPTIONS = {"method": "probe", "image_size": 32, "device": "cpu"}


def issue(run, code):
    return next(issue for issue in run.report.data_issues if issue.code == code)


@pytest.fixture(scope="module")
def leaky_run(draw, own_cache, tmp_path_factory):
    """Of a folder with a split whose test part holds a copy, a near copy and a second label."""
    root = tmp_path_factory.mktemp("leaky")
    for part, first, count in (("train", 0, 12), ("test", 50, 6)):
        for shape in ("disc", "stripes"):
            (root / "data" / part / shape).mkdir(parents=True)
            for number in range(first, first + count):
                image = Image.fromarray(draw(shape, number))
                image.save(root / "data" / part / shape / f"{number}.png")
    test = root / "data" / "test"
    Image.fromarray(draw("disc", 0)).save(test / "disc" / "copy.png")
    near = np.clip(draw("stripes", 1).astype(int) + 2, 0, 255).astype(np.uint8)
    Image.fromarray(near).save(test / "stripes" / "near.png")
    Image.fromarray(draw("disc", 3)).save(test / "stripes" / "other-label.png")
    return striate.fit(root / "data", out=root / "run", **OPTIONS)


@pytest.mark.parametrize("data", [(np.zeros((4, 8, 8)), [0, 0, 1, 1]), [[1, 2]], None])
def test_arrays_are_pointed_to_the_estimators(data, tmp_path):
    with pytest.raises(ArgumentError, match=r"the data are of type .*Classifier") as caught:
        striate.fit(data, out=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_fault_41_a_test_item_that_was_trained_on_is_reported(leaky_run):
    found = issue(leaky_run, "duplicate-across-splits")
    assert found.severity == "warning"
    assert {"train/disc/0.png", "test/disc/copy.png"} <= set(found.ids)
    leaks = leaky_run.report.leaks
    assert 0 < leaks.num_items <= leaky_run.report.split_sizes["test"] - 3
    assert leaks.test.accuracy.value is not None


def test_fault_42_near_copies_are_reported(leaky_run):
    found = issue(leaky_run, "duplicate-across-splits")
    assert {"train/stripes/1.png", "test/stripes/near.png"} <= set(found.ids)


def test_fault_43_one_image_with_two_labels_is_reported(leaky_run):
    found = issue(leaky_run, "label-conflict")
    assert {"train/disc/3.png", "test/stripes/other-label.png"} <= set(found.ids)


def test_fault_46_imbalance_is_reported_with_figures_of_each_class(own_cache, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (306, 16, 16), np.uint8)
    labels = ["rare"] * 3 + ["common"] * 303
    run = striate.fit(ArraySource(images, labels), out=tmp_path / "run", **OPTIONS)
    found = issue(run, "imbalance")
    assert "303 items of 'common' and 3 of 'rare'" in found.message
    assert [figures.name for figures in run.report.per_class] == ["common", "rare"]


def test_fault_47_a_file_removed_after_the_listing_is_left_out_and_counted(
    photos, own_cache, tmp_path
):
    for path in photos.rglob("*.png"):
        target = tmp_path / "data" / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    source = open_folder(tmp_path / "data")
    (tmp_path / "data" / "disc" / "03.png").unlink()
    run = striate.fit(source, out=tmp_path / "run", **OPTIONS)
    assert sum(run.report.split_sizes.values()) == len(source.listing.items) - 1
    lock = run.folder.read_json("data.lock.json")
    assert [skip["id"] for skip in lock["skipped"]] == ["disc/03.png"]
    assert any("disc/03.png" in found.ids for found in run.report.data_issues)


def test_fault_34_a_class_of_one_image_goes_to_training_and_is_named(draw, own_cache, tmp_path):
    for shape, count in (("disc", 12), ("square", 12), ("stripes", 1)):
        (tmp_path / "data" / shape).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(draw(shape, number))
            image.save(tmp_path / "data" / shape / f"{number}.png")
    run = striate.fit(tmp_path / "data", out=tmp_path / "run", **OPTIONS)
    assert "stripes" in issue(run, "single-item-class").message
    lock = run.folder.read_json("data.lock.json")["items"]
    assert [item["split"] for item in lock if item["label"] == "stripes"] == ["train"]
