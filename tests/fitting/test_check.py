"""`check` of data before training: what it says, and that `fit` says the same."""

import csv
import html
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.layouts.layout import open_source
from striate.data.readers.tables.patch import patched
from striate.errors import DataError
from striate.fitting.check import check, check_page


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


def verdicts(data, tmp_path, method="probe", **options):
    """What `check` and `fit` say of some data: the refusal, or nothing."""
    said = []
    for call in (
        lambda: check(data, **options),
        lambda: striate.fit(data, out=tmp_path / "run", method=method, **options),
    ):
        try:
            call()
            said.append("")
        except DataError as error:
            said.append(str(error))
        except ValueError as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (3, 3), (1, 9), (2, 2, 5), (4, 0), (2,), (5,)])
def test_fit_gives_the_verdict_of_check_for_few_items(counts, tmp_path, own_cache):
    # Of one class a detector is made, by no method of several classes.
    method = "auto" if len(counts) == 1 else "probe"
    data = noise(tmp_path / "data", *counts)
    checked, fitted = verdicts(data, tmp_path, method, image_size=16)
    assert checked == fitted
    assert bool(checked) == (min(counts) == 0 or max(counts) < 3)


def test_fit_gives_the_verdict_of_check_for_series_too_short(tmp_path, own_cache):
    values = np.random.default_rng(0).normal(size=(30, 5))
    np.savez(tmp_path / "short.npz", X=values, y=np.arange(30) % 2)
    checked, fitted = verdicts(tmp_path / "short.npz", tmp_path)
    assert checked == fitted
    assert "a series needs 9 samples at least" in checked


def test_groups_that_leave_a_part_empty_are_named(tmp_path, own_cache):
    data = noise(tmp_path / "data", 6, 6)
    rows = [
        f"{path},{path.parent.name},p{place % 2}"
        for place, path in enumerate(sorted(data.rglob("*.png")))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,group", *rows]))
    with pytest.raises(DataError, match="each of the 2 groups stays in one part; add groups"):
        check(tmp_path / "t.csv", image_size=16)


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


@pytest.fixture(scope="module")
def troubled(photos, tmp_path_factory):
    """The pictures with a wrong label, a copy, a mirrored copy, a blank one and a telling border."""
    root = tmp_path_factory.mktemp("troubled") / "photos"
    shutil.copytree(photos, root)
    (root / "stripes" / "07.png").rename(root / "disc" / "stripes-7.png")
    shutil.copy(root / "square" / "03.png", root / "square" / "copy.png")
    mirrored = Image.open(root / "square" / "06.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(root / "square" / "mirrored.png")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(root / "disc" / "blank.png")
    for path in (root / "stripes").iterdir():
        picture = Image.open(path).convert("RGB")
        edge = picture.width // 12
        framed = Image.new("RGB", picture.size)
        framed.paste(
            picture.crop((edge, edge, picture.width - edge, picture.height - edge)), (edge, edge)
        )
        picture = framed
        picture.save(path)
    return root


@pytest.fixture(scope="module")
def examined(troubled):
    return check(troubled, image_size=64, examined=True)


def test_findings_as_json(examined):
    found = examined.as_json()
    assert "disc/stripes-7.png" in [error["item"] for error in found["label_errors"]]
    (error,) = (e for e in found["label_errors"] if e["item"] == "disc/stripes-7.png")
    assert (error["label"], error["suggested"]) == ("disc", "stripes")
    copies = {tuple(group["items"]): group["exact"] for group in found["duplicates"]}
    assert copies[("square/03.png", "square/copy.png")]
    assert not copies[("square/06.png", "square/mirrored.png")]
    quality = {entry["code"]: entry for entry in found["quality"]}
    assert quality["blank"]["items"] == ["disc/blank.png"]
    assert all(entry["advice"] for entry in found["quality"])


def test_a_border_that_tells_the_class_is_told(examined):
    assert "border" in [one.trait for one in examined.findings.giveaways]
    assert "the brightness of the border alone tells the class stripes" in examined.as_text()


def test_the_page_shows_what_was_found_and_needs_nothing_else(examined):
    page = check_page(examined)
    for text in ("disc/stripes-7.png", "labelled disc, likely stripes", "square/mirrored.png"):
        assert text in page
    assert "data:image/jpeg;base64," in page
    assert re.search(r"The table corrects \d+ labels? and leaves \d+ items? out\.", page)
    assert re.search(r"Label conflict\.|Duplicates\..*What to do: ", page)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_the_page_says_what_was_left_out_and_how_large_an_odd_one_is(photos, tmp_path, own_cache):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    (root / "disc" / "torn.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (300, 60), (200, 30, 30)).save(root / "disc" / "strip.png")
    page = check_page(check(root, image_size=64, examined=True))
    assert "<dt>disc/torn.png</dt>" in page
    assert "disc, 300 x 60" in page


def test_a_row_of_the_page_leaves_an_item_out(examined, troubled):
    row = re.search(r"looks so:.*?</span>\n(.*)\n", check_page(examined)).group(1)
    item, label, _, _ = next(csv.reader([html.unescape(row)]))
    assert label == "" and (troubled / item).exists()


def test_sections_offer_rows_to_paste_with_what_to_do(examined, troubled, tmp_path):
    page = html.unescape(check_page(examined))
    assert page.count("What to do: ") >= page.count("<section aria-labelledby=") - 2
    rows = [
        line
        for block in re.findall(r"<pre tabindex=\"0\"><code>([^<]*)</code></pre>", page)
        for line in block.splitlines()
    ]
    assert any(row.startswith('disc/stripes-7.png,stripes,disc,"likely stripes') for row in rows)
    assert "disc/blank.png,,disc,blank" in rows
    assert "square/copy.png,,square,copy" in rows
    assert "cut the borders off" in page
    table = tmp_path / "patch.csv"
    table.write_text("\n".join(["id,label,was,reason", "disc/blank.png,,disc,blank"]))
    source = patched(open_source(troubled), table)
    assert "disc/blank.png" not in [item.id for item in source.listing.items]


def test_a_fit_takes_the_patch(examined, troubled, tmp_path):
    table = tmp_path / "patch.csv"
    table.write_text(examined.patch())
    run = striate.fit(
        troubled, out=tmp_path / "run", method="probe", image_size=64, patch=str(table)
    )
    items = {entry["id"]: entry for entry in run.folder.read_json("data.lock.json")["items"]}
    assert "disc/blank.png" not in items
    assert "square/copy.png" not in items
    assert items["disc/stripes-7.png"]["label"] == "stripes"
    assert (troubled / "disc" / "blank.png").exists()
