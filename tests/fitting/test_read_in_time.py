"""Of more items than can be read in a part of the time, a part is read, and the user is told."""

import time

import numpy as np
import pytest

import striate
from striate.data.layouts import open_source
from striate.data.sandbox import available_cores
from striate.data.source import Item, Listing, MemorySource, Reading
from striate.data.splits.part import seconds_of_one
from striate.errors import StoppedError
from striate.fitting import prepare
from striate.kinds.image.kind import ImageKind
from striate.kinds.kind import kind_named
from striate.run.folder import RunFolder

NUM_ITEMS = 600


@pytest.fixture
def series(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(NUM_ITEMS) % 2
    values = rng.normal(size=(NUM_ITEMS, 32)) + np.where(labels, 1.0, -1.0)[:, None] * np.hanning(
        32
    )
    np.savez(tmp_path / "series.npz", X=values.astype(np.float32), y=labels)
    return tmp_path / "series.npz"


@pytest.fixture
def slow(monkeypatch):
    """Reading seems to take a tenth of a second for each item, and 100 items are many."""
    monkeypatch.setattr(prepare, "FEWEST_TIMED", 100)
    monkeypatch.setattr(prepare, "seconds_of_one", lambda source, size, seed: 0.1)


OPTIONS = {"method": "probe", "device": "cpu", "time": "1m"}


def read(folder):
    return [item["id"] for item in RunFolder(folder).read_json("data.lock.json")["items"]]


def test_a_part_is_read_and_a_resumed_fit_reads_the_same(slow, series, tmp_path):
    """60 s would be needed, and there are 20: of halves and quarters the quarter can be read."""
    looks = iter([False, True])
    with pytest.raises(StoppedError):
        striate.fit(series, out=tmp_path / "run", **OPTIONS, stop=lambda: next(looks, True))
    before = read(tmp_path / "run")
    run = striate.fit(series, out=tmp_path / "run", **OPTIONS, resume=True)
    assert read(tmp_path / "run") == before
    assert 130 < len(before) < 220
    (choice,) = [choice for choice in run.report.choices if choice.topic == "items read"]
    assert choice.choice == f"{len(before)} of {NUM_ITEMS}, drawn at random"
    assert choice.why.startswith("to read all would take about 1 min")


@pytest.mark.parametrize("case", ["time enough", "few items", "epochs given"])
def test_all_are_read(case, slow, series, tmp_path, monkeypatch):
    options = {**OPTIONS, "time": "10m"} if case == "time enough" else OPTIONS
    if case == "few items":
        monkeypatch.setattr(prepare, "FEWEST_TIMED", NUM_ITEMS + 1)
    if case == "epochs given":
        options = {**options, "method": "scratch", "model": "conv4-relu - gap - fc2", "epochs": 1}
    run = striate.fit(series, out=tmp_path / "run", **options)
    assert len(read(tmp_path / "run")) == NUM_ITEMS
    assert not [choice for choice in run.report.choices if choice.topic == "items read"]


def test_items_that_were_read_before_are_all_read(slow, photos, tmp_path, monkeypatch):
    """What lies in the cache takes no time; only its key is computed."""
    monkeypatch.setattr(prepare, "FEWEST_TIMED", 10)
    monkeypatch.setattr("striate.data.splits.part.LEAST_OF_CLASS", 6)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    options = {**OPTIONS, "image_size": 64, "time": "3s"}
    striate.fit(photos, out=tmp_path / "first", **options)
    some = len(read(tmp_path / "first"))
    source = open_source(str(photos))
    kind, chosen = kind_named("image"), {"size": 64}
    assert some < 60 and not kind.is_kept(source, source.listing.items, options=chosen)
    monkeypatch.setattr(ImageKind, "is_kept", lambda *arguments, **options: True)
    striate.fit(photos, out=tmp_path / "second", **options)
    monkeypatch.undo()
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    assert len(read(tmp_path / "second")) == 60
    assert kind.is_kept(source, source.listing.items, options=chosen)


def test_the_time_is_that_of_reading():
    def slowly(item):
        time.sleep(0.01)
        return Reading(array=np.zeros((1, 8), np.float32), sha256=item.id)

    items = tuple(Item(id=str(number)) for number in range(5_000))
    source = MemorySource("signal", "slow", Listing(items=items), slowly)
    assert 0.009 / available_cores() < seconds_of_one(source, None, seed=0) < 0.1
