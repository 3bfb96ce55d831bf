"""A fit is killed at each change of a file in turn: what was saved stays, and the fit goes on from it."""

import builtins
import io
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.train.checkpoint import CheckpointStore

OPTIONS = {
    "method": "scratch", "model": "conv4-bn-relu - gap - fc2", "epochs": 3, "device": "cpu",
    "workers": 0,
}  # fmt: skip
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
FORKS = multiprocessing.get_context("forkserver")

io_open = io.open


class Killer:
    """Ends this process at a change of a file by its number: before it, or in the middle of a write.

    Attributes:
        changed: Changes so far.
        at: Number of the change at which the process ends; none where it is 0.
    """

    def __init__(self, folder, at):
        self.folder, self.changed, self.at = str(folder), 0, at

    def count(self):
        self.changed += 1
        return self.changed == self.at

    def ours(self, path):
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder)

    def hear(self, event, arguments):
        if event in CHANGES and self.ours(arguments[0]) and self.count():
            os.kill(os.getpid(), signal.SIGKILL)

    def open(self, file, mode="r", *arguments, **options):
        opened = io_open(file, mode, *arguments, **options)
        if set(mode) & set("wax+") and (isinstance(file, int) or self.ours(file)) and self.count():
            write = opened.write

            def half(content):
                write(content[: len(content) // 2])
                opened.flush()
                os.kill(os.getpid(), signal.SIGKILL)

            opened.write = half
        return opened


def fit(series, out, at, told):
    """What a process does: fit, and tell how many changes there were."""
    killer = Killer(out, at)
    sys.addaudithook(killer.hear)
    io.open = builtins.open = killer.open
    striate.fit(series, out=out, **OPTIONS)
    told.send(killer.changed)


def run(*arguments):
    """How a process that fits ended, and how many changes it made if it came to its end."""
    heard, told = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=fit, args=(*arguments, told))
    process.start()
    told.close()
    process.join(120)
    assert not process.is_alive()
    return process.exitcode, heard.recv() if process.exitcode == 0 else 0


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Series of two classes."""
    FORKS.set_forkserver_preload(["striate.fitting.fit", "striate.train.trainer"])
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    values = rng.normal(size=(60, 32)) + np.where(labels, 1.0, -1.0)[:, None] * np.hanning(32)
    path = tmp_path_factory.mktemp("series") / "series.npz"
    np.savez(path, X=values.astype(np.float32), y=labels)
    return path


@pytest.fixture(scope="module")
def whole(series, tmp_path_factory):
    """The uninterrupted fit: its folder, and how many changes of files it made."""
    out = tmp_path_factory.mktemp("whole") / "run"
    code, changes = run(series, out, 0)
    assert code == 0
    return out, changes


def killed_at(number, series, out, whole):
    """Kill at that change, look at what is left, go on, and compare."""
    code, _ = run(series, out, number)
    assert code == -signal.SIGKILL, number
    if (out / "model.safetensors").is_file() and (out / "run.json").is_file():
        assert RunFolder.open(out).damaged() == [], number
    if (out / CHECKPOINTS).is_dir():
        kept = list((out / CHECKPOINTS).glob("[0-9]*-*.safetensors"))
        state = CheckpointStore(out / CHECKPOINTS, say=pytest.fail).load_latest()
        assert (state is None) == (not kept), number
    done = striate.fit(series, out=out, **OPTIONS, resume=True)
    expected = (whole / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == expected, number
    assert done.folder.damaged() == [], number
    left = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert left == {str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()}, number


def test_killed_in_the_midst_of_its_changes_of_files_a_fit_goes_on(series, whole, tmp_path):
    folder, changes = whole
    killed_at(changes // 2, series, tmp_path / "run", folder)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_each_change_of_a_file_a_fit_goes_on(series, whole, tmp_path):
    folder, changes = whole
    assert changes > 20
    for number in range(1, changes + 1):
        killed_at(number, series, tmp_path / f"run-{number}", Path(folder))
