"""faults.md, 'Files': names of files and folders, one test a case, by its number."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.picture_files import encode, hwc, photo, reason

from striate.data.layouts import open_source
from striate.data.sandbox import read_all
from striate.data.source import Reading, UnreadableItem
from striate.data.unlabelled import open_inputs


def class_folders(root: Path, *names: str, count: int = 2) -> Path:
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (60 * index, number, 0)).save(root / name / f"{number}.png")
    return root


def item_ids(root: Path) -> list[str]:
    return [item.id for item in open_source(root).listing.items]


def test_fault_21_upper_case_extensions(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / "X.JPG")
    photo().save(root / "a" / "Y.JpEg")
    photo().save(root / "b" / "Z.TIFF")
    assert {"a/X.JPG", "a/Y.JpEg", "b/Z.TIFF"} <= set(item_ids(root))


def test_fault_22_avif_and_heic(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / "x.avif", quality=100)
    (root / "b" / "y.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    source = open_source(root)
    items = {item.id: item for item in source.listing.items}
    pixels = hwc(source.read(items["a/x.avif"])).astype(int)
    assert np.abs(pixels - np.asarray(photo())).max() <= 24
    with pytest.raises(UnreadableItem, match="damaged HEIC file"):
        source.read(items["b/y.heic"])


def test_fault_23_files_that_systems_leave(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    before = item_ids(root)
    for name in ("Thumbs.db", ".DS_Store", "._0.png", ".hidden.jpg", "desktop.ini"):
        (root / "a" / name).write_bytes(b"\0\5\x16\7")
    for name in (".git", "__MACOSX", "@eaDir"):
        (root / name).mkdir()
        photo().save(root / name / "x.png")
    listing = open_source(root).listing
    assert [item.id for item in listing.items] == before
    assert listing.skipped == () and listing.notes == ()


def test_fault_24_unicode_names_composed_or_not(tmp_path: Path) -> None:
    names = ["é.png", "Ångström.png", "犬.png", "😀.png", "ไก่.png"]
    roots = []
    for form in ("NFC", "NFD"):
        root = class_folders(tmp_path / form, unicodedata.normalize(form, "café"), "dog")
        for name in names:
            photo().save(
                root / unicodedata.normalize(form, "café") / unicodedata.normalize(form, name)
            )
        roots.append(open_source(root))
    composed, decomposed = roots
    assert composed.listing.items == decomposed.listing.items
    assert {item.label for item in composed.listing.items} == {"café", "dog"}
    for item in decomposed.listing.items:
        np.testing.assert_array_equal(decomposed.read(item).array, composed.read(item).array)


def test_fault_24_names_that_differ_only_in_their_form_stay_two_items(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    Image.new("L", (8, 8), 10).save(root / "a" / unicodedata.normalize("NFC", "é.png"))
    Image.new("L", (8, 8), 20).save(root / "a" / unicodedata.normalize("NFD", "é.png"))
    source = open_source(root)
    twins = [item for item in source.listing.items if "é" in item.id]
    assert [item.id for item in twins] == ["a/é.png", "a/é.png (2)"]
    assert {int(source.read(item).array.max()) for item in twins} == {10, 20}


ODD_NAMES = [
    "two words.png", "it's.png", 'say "hi".png', "100%.png", "-rf.png", "new\nline.png",
    "tab\there.png", "a,b;c.png", "#?&.png", "back\\slash.png", " .png",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_fault_25_odd_characters(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / name)
    source = open_source(root)
    (item,) = [item for item in source.listing.items if item.id == f"a/{name}"]
    np.testing.assert_array_equal(hwc(source.read(item)), np.asarray(photo()))


def test_fault_25_odd_characters_reach_a_decoding_process(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        photo().save(tmp_path / name)
    source = open_inputs([tmp_path])
    answers = list(read_all(source, source.listing.items, None, 1))
    assert len(answers) == len(ODD_NAMES)
    assert all(isinstance(answer, Reading) for _, answer in answers)


def test_fault_26_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    content = encode(photo(), "PNG")
    for name in (b"caf\xe9.png", b"\xff\xfe.png"):
        Path(os.fsdecode(os.fsencode(root / "a") + b"/" + name)).write_bytes(content)
    source = open_source(root)
    ids = [item.id for item in source.listing.items]
    assert {"a/caf\\xe9.png", "a/\\xff\\xfe.png"} <= set(ids)
    for item_id in ids:
        item_id.encode("utf-8")  # what a report or a JSON file needs
    assert all(isinstance(a, Reading) for _, a in read_all(source, source.listing.items, None, 1))


def test_fault_27_over_long_path(tmp_path: Path) -> None:
    assert reason(tmp_path / ("x" * 300 + ".png")) == "path too long"
    assert reason(Path("a/" * 3000 + "x.png")) == "path too long"


def test_fault_27_over_long_path_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "data", "a", "b", count=20)
    monkeypatch.chdir(root / "a")
    for _ in range(20):  # 20 times 250 characters: over the 4,096 of a path
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    monkeypatch.chdir(tmp_path)
    listing = open_source(root).listing
    assert len(listing.items) == 40
    assert [skip.reason for skip in listing.skipped] == ["path too long"]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<", "=cmd()", "+1", "@SUM(A1)", "&amp;", "'; DROP TABLE x"]
)
def test_fault_28_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, name, "b")
    source = open_source(root)
    assert {item.label for item in source.listing.items} == {name, "b"}
    assert all(source.read(item).array.shape == (3, 16, 16) for item in source.listing.items)
