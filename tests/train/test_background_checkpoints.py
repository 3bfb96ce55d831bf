"""Checkpoints that a thread writes while training goes on."""

import threading
from dataclasses import replace

import pytest
import torch

from striate.errors import StorageError
from striate.nn.parameters import plain_groups
from striate.train.checkpoint import CheckpointStore, State
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.trainer import Trainer

PLAN = TrainPlan(epochs=2, learning_rate=1e-2, seed=5)


def state(number):
    return State(tensors={"x": torch.full((20,), float(number))}, values={"number": number})


class Gate:
    """Stands in for the writing of a file: waits until it is opened."""

    def __init__(self, monkeypatch, error=None):
        from striate.train import checkpoint

        self.opened, self.begun, self.most, self.now = threading.Event(), 0, 0, 0
        real = checkpoint.write_atomic

        def write(path, data):
            self.begun, self.now = self.begun + 1, self.now + 1
            self.most = max(self.most, self.now)
            assert self.opened.wait(30)
            self.now -= 1
            if error is not None:
                raise error
            real(path, data)

        monkeypatch.setattr(checkpoint, "write_atomic", write)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", say=print, interval=0.0)


def test_training_goes_on_while_a_checkpoint_is_written(store, monkeypatch):
    gate = Gate(monkeypatch)
    store.save_behind(state(1))
    assert not store.due(), "none is due while one is being written"
    assert not list(store.folder.glob("0*"))
    gate.opened.set()
    store.wait()
    assert store.due()
    assert store.load_latest().values == {"number": 1}


def test_one_is_written_at_a_time(store, monkeypatch):
    gate = Gate(monkeypatch)
    store.save_behind(state(1))
    threading.Timer(0.1, gate.opened.set).start()
    store.save_behind(state(2))
    store.wait()
    assert (gate.begun, gate.most) == (2, 1)
    assert store.load_latest().values == {"number": 2}


def test_fault_61_a_full_disk_is_told_at_the_next_step(store, monkeypatch):
    store.save(state(1))
    gate = Gate(monkeypatch, StorageError("no space", why="needs 5 MB, 1 MB free"))
    gate.opened.set()
    store.save_behind(state(2))
    store._writing.join()
    with pytest.raises(StorageError, match="was not saved: needs 5 MB, 1 MB free; the one before"):
        store.due()
    monkeypatch.undo()
    assert store.load_latest().values == {"number": 1}


def test_what_is_being_written_is_awaited_whatever_ends_the_work(store, monkeypatch):
    gate = Gate(monkeypatch)
    with pytest.raises(KeyboardInterrupt), store.awaited():
        store.save_behind(state(1))
        threading.Timer(0.1, gate.opened.set).start()
        raise KeyboardInterrupt
    assert store.load_latest().values == {"number": 1}


def test_fault_61_a_full_disk_at_the_end_is_told_and_hides_no_other_error(store, monkeypatch):
    gate = Gate(monkeypatch, StorageError("no space"))
    gate.opened.set()
    with pytest.raises(StorageError, match="was not saved"), store.awaited():
        store.save_behind(state(1))
    with pytest.raises(ZeroDivisionError), store.awaited():
        store.save_behind(state(1))
        raise ZeroDivisionError


def test_the_state_that_is_written_is_that_of_its_moment(make_network, batches, validate, tmp_path):
    """Steps go on while it is written; resumed from any moment, the weights are the same bits."""

    def train(folder, stop=None):
        torch.manual_seed(3)
        network = make_network()
        store = CheckpointStore(folder, say=print, interval=0.0)
        slow = store.save
        store.save = lambda kept: (threading.Event().wait(0.02), slow(kept))
        groups = plain_groups(network, 0.02)
        options = {"checkpoints": store, "stop": stop}
        result = Trainer(
            network, replace(PLAN), groups, batches, validate, CrossEntropy(), **options
        ).fit()
        return result, network.state_dict()

    _, expected = train(tmp_path / "whole")
    looks = iter(range(100))
    result, _ = train(tmp_path / "kept", stop=lambda: next(looks) == 4)
    assert (result.stopped, result.steps) == ("signal", 5)
    result, weights = train(tmp_path / "kept")
    assert result.stopped is None
    for name, value in expected.items():
        assert torch.equal(value, weights[name]), name
