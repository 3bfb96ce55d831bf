"""The disk fills at each write of a fit in turn: what was saved stays, and the fit goes on from it."""

import builtins
import errno
import io
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.errors import StorageError
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.train.checkpoint import CheckpointStore

OPTIONS = {
    "method": "scratch", "model": "conv4-bn-relu - gap - fc2", "epochs": 3, "device": "cpu", "workers": 0,
}  # fmt: skip


class Disk:
    """A disk that is full from the write of some number on, after half of what is written then.

    Attributes:
        written: Files that were opened to be written.
        full_at: Number of the file that is not written any more, nor any after it.
        refused: Part of the names of files that are not written either; none where it is empty.
    """

    def __init__(self, folder):
        self.folder, self.written, self.full_at, self.refused = folder, 0, None, ""

    def open(self, file, mode="r", *arguments, **options):
        opened = io_open(file, mode, *arguments, **options)
        ours = isinstance(file, int) or Path(file).is_relative_to(self.folder)
        if ours and set(mode) & set("wax+"):
            self.written += 1
            refused = bool(self.refused) and self.refused in str(file)
            if refused or (self.full_at is not None and self.written >= self.full_at):
                opened.write = self._failing(opened.write)
        return opened

    @staticmethod
    def _failing(write):
        def fail(content):
            write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        return fail


io_open = io.open


@pytest.fixture
def disk(tmp_path, monkeypatch):
    found = Disk(tmp_path)
    monkeypatch.setattr(io, "open", found.open)
    monkeypatch.setattr(builtins, "open", found.open)
    return found


@pytest.fixture
def series(tmp_path):
    """Series of two classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    values = rng.normal(size=(60, 32)) + np.where(labels, 1.0, -1.0)[:, None] * np.hanning(32)
    np.savez(tmp_path / "series.npz", X=values.astype(np.float32), y=labels)
    return tmp_path / "series.npz"


def weights(run):
    return (run.folder.path / "model.safetensors").read_bytes()


def numbers_of_checkpoints(folder):
    return [path.name[:6] for path in sorted(folder.glob("[0-9]*-*.safetensors"))]


def full_at(disk, series, number, out, expected):
    """Whether the fit came to the write of that number; what it leaves, and goes on to, is checked."""
    disk.written, disk.full_at = 0, number
    told = None
    try:
        run = striate.fit(series, out=out, **OPTIONS)
    except StorageError as error:
        told = error
    reached, disk.full_at = disk.written >= number, None
    if told is None:  # what cannot be written is then not needed
        assert weights(run) == expected
        return reached
    assert reached
    assert "\n" not in str(told) and str(out) in str(told)
    kept = numbers_of_checkpoints(out / CHECKPOINTS)
    state = CheckpointStore(out / CHECKPOINTS, say=pytest.fail).load_latest()
    assert (state is None) == (not kept)
    run = striate.fit(series, out=out, **OPTIONS, resume=True)
    assert weights(run) == expected
    assert RunFolder.open(out).damaged() == []
    return True


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fault_61_the_disk_fills_at_each_write_in_turn(disk, series, tmp_path):
    # The first fit of a process takes longer, and may save once more on the way.
    striate.fit(series, out=tmp_path / "warm", **OPTIONS)
    disk.written = 0
    whole = striate.fit(series, out=tmp_path / "whole", **OPTIONS)
    writes = disk.written
    for number in count(1):
        if not full_at(disk, series, number, tmp_path / f"run-{number}", weights(whole)):
            break
    assert number > writes > 10


def test_fault_61_the_disk_fills_at_the_last_checkpoint(disk, series, tmp_path):
    """The one before it is there, and the fit goes on from it to the same weights."""
    whole = striate.fit(series, out=tmp_path / "whole", **OPTIONS)
    disk.refused = ".000003-"  # what is not finished has a dot before its name
    out = tmp_path / "run"
    with pytest.raises(StorageError, match=r"the checkpoint .*000003-.* was not saved"):
        striate.fit(series, out=out, **OPTIONS)
    disk.refused = ""
    assert numbers_of_checkpoints(out / CHECKPOINTS) == ["000001", "000002"]
    run = striate.fit(series, out=out, **OPTIONS, resume=True)
    assert weights(run) == weights(whole)
