"""faults.md, 'Folders', as far as listing the data goes: one test a case, by its number."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.folder_walk import check_losses, walk
from striate.data.layouts import open_source
from striate.data.layouts.class_folders import open_folder
from striate.data.readers.image import IMAGE_SUFFIXES
from striate.data.sandbox import read_all
from striate.data.source import Item, Listing, Reading, Skip, UnreadableItem
from striate.data.unlabelled import open_inputs
from striate.errors import DataError
from striate.tasks.task import task_of


def save(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)
    return path


def class_folders(root: Path, *names: str, count: int = 2) -> Path:
    for index, name in enumerate(names):
        for number in range(count):
            save(root / name / f"{number}.png", 20 * index + number)
    return root


def listing(root: Path) -> Listing:
    return open_source(root).listing


def ids(found: Listing) -> list[str]:
    return [item.id for item in found.items]


def codes(found: Listing) -> list[str]:
    return [note.code for note in found.notes]


def refusal(root: Path, method: str = "auto") -> str:
    with pytest.raises(DataError) as caught:
        source = open_source(root)
        task = task_of(source.listing.items, method)
        task.check_learnable(source.listing.items, source.name)
    assert caught.value.exit_code == 2
    assert str(root) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_fault_29_no_such_folder(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", "a", "b")
    (tmp_path / "zebra").mkdir()
    said = refusal(tmp_path / "fotos")
    assert "file not found" in said and f"did you mean '{tmp_path / 'photos'}'?" in said
    assert "zebra" not in said
    assert "file not found" in refusal(tmp_path / "no" / "where")


def test_fault_30_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    assert "a folder (DATA/CLASS/IMAGE" in refusal(photo)
    with pytest.raises(DataError, match="a folder is needed"):
        open_folder(photo)


def test_fault_31_no_images(tmp_path: Path) -> None:
    assert f"no images in {tmp_path}" in refusal(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("x")
    said = refusal(tmp_path)
    assert "DATA/CLASS/IMAGE" in said and "1 .txt" in said


def test_fault_31_images_without_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    save(tmp_path / "2.png")
    said = refusal(tmp_path)
    assert f"2 images in {tmp_path} lie in no class folder" in said and "DATA/CLASS/IMAGE" in said


def test_fault_32_one_class(tmp_path: Path) -> None:
    said = refusal(class_folders(tmp_path, "cat"), "probe")
    assert "has 1 class ('cat')" in said and "needs two" in said


def test_fault_33_an_empty_class(tmp_path: Path) -> None:
    class_folders(tmp_path, "cat", "dog")
    (tmp_path / "emu").mkdir()
    assert f"no image in the class folder {tmp_path / 'emu'}" in refusal(tmp_path)


def test_fault_33_an_empty_class_of_one_part(tmp_path: Path) -> None:
    for part in ("train", "test"):
        class_folders(tmp_path / part, "cat", "dog")
    (tmp_path / "test" / "emu").mkdir()
    assert str(tmp_path / "test" / "emu") in refusal(tmp_path)


def test_fault_33_a_class_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    class_folders(tmp_path, "cat", "dog")
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu" / "1.jpg").symlink_to(tmp_path / "gone.jpg")
    assert "emu: broken link (1)" in refusal(tmp_path)


def test_fault_35_notebook_checkpoints(tmp_path: Path) -> None:
    class_folders(tmp_path, "cat", "dog")
    save(tmp_path / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(tmp_path / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    assert {item.label for item in listing(tmp_path).items} == {"cat", "dog"}
    assert len(listing(tmp_path).items) == 4


@pytest.mark.parametrize("target", [".", "..", "../..", "../dog", "./deep"])
def test_fault_36_a_loop_of_links(tmp_path: Path, target: str) -> None:
    root = class_folders(tmp_path / "data", "cat", "dog")
    save(root / "cat" / "deep" / "9.png")
    before = ids(listing(root))
    (root / "cat" / "loop").symlink_to(target)
    (root / "dog" / "self").symlink_to("self")
    (root / "dog" / "again.png").symlink_to("0.png")
    assert ids(listing(root)) == before


def test_fault_36_a_link_to_what_is_not_met_otherwise_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "pool" / "7.png")
    for part in ("train", "test"):
        class_folders(tmp_path / part, "cat", "dog")
    save(tmp_path / ".hidden" / "8.png")
    (tmp_path / "train" / "cat" / "more").symlink_to(tmp_path / ".hidden")
    assert "train/cat/more/8.png" in ids(listing(tmp_path))


def test_fault_37_a_link_that_leaves_the_root_is_followed_and_said(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", "cat", "dog")
    save(tmp_path / "elsewhere" / "9.png")
    (root / "cat" / "out").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "out.png").symlink_to(tmp_path / "elsewhere" / "9.png")
    found = listing(root)
    assert codes(found) == ["link-outside"]
    assert found.notes[0].ids == ("cat/out", "dog/out.png")
    # A file under two names is two items, as one with two hard links, and found as a copy.
    assert len(found.items) == 6


def test_fault_37_a_link_to_a_folder_that_holds_the_data_is_not_followed(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", "cat", "dog")
    (root / "cat" / "up").symlink_to(tmp_path)
    (root / "dog" / "root").symlink_to("/")
    found = listing(root)
    assert len(found.items) == 4 and codes(found) == ["link-back"]


def test_fault_37_a_data_set_of_links(tmp_path: Path) -> None:
    store = class_folders(tmp_path / "store", "cat", "dog")
    for split in ("train", "test"):
        (tmp_path / "linked" / split).mkdir(parents=True)
        for name in ("cat", "dog"):
            folder = class_folders(tmp_path / split, name) / name
            (tmp_path / "linked" / split / name).symlink_to(folder)
    found = listing(tmp_path / "linked")
    assert len(found.items) == 8 and {item.split for item in found.items} == {"train", "test"}
    (tmp_path / "files" / "cat").mkdir(parents=True)
    (tmp_path / "files" / "dog").mkdir()
    for path in store.rglob("*.png"):
        (tmp_path / "files" / path.relative_to(store)).symlink_to(path)
    assert ids(listing(tmp_path / "files")) == ids(listing(store))
    assert len(open_inputs([tmp_path / "files"]).listing.items) == 4


def test_fault_37_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", "cat", "dog")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(listing(tmp_path / "link").items) == 4


def test_fault_38_a_broken_link(tmp_path: Path) -> None:
    class_folders(tmp_path, "cat", "dog")
    (tmp_path / "cat" / "x.png").symlink_to(tmp_path / "gone.png")
    found = listing(tmp_path)
    assert found.skipped == (Skip(id="cat/x.png", reason="broken link"),)
    assert len(found.items) == 4


def test_fault_39_fifo_socket_and_device_are_never_opened(tmp_path: Path) -> None:
    class_folders(tmp_path, "cat", "dog")
    os.mkfifo(tmp_path / "cat" / "fifo.png")
    (tmp_path / "cat" / "null.png").symlink_to("/dev/null")
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path / "dog")  # a socket's name has room for 108 bytes
        server.bind("socket.png")
        os.chdir(here)
        found = open_folder(tmp_path).listing
    not_regular = "not a regular file"
    assert {skip.id: skip.reason for skip in found.skipped} == {
        "cat/fifo.png": not_regular,
        "cat/null.png": not_regular,
        "dog/socket.png": not_regular,
    }
    assert len(found.items) == 4


def test_fault_39_a_fifo_in_the_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    source = open_inputs([tmp_path / "a.png", Path("/dev/zero")])
    for item in source.listing.items:
        with pytest.raises(UnreadableItem, match="not a regular file"):
            source.read(item)


def forbid(monkeypatch: pytest.MonkeyPatch, function: str, forbidden: Path) -> None:
    """Refuse one path as the system refuses a user; root, who may run the tests, is let in."""
    real = getattr(os, function)

    def guarded(path: object, *rest: object) -> object:
        if not isinstance(path, int) and Path(os.fsdecode(path)) == forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    monkeypatch.setattr(os, function, guarded)


def test_fault_40_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, "cat", "dog")
    source = open_source(tmp_path)
    forbid(monkeypatch, "open", tmp_path / "cat" / "0.png")
    with pytest.raises(UnreadableItem, match="no permission to read it"):
        source.read(source.listing.items[0])
    source.read(source.listing.items[1])


def test_fault_40_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, "cat", "dog")
    forbid(monkeypatch, "scandir", tmp_path / "dog")
    said = refusal(tmp_path)
    assert f"cannot read the folder {tmp_path / 'dog'}" in said and "no permission" in said


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("cat ", "cat"), ("STRASSE", "straße")])
def test_fault_44_names_that_differ_in_case(tmp_path: Path, one: str, other: str) -> None:
    found = listing(class_folders(tmp_path, one, other, "dog"))
    assert codes(found) == ["similar-class-names"]
    assert repr(one) in found.notes[0].message and repr(other) in found.notes[0].message
    assert found.notes[0].severity == "warning"


def test_fault_45_parts_with_different_classes(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", "cat", "dog", "emu")
    class_folders(tmp_path / "test", "cat", "dog", "fox")
    said = refusal(tmp_path)
    assert "train and test" in said
    assert "only in test: fox" in said and "only in train: emu" in said


def test_fault_45_a_class_missing_from_validation(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", "cat", "dog")
    class_folders(tmp_path / "valid", "cat")
    items = open_source(tmp_path).listing.items
    target = task_of(items).encode(items, "data")
    splits = np.array([item.split for item in items])
    (note,) = [n for n in target.split_notes(items, splits) if n.code == "class-not-in-split"]
    assert "no item of dog in val" in note.message


def test_fault_45_classes_in_a_manifest(tmp_path: Path) -> None:
    rows = ["a,cat,train", "b,dog,train", "c,cat,test", "d,Dog,test"]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *rows]))
    assert "only in test: Dog; only in train: dog" in refusal(tmp_path / "m.csv")


@pytest.mark.parametrize("isolated", [False, True])
def test_fault_47_a_file_removed_after_listing(tmp_path: Path, isolated: bool) -> None:
    source = open_source(class_folders(tmp_path, "cat", "dog"))
    (tmp_path / "cat" / "1.png").unlink()
    if isolated:
        read = read_all(source, source.listing.items, None, 1)
        answers = {item.id: answer for item, answer in read}
        assert answers.pop("cat/1.png") == Skip(id="cat/1.png", reason="file not found")
        assert all(isinstance(answer, Reading) for answer in answers.values())
    else:
        with pytest.raises(UnreadableItem, match="file not found"):
            source.read(source.listing.items[1])


def test_fault_48_many_empty_folders(tmp_path: Path) -> None:
    # 100,000 in about a second; here a tenth, so that the tests stay fast.
    class_folders(tmp_path, "cat", "dog")
    for number in range(100):
        for inner in range(100):
            (tmp_path / "cat" / str(number) / str(inner)).mkdir(parents=True)
    found = walk(tmp_path, IMAGE_SUFFIXES)
    assert len(found.folders) == 2 + 100 + 10_000 and len(found.files) == 4
    assert len(listing(tmp_path).items) == 4


def labelled(counts: dict[str, int]) -> list[Item]:
    return [
        Item(id=f"{label}/{number}", label=label)
        for label, count in counts.items()
        for number in range(count)
    ]


def skips(items: list[Item], reason: str = "truncated file") -> list[Skip]:
    return [Skip(id=item.id, reason=reason) for item in items]


def test_losses_up_to_five_percent_are_borne() -> None:
    items = labelled({"a": 50, "b": 50})
    check_losses(items, [])
    check_losses(items, skips(items[:5]))
    with pytest.raises(DataError, match="6 of 100 items cannot be read, more than 5%"):
        check_losses(items, skips(items[:6]))


def test_losses_count_what_was_left_out_while_listing() -> None:
    items = labelled({"a": 50, "b": 45})
    out = [Skip(id=f"a/link{number}", reason="broken link") for number in range(5)]
    check_losses(items, out)
    with pytest.raises(DataError, match="6 of 100 items"):
        check_losses(items, [*out, *skips(items[:1])])


def test_losing_a_whole_class_is_refused() -> None:
    items = labelled({"a": 200, "b": 2, "c": 1})
    check_losses(items, skips(items[200:201]))
    with pytest.raises(DataError, match="nothing of class 'b' can be read"):
        check_losses(items, skips(items[200:202]))


def test_losses_are_listed_by_reason_with_counts() -> None:
    items = labelled({"a": 10, "b": 10})
    lost = [*skips(items[:3]), *skips(items[10:11], "empty file")]
    with pytest.raises(DataError) as caught:
        check_losses(items, lost)
    assert "truncated file (3, as a/0), empty file (1, as b/0)" in str(caught.value)


def test_walk_finds_what_a_brute_force_walk_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    for _ in range(60):
        depth = rng.integers(1, 5)
        folder = tmp_path.joinpath(*(f"d{rng.integers(3)}" for _ in range(depth)))
        suffix = rng.choice([".png", ".JPG", ".txt", ""])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{rng.integers(1000)}{suffix}").touch()
    found = walk(tmp_path, IMAGE_SUFFIXES)
    paths = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert list(found.files) == [p for p in paths if p.lower().endswith((".png", ".jpg"))]
    assert list(found.folders) == [p for p in paths if (tmp_path / p).is_dir()]
