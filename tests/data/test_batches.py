import gc
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.data.batches import Batch, Loader, LoaderConfig, batch_bounds
from striate.data.prepare import prepare
from striate.errors import ArgumentError
from striate.kinds.image.augment import POLICIES


@pytest.fixture
def dataset(tmp_path, array_source, photographs):
    images = {f"{n}.png": ("ab"[n % 2], p) for n, p in enumerate(photographs(33))}
    return prepare(array_source(images), size=32, cache_folder=tmp_path)


def loader_of(dataset, count=33, **options):
    config = LoaderConfig(**{"batch_size": 8, "size": 24, "policy": POLICIES["natural"], **options})
    return Loader(dataset, np.arange(count), config)


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("striate-loader")]


def assert_same(ours: list[Batch], theirs: list[Batch]):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.indices, b.indices)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_do_not_depend_on_the_number_of_workers(dataset, workers):
    inline = list(loader_of(dataset).epoch(3))
    assert_same(list(loader_of(dataset, workers=workers).epoch(3)), inline)
    assert not threads()


def test_an_epoch_taken_up_in_the_middle_goes_on_the_same(dataset):
    loader = loader_of(dataset, workers=2)
    assert_same(list(loader.epoch(1, start=2)), list(loader.epoch(1))[2:])
    assert list(loader.epoch(1, start=4)) == []


def test_an_item_looks_the_same_in_any_batch(dataset):
    seen = {}
    for batch in loader_of(dataset, batch_size=8).epoch(2):
        seen.update(zip(batch.indices.tolist(), batch.pixels, strict=True))
    for batch in loader_of(dataset, batch_size=5, shuffle=False).epoch(2):
        for index, pixels in zip(batch.indices.tolist(), batch.pixels, strict=True):
            assert torch.equal(pixels, seen[index])


def test_each_epoch_holds_every_item_once_in_another_order(dataset):
    loader = loader_of(dataset)
    orders = [np.concatenate([b.indices for b in loader.epoch(e)]) for e in range(2)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(33))
    assert (orders[0] != orders[1]).any()
    batch = next(loader.epoch(0))
    assert batch.labels.tolist() == dataset.labels[batch.indices].tolist()
    assert batch.labels.dtype == torch.int64


def test_without_shuffling_or_policy_batches_are_center_crops(dataset):
    loader = loader_of(dataset, policy=POLICIES["none"], shuffle=False, size=32)
    pixels = torch.cat([batch.pixels for batch in loader.epoch(0)])
    assert torch.equal(pixels, dataset.pixels.center_crops(range(33), 32))


def test_no_batch_of_one(dataset):
    loader = loader_of(dataset)
    sizes = [len(batch.labels) for batch in loader.epoch(0)]
    assert sizes == [8, 8, 8, 9]
    assert loader.steps_per_epoch == 4


@given(st.integers(0, 200), st.integers(1, 40))
def test_bounds_cover_everything_once_without_a_batch_of_one(count, batch_size):
    bounds = batch_bounds(count, batch_size)
    positions = [n for low, high in bounds for n in range(low, high)]
    assert positions == list(range(count))
    if batch_size > 1 and count > 1:
        assert min(high - low for low, high in bounds) > 1
    assert max((high - low for low, high in bounds), default=0) <= batch_size + 1


def test_a_consumer_that_stops_leaves_no_thread(dataset):
    batches = loader_of(dataset, workers=2).epoch(0)
    next(batches)
    assert threads()
    batches.close()
    assert not threads()
    batches = loader_of(dataset, workers=2).epoch(0)
    next(batches)
    del batches
    gc.collect()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_reaches_the_consumer(dataset, workers, monkeypatch):
    loader = loader_of(dataset, workers=workers)
    view = dataset.pixels.view

    def broken(index):
        if index == 7:
            raise OSError("the disk is gone")
        return view(index)

    monkeypatch.setattr(dataset.pixels, "view", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        list(loader.epoch(0))
    assert not threads()


def test_the_queue_is_bounded(dataset, monkeypatch):
    loader = loader_of(dataset, batch_size=2, workers=2, ahead=1)
    made = []
    batch = loader._batch
    monkeypatch.setattr(loader, "_batch", lambda *a: made.append(1) or batch(*a))
    batches = loader.epoch(0)
    for taken in range(1, 5):
        next(batches)
        assert len(made) <= taken + 2
    batches.close()


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"workers": -1}, {"size": 0}, {"ahead": 0}])
def test_numbers_that_are_too_small_are_refused(option):
    with pytest.raises(ArgumentError, match=next(iter(option))):
        LoaderConfig(**{"batch_size": 4, "size": 8, **option})
