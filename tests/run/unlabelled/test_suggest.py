"""`suggest`: doubtful and strange items, none that is known, as a manifest that a fit reads."""

import csv

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts.layout import open_source
from striate.errors import OptionError
from striate.run.unlabelled.page import suggest_page

SHAPES = ("disc", "square", "stripes")


@pytest.fixture(scope="module")
def pool(tmp_path_factory, draw, photos):
    """New pictures, among them two halves of two classes, one that the run knows, and a copy."""
    folder = tmp_path_factory.mktemp("pool")
    for number in range(30):
        Image.fromarray(draw(SHAPES[number % 3], 200 + number)).save(folder / f"{number:02d}.png")
    for number in range(2):
        mixed = draw("disc", 300 + number) // 2 + draw("stripes", 300 + number) // 2
        Image.fromarray(mixed).save(folder / f"mixed{number}.png")
    known = next(iter(sorted((photos / "disc").glob("*.png"))))
    (folder / "known.png").write_bytes(known.read_bytes())
    (folder / "copy.png").write_bytes((folder / "00.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def suggested(probe_run, pool):
    return probe_run.suggest(pool, 6)


def test_known_items_and_copies_are_left_out(suggested):
    assert len({one.item for one in suggested.items}) == 6
    names = {one.path.rpartition("/")[2] for one in suggested.items}
    assert "known.png" not in names
    assert len({"00.png", "copy.png"} & names) < 2
    assert "2 items were left out" in suggested.notes[0]


def test_what_is_in_doubt_is_suggested(suggested, probe_run, pool):
    doubt, unknown = {}, {}
    for prediction in probe_run.predict(pool):
        first, second = np.sort(prediction.probabilities)[[-1, -2]]
        doubt[prediction.item] = 1 - (first - second)
        unknown[prediction.item] = prediction.unknown
    # Unknown items have a share of their own, in which doubt does not count.
    mean = np.mean([doubt[one.item] for one in suggested.items if not one.unknown])
    assert mean > np.mean([doubt[item] for item in doubt if not unknown[item]])
    for one in suggested.items:
        assert one.doubt == pytest.approx(doubt[one.item], abs=1e-6)
        said = "in doubt between" if one.doubt >= 0.1 else "in no doubt"
        assert said in one.reason or one.unknown


def test_the_manifest_is_read_once_it_is_labelled(suggested, pool):
    path = pool.parent / "manifest.csv"
    path.write_text(suggested.manifest(path.parent))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [""] * 6
    for number, row in enumerate(rows):
        row["label"] = SHAPES[number % 3]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    source = open_source(path)
    assert len(source.listing.items) == 6
    assert all(source.path(item).is_file() for item in source.listing.items)


def test_the_page_shows_each(suggested, probe_run):
    page = suggest_page(probe_run, suggested, "manifest.csv")
    assert page.count("<figure>") == page.count("data:image") == 6


def test_arrays_have_no_path(probe_run, draw):
    images = np.stack([draw("disc", 400 + number) for number in range(5)])
    result = probe_run.suggest(images, 2)
    assert [one.path for one in result.items] == ["", ""]
    assert len(result.as_json()["suggestions"]) == 2


def test_more_than_there_are_and_none(probe_run, draw):
    images = np.stack([draw("disc", 500 + number) for number in range(3)])
    result = probe_run.suggest(images, 9)
    assert len(result.items) == 3
    assert "only 3 of 9" in result.notes[-1]
    with pytest.raises(OptionError, match="count=0"):
        probe_run.suggest(images, 0)
