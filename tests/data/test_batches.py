import gc
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.data import batches as module
from striate.data.batches import Batches, batch_bounds
from striate.data.randomness import Draws, epoch_order, item_keys, uniforms
from striate.errors import ArgumentError
from striate.kinds.image.augment import POLICIES, augment

IDS = [f"item-{n}" for n in range(33)]


def numbered(positions, number):
    """Items and draws as a kind would make them."""
    draws = Draws(item_keys(IDS)[positions], 5, number).uniforms(3)
    return torch.from_numpy(draws), torch.from_numpy(positions)


def batches_of(make=numbered, ids=IDS, **options):
    return Batches(ids, make, **{"batch_size": 8, "seed": 5, **options})


@pytest.fixture
def make_photos(prepare_images, array_source, photographs):
    """Augmented photographs."""
    images = {f"{n}.png": ("ab"[n % 2], p) for n, p in enumerate(photographs(33))}
    dataset = prepare_images(array_source(images), size=32)
    keys = item_keys(dataset.ids(range(33)))

    def make(positions, number):
        views = [torch.from_numpy(reading.array) for reading in dataset.store.take(positions)]
        pixels = augment(views, Draws(keys[positions], 5, number), POLICIES["natural"], 24)
        return pixels, torch.from_numpy(positions)

    return make


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("striate-batches")]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_do_not_depend_on_the_number_of_workers(make_photos, workers):
    inline = list(batches_of(make_photos).epoch(3))
    assert_same(list(batches_of(make_photos, workers=workers).epoch(3)), inline)
    assert not threads()


def test_an_epoch_taken_up_in_the_middle_goes_on_the_same(make_photos):
    batches = batches_of(make_photos, workers=2)
    assert_same(list(batches.epoch(1, start_step=2)), list(batches.epoch(1))[2:])
    assert list(batches.epoch(1, start_step=4)) == []


def test_an_item_looks_the_same_in_any_batch(make_photos):
    seen = {}
    for pixels, positions in batches_of(make_photos).epoch(2):
        seen.update(zip(positions.tolist(), pixels, strict=True))
    for pixels, positions in batches_of(make_photos, batch_size=5).epoch(2):
        for position, image in zip(positions.tolist(), pixels, strict=True):
            assert torch.equal(image, seen[position])


def test_each_epoch_holds_every_item_once_in_another_order():
    batches = batches_of()
    orders = [np.concatenate([p.numpy() for _, p in batches.epoch(e)]) for e in range(2)]
    for epoch, order in enumerate(orders):
        assert sorted(order.tolist()) == list(range(33))
        np.testing.assert_array_equal(order, epoch_order(5, epoch, 33))
    assert (orders[0] != orders[1]).any()


@pytest.mark.parametrize(("min_steps", "passes"), [(1, 1), (4, 1), (5, 2), (16, 4), (17, 5)])
def test_few_items_are_gone_through_again_until_the_steps_are_enough(min_steps, passes):
    batches = batches_of(min_steps=min_steps)
    assert batches.steps_per_epoch == 4 * passes
    for epoch in range(2):
        made = list(batches.epoch(epoch))
        found = torch.cat([positions for _, positions in made]).numpy()
        numbers = range(epoch * passes, (epoch + 1) * passes)
        orders = np.concatenate([epoch_order(5, number, 33) for number in numbers])
        np.testing.assert_array_equal(found, orders)
        expected = [
            uniforms(item_keys(IDS), 3, seed=5, epoch=number)[epoch_order(5, number, 33)]
            for number in numbers
        ]
        drawn = torch.cat([draws for draws, _ in made]).numpy()
        np.testing.assert_array_equal(drawn, np.concatenate(expected))


@pytest.mark.parametrize(("max_steps", "steps"), [(8, 5), (5, 5), (4, 3), (3, 3), (2, 2), (1, 1)])
def test_of_many_items_an_epoch_is_a_part_and_the_next_goes_on_from_there(max_steps, steps):
    batches = batches_of(batch_size=7, max_steps=max_steps)
    assert batches.steps_per_epoch == steps
    found = [p for epoch in range(10) for _, p in batches.epoch(epoch)]
    whole = [p for epoch in range(10) for _, p in batches_of(batch_size=7).epoch(epoch)]
    assert len(found) == 10 * steps
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, whole, strict=False))
    later = [p for _, p in batches.epoch(3, start_step=steps - 1)]
    assert torch.equal(later[0], found[4 * steps - 1])


def test_the_items_of_a_batch_are_named():
    batches = batches_of(min_steps=8)
    for step, (_, positions) in enumerate(batches.epoch(1)):
        assert batches.ids(1, step) == [f"item-{n}" for n in positions.tolist()]


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_each_batch(world_size):
    whole = list(batches_of().epoch(1))
    shares = [
        list(batches_of().of_process(rank, world_size).epoch(1)) for rank in range(world_size)
    ]
    for step, (draws, positions) in enumerate(whole):
        assert torch.equal(torch.cat([share[step][0] for share in shares]), draws)
        assert torch.equal(torch.cat([share[step][1] for share in shares]), positions)
        sizes = {len(share[step][1]) for share in shares}
        assert max(sizes) - min(sizes) <= 1
    assert len(batches_of().of_process(1, world_size).ids(1, 0)) == 8


def test_a_process_without_items_is_refused():
    with pytest.raises(ArgumentError, match="2 processes cannot share a batch of 1"):
        batches_of(batch_size=1).of_process(0, 2)


def test_fault_70_no_batch_of_one():
    batches = batches_of()
    sizes = [len(positions) for _, positions in batches.epoch(0)]
    assert sizes == [8, 8, 8, 9]
    assert batches.steps_per_epoch == 4


@given(st.integers(0, 200), st.integers(1, 40))
def test_bounds_cover_everything_once_without_a_batch_of_one(count, batch_size):
    bounds = batch_bounds(count, batch_size)
    positions = [n for low, high in bounds for n in range(low, high)]
    assert positions == list(range(count))
    if batch_size > 1 and count > 1:
        assert min(high - low for low, high in bounds) > 1
    assert max((high - low for low, high in bounds), default=0) <= batch_size + 1


def test_a_consumer_that_stops_leaves_no_thread():
    batches = batches_of(workers=2).epoch(0)
    next(batches)
    assert threads()
    batches.close()
    assert not threads()
    batches = batches_of(workers=2).epoch(0)
    next(batches)
    del batches
    gc.collect()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_reaches_the_consumer(workers):
    def broken(positions, number):
        if 7 in positions:
            raise OSError("the disk is gone")
        return numbered(positions, number)

    with pytest.raises(OSError, match="the disk is gone"):
        list(batches_of(broken, workers=workers).epoch(0))
    assert not threads()


def test_the_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "BATCHES_AHEAD", 1)
    made = []

    def make(positions, number):
        made.append(1)
        return numbered(positions, number)

    batches = batches_of(make, batch_size=2, workers=2).epoch(0)
    for taken in range(1, 5):
        next(batches)
        assert len(made) <= taken + 2
    batches.close()


@pytest.mark.parametrize(
    "option", [{"batch_size": 0}, {"workers": -1}, {"min_steps": 0}, {"max_steps": 0}]
)
def test_numbers_that_are_too_small_are_refused(option):
    with pytest.raises(ArgumentError, match=next(iter(option))):
        batches_of(**option)
    with pytest.raises(ArgumentError, match="number of items=0"):
        batches_of(ids=[])


def test_fault_71_workers_are_threads_that_share_no_memory_with_other_processes(monkeypatch):
    """No worker can be killed alone, and /dev/shm may be full: neither is used."""

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    monkeypatch.setattr("multiprocessing.shared_memory.SharedMemory.__init__", refuse)
    monkeypatch.setattr("os.fork", refuse)
    for (draws, positions), (same, also) in zip(
        batches_of(workers=2).epoch(0), batches_of().epoch(0), strict=True
    ):
        assert torch.equal(draws, same)
        assert torch.equal(positions, also)
