import json
from dataclasses import replace

import numpy as np
import pytest

from striate.data.snapshot import difference, from_json, snapshot, to_json
from striate.data.source import Skip
from striate.errors import DataError


@pytest.fixture
def dataset(prepare_images, array_source, photographs):
    images = {f"{n}.png": ("ab"[n % 2], p) for n, p in enumerate(photographs(20))}
    images["bad\udcff.png"] = ("a", None)
    return prepare_images(array_source(images), size=16)


def test_a_snapshot_survives_json(dataset):
    written = json.dumps(to_json(snapshot(dataset)))
    read = from_json(json.loads(written))
    assert read == snapshot(dataset)
    assert read.skipped == (Skip(id="bad\udcff.png", reason="empty file"),)
    assert read.items[3].label == "b"
    assert len(read.items[3].sha256) == 64
    assert difference(read, dataset) == []


def test_a_moved_folder_and_another_skipped_file_are_no_difference(dataset):
    moved = replace(dataset, name="elsewhere", skipped=())
    assert difference(snapshot(dataset), moved) == []


def test_differences_are_named(dataset):
    held, of = snapshot(dataset), type(dataset.target).of
    names = [item.label for item in dataset.items]
    gone = replace(
        dataset,
        items=dataset.items[1:],
        target=of(names[1:]),
        splits=dataset.splits[1:],
        sha256=dataset.sha256[1:],
        duplicate_groups=dataset.duplicate_groups[1:],
    )
    assert difference(held, gone) == ["1 item gone: 0.png"]
    assert difference(snapshot(gone), dataset) == ["1 item new: 0.png"]
    changed = replace(dataset, sha256=("0" * 64, *dataset.sha256[1:]))
    assert difference(held, changed) == ["1 item with another content: 0.png"]
    relabelled = replace(dataset, target=of(["ba"["ab".index(name)] for name in names]))
    (line,) = difference(held, relabelled)
    assert line.startswith("20 items with another label: 0.png, 1.png")
    resplit = replace(dataset, splits=np.full(20, "train"))
    assert "with another split" in difference(held, resplit)[0]
    renamed = replace(dataset, target=of([name.replace("b", "c") for name in names]))
    assert difference(held, renamed)[0] == "classes were a, b, are a, c"
    order = np.arange(20)[::-1]
    reversed_ = replace(
        dataset,
        items=dataset.items[::-1],
        target=of(names[::-1]),
        splits=dataset.splits[order],
        sha256=dataset.sha256[::-1],
    )
    assert difference(held, reversed_) == ["the items are in another order"]


def test_other_documents_are_refused(dataset):
    document = to_json(snapshot(dataset))
    with pytest.raises(DataError, match="version 99"):
        from_json({**document, "version": 99})
    del document["items"]
    with pytest.raises(DataError, match="not complete"):
        from_json(document)
