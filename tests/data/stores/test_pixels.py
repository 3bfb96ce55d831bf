import errno
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.readers.image import decode_image
from striate.data.source import Item, Listing, Note, Source
from striate.data.stores import pixel_file, store
from striate.data.stores.pixels import PixelStore
from striate.data.stores.resizing import resize_shorter
from striate.errors import StorageError
from striate.progress import Progress


class FileSource(Source):
    kind = "image"
    name = "files"

    def __init__(self, folder):
        self.folder = folder
        names = sorted(path.name for path in folder.iterdir())
        self.listing = Listing(items=tuple(Item(id=name, label="a") for name in names))

    def read(self, item, size=None):
        return decode_image(self.path(item), size=size)

    def path(self, item):
        return self.folder / item.id


@pytest.fixture
def files(tmp_path, photographs):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, pixels in enumerate(photographs(4)):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{n}.png")
    return FileSource(folder)


class Lines:
    """A stream that keeps what is said."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return False


def build(source, folder, size=32, progress=None):
    return PixelStore.build(source, source.listing.items, size, folder, progress, workers=1)


def told(built):
    return built.items, built.skipped, built.notes, built.sha256s


def test_store_holds_what_resizing_gives(tmp_path, array_source):
    rng = np.random.default_rng(0)
    shapes = [(40, 48), (48, 40), (32, 32), (20, 100), (1, 1), (64, 64)]
    images = {
        f"{n}": ("a", rng.integers(0, 256, (3, *shape), dtype=np.uint8))
        for n, shape in enumerate(shapes)
    }
    built = build(array_source(images), tmp_path)
    store = built.store
    assert (built.skipped, built.notes, len(store), len(built.sha256s)) == ((), (), 6, 6)
    assert store.shapes == (
        (3, 32, 38), (3, 38, 32), (3, 32, 32), (3, 32, 160), (3, 32, 32), (3, 32, 32),
    )  # fmt: skip
    for n, (_, array) in enumerate(images.values()):
        np.testing.assert_array_equal(store[n].array, resize_shorter(array, 32))
        np.testing.assert_array_equal(store.view(n).numpy(), store[n].array)
        assert store[n].sha256 == built.sha256s[n]
    np.testing.assert_array_equal(store[-1].array, store[5].array)
    assert [r.array.shape for r in store.take([3, 0])] == [store.shapes[3], store.shapes[0]]
    with pytest.raises(IndexError):
        store[6]


def test_resizing_equals_pillow_within_one_level(photographs):
    # Both antialias with a triangle filter in integers; torch rounds its weights to 16 bits.
    pixels = photographs(1, 90, 120)[0]
    ours = resize_shorter(pixels, 32)
    image = Image.fromarray(pixels.transpose(1, 2, 0)).resize((43, 32), Image.Resampling.BILINEAR)
    theirs = np.asarray(image).transpose(2, 0, 1)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_resizing_does_not_depend_on_layout_or_threads():
    pixels = np.random.default_rng(1).integers(0, 256, (3, 301, 203), dtype=np.uint8)
    expected = resize_shorter(pixels, 64)
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0)).transpose(2, 0, 1)
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])[:, :, ::-1]
    frozen = pixels.copy()
    frozen.flags.writeable = False
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for variant in (rows, mirrored, frozen):
            np.testing.assert_array_equal(resize_shorter(variant, 64), expected)
    finally:
        torch.set_num_threads(threads)


def test_long_items_are_kept_whole():
    pixels = np.zeros((3, 10, 100), np.uint8)
    pixels[:, :, 40:60] = 200
    assert resize_shorter(pixels[:, :, 30:], 10).shape == (3, 10, 70)
    assert resize_shorter(pixels, 10).shape == (3, 8, 80)  # `MAX_ASPECT`


def test_a_cache_is_opened_again_until_a_file_changes(files, tmp_path, monkeypatch):
    first = build(files, tmp_path / "cache")
    calls = []
    read_all = store.read_all
    monkeypatch.setattr(store, "read_all", lambda *a: calls.append(1) or read_all(*a))
    again = build(files, tmp_path / "cache")
    assert not calls
    assert again.store.path == first.store.path
    assert told(again) == told(first)
    Image.new("RGB", (40, 40), "red").save(files.folder / "0.png")
    changed = build(files, tmp_path / "cache")
    assert calls == [1]
    assert changed.sha256s[0] != first.sha256s[0]
    assert changed.sha256s[1:] == first.sha256s[1:]
    assert build(files, tmp_path / "cache", size=16).store.size == 16


def test_skipped_items_and_notes_survive_in_the_cache(files, tmp_path):
    (files.folder / "0.png").write_bytes(b"")
    (files.folder / "1.png").rename(files.folder / "9.jpg")
    source = FileSource(files.folder)
    first, again = (build(source, tmp_path / "cache") for _ in range(2))
    assert [skip.id for skip in again.skipped] == ["0.png"]
    assert again.store.ids == ("2.png", "3.png", "9.jpg")
    assert [note.ids for note in again.notes] == [("9.jpg",)]
    assert told(again) == told(first)


@pytest.mark.parametrize("where", [10, -10, -200])
def test_a_flipped_bit_is_found_and_the_cache_built_again(files, tmp_path, where):
    path = build(files, tmp_path / "cache").store.path
    good = path.read_bytes()
    damaged = bytearray(good)
    damaged[where] ^= 1
    path.write_bytes(damaged)
    lines = Lines()
    build(files, tmp_path / "cache", progress=Progress(lines))
    assert "building it again" in lines.text
    assert path.read_bytes() == good


@pytest.mark.parametrize("length", [0, 5, 2000, -1])
def test_a_cut_file_is_found_and_the_cache_built_again(files, tmp_path, length):
    path = build(files, tmp_path / "cache").store.path
    good = path.read_bytes()
    path.write_bytes(good[:length])
    build(files, tmp_path / "cache")
    assert path.read_bytes() == good


def test_a_full_disk_is_told_before_the_work(files, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(store, "read_all", None)
    with pytest.raises(StorageError, match=r"needs 12.3 kB, 1.0 kB free"):
        build(files, tmp_path / "cache")


def test_a_disk_that_fills_up_leaves_nothing_behind(files, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixel_file, "_write_items", full)
    with pytest.raises(StorageError, match=r"no space for .* free"):
        build(files, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_folder_that_cannot_be_made_is_a_storage_error(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        build(files, tmp_path / "file" / "cache")


def test_an_interrupted_build_leaves_nothing_behind(files, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pixel_file, "_write_items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(files, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_items_without_files_are_known_by_their_content(tmp_path, array_source, photographs):
    images = {f"{n}": ("a", p) for n, p in enumerate(photographs(3))}
    first = build(array_source(images), tmp_path).store
    kept = first[0].array.copy()
    assert build(array_source(images), tmp_path).store.path == first.path
    images["0"] = ("a", images["1"][1])
    assert build(array_source(images), tmp_path).store.path != first.path
    np.testing.assert_array_equal(first[0].array, kept)


def test_notes_of_one_code_are_joined(tmp_path, array_source, photographs):
    images = {f"{n}": ("a", p) for n, p in enumerate(photographs(3))}
    source = array_source(images)
    read = source.read

    def moving(item, size=None):
        note = Note(code="first-frame", message=f"{item.id} moves")
        return replace(read(item, size), notes=(note,))

    source.read = moving
    (joined,) = build(source, tmp_path).notes
    assert joined.ids == ("0", "1", "2")
    assert joined.message == "3 items, for one: 0 moves"


def test_builds_of_one_cache_at_the_same_time_agree(files, tmp_path):
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(3) as pool:
        builds = list(pool.map(lambda _: build(files, folder), range(3)))
    assert [path.name for path in folder.iterdir()] == [builds[0].store.path.name]
    for n in range(4):
        for other in builds[1:]:
            np.testing.assert_array_equal(other.store[n].array, builds[0].store[n].array)


def test_what_killed_builds_left_is_removed_after_a_day(files, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name, age in (("old.partial", 90_000), ("going-on.partial", 60)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - age,) * 2)
    build(files, folder)
    assert {path.name for path in folder.glob("*.partial")} == {"going-on.partial"}
