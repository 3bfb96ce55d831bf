"""Faults 61, 63 and 64: no space, a failing fsync, damaged files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from striate.errors import RunError, StorageError
from striate.train.checkpoint import (
    CheckpointStore,
    State,
    optimizer_tensors,
    restore_optimizer,
    snapshot,
)


def state(number: int) -> State:
    return State(
        tensors={"network.weight": torch.full((50,), float(number)), "step": torch.tensor(number)},
        values={"number": number, "history": [{"loss": 0.1}]},
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", say=said.append)


def fill(store: CheckpointStore, count: int) -> None:
    for number in range(1, count + 1):
        store.save(state(number))


def file_of(store: CheckpointStore, number: int) -> Path:
    (path,) = store.folder.glob(f"{number:06d}-*.safetensors")
    return path


def test_the_last_two_are_kept_and_the_last_is_loaded(store: CheckpointStore) -> None:
    assert store.load_latest() is None
    fill(store, 4)
    assert sorted(store.folder.iterdir()) == [file_of(store, 3), file_of(store, 4)]
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.values == state(4).values
    for name, value in state(4).tensors.items():
        assert torch.equal(loaded.tensors[name], value)
        assert loaded.tensors[name].dtype == value.dtype


def test_fault_64_every_flipped_bit_is_noticed(store: CheckpointStore, said) -> None:
    fill(store, 2)
    path = file_of(store, 2)
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 1
        path.write_bytes(bytes(damaged))
        said.clear()
        loaded = store.load_latest()
        assert loaded is not None and loaded.values["number"] == 1
        assert said == [f"checkpoint {path}: checksum mismatch; trying the one before"]


@pytest.mark.parametrize("length", [0, 1, 60])
def test_fault_64_a_truncated_file_is_noticed(store, said, length: int) -> None:
    fill(store, 2)
    path = file_of(store, 2)
    path.write_bytes(path.read_bytes()[:length])
    assert store.load_latest().values["number"] == 1
    assert len(said) == 1


def test_all_damaged_is_an_error(store) -> None:
    fill(store, 2)
    for path in store.folder.glob("*.safetensors"):
        path.write_bytes(b"x")
    with pytest.raises(RunError, match=r"no checkpoint in .* is whole; start again"):
        store.load_latest()


def test_a_damaged_one_does_not_push_out_a_good_one(store) -> None:
    fill(store, 2)
    file_of(store, 2).write_bytes(b"x")
    store.load_latest()
    store.save(state(3))
    file_of(store, 3).write_bytes(b"x")
    assert store.load_latest().values["number"] == 1


def test_what_a_kill_left_is_ignored_and_dropped(store, monkeypatch) -> None:
    fill(store, 1)

    def killed(self: Path, target: Path) -> None:
        # What another process, whose number is in the name, would leave.
        self.with_suffix(".999999").hardlink_to(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            store.save(state(2))
    assert len(list(store.folder.iterdir())) == 2
    (store.folder / "features.safetensors").write_text("of the fit")
    assert store.load_latest().values["number"] == 1
    store.save(state(2))
    assert store.load_latest().values["number"] == 2
    assert {path.name for path in store.folder.iterdir()} == {
        file_of(store, 1).name,
        file_of(store, 2).name,
        "features.safetensors",
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_fault_61_the_disk_fills_while_writing(store, monkeypatch) -> None:
    fill(store, 1)
    plain_open = Path.open

    def to_a_full_disk(self: Path, mode: str = "r", *args, **kwargs):
        return plain_open(Path("/dev/full") if mode == "wb" else self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", to_a_full_disk)
    with pytest.raises(StorageError, match=r"was not saved: needs \d+ B, .*free; the one before"):
        store.save(state(2))
    monkeypatch.undo()
    assert store.load_latest().values["number"] == 1


@pytest.mark.parametrize("failing_call", [1, 2])
def test_fault_63_a_failing_fsync_is_not_counted_as_saved(
    store, monkeypatch, failing_call: int
) -> None:
    fill(store, 1)
    calls = 0
    real = os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=r"was not saved: Input/output error"):
        store.save(state(2))
    assert store.load_latest().values["number"] == 1
    store.save(state(3))
    assert store.load_latest().values["number"] == 3


def test_nothing_that_is_not_finite_is_saved(store) -> None:
    bad = State(tensors={"w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(AssertionError):
        store.save(bad)
    assert not store.folder.exists()


def test_due_after_the_interval(tmp_path: Path) -> None:
    now = 0.0
    store = CheckpointStore(tmp_path, say=print, interval=10, clock=lambda: now)
    assert not store.due()
    now = 10.0
    assert store.due()
    store.save(state(1))
    assert not store.due()


def test_the_optimizer_round_trips_exactly(store) -> None:
    torch.manual_seed(0)

    def make():
        convolution = torch.nn.Conv2d(3, 4, 3)
        convolution.weight.data = convolution.weight.data.contiguous(
            memory_format=torch.channels_last
        )
        optimizer = torch.optim.AdamW(
            [{"params": [convolution.weight], "weight_decay": 0.1}, {"params": [convolution.bias]}]
        )
        return convolution, optimizer

    convolution, optimizer = make()
    for _ in range(3):
        optimizer.zero_grad()
        convolution(torch.randn(2, 3, 5, 5)).square().sum().backward()
        optimizer.step()
    store.save(State(tensors=snapshot(optimizer_tensors(optimizer))))
    _, other = make()
    restore_optimizer(other, store.load_latest().tensors)
    before, after = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert before.keys() == after.keys() == {0, 1}
    for number in before:
        assert before[number].keys() == after[number].keys()
        for key, value in before[number].items():
            assert torch.equal(value, after[number][key])
            assert value.stride() == after[number][key].stride()
