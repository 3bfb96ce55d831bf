"""`striate fit --nproc`: the same as one process, and one line whatever happens to one of them."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from striate.cli import processes
from striate.run.folder import RunFolder

FIT = ("--method", "scratch", "--model", "conv8-bn-relu - gap - fc3", "--image-size", "32")
FIT = (*FIT, "--device", "cpu", "--epochs", "2")


def started(arguments):
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", processes._PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_fit_as_one(photos, tmp_path):
    runs = []
    for number in (1, 2):
        out = tmp_path / f"of-{number}"
        process = started(("fit", photos, "--out", out, *FIT, "--nproc", number))
        result, told = process.communicate(timeout=250)
        assert process.returncode == 0, told
        assert len(re.findall("training 2 epochs", told)) == 1
        assert result.count("test items:") == 1
        folder = RunFolder.open(out)
        assert folder.damaged() == []
        runs.append(folder)
    for name in ("data.lock.json", "checkpoints/steps.json"):
        assert (runs[0].path / name).exists()
    histories = [folder.read_csv("history.csv") for folder in runs]
    for row, other in zip(*histories, strict=True):
        assert float(row["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=0.02)
    assert (runs[0].path / "data.lock.json").read_bytes() == (
        runs[1].path / "data.lock.json"
    ).read_bytes()


def waited(process, folder):
    """Wait for the first checkpoint; the numbers of the processes that fit."""
    end = time.monotonic() + 200
    while not list(folder.glob("checkpoints/0*.safetensors")):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    return sorted(map(int, listed.stdout.split()))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("killed", "resumed_with"), [(0, 1), (1, 2)])
def test_fault_72_a_killed_process_ends_all_and_the_fit_goes_on(
    killed, resumed_with, photos, tmp_path
):
    out = tmp_path / "run"
    options = (*FIT[:-1], "60")
    process = started(("fit", photos, "--out", out, *options, "--nproc", 2))
    numbers = waited(process, out)
    os.kill(numbers[killed], signal.SIGKILL)
    began = time.monotonic()
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert process.returncode == 3
    said = [line for line in told.splitlines() if line.startswith("striate: ")]
    assert len(said) == 1
    assert "--resume" in said[0]
    assert "Traceback" not in told
    process = started(("fit", photos, "--out", out, *options, "--nproc", resumed_with, "--resume"))
    _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert len(RunFolder.open(out).read_csv("history.csv")) == 60


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_60_a_signal_stops_all_processes(number, photos, tmp_path):
    out = tmp_path / "run"
    process = started(("fit", photos, "--out", out, *FIT[:-1], "60", "--nproc", 2))
    waited(process, out)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told.splitlines()[-1] == "striate: stopped, and saved; go on from here with --resume"


PROGRAMS = {
    "another is killed": (
        "import os, sys, time\n"
        "if os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\n"
        "print('striate: another process of this fit has ended', file=sys.stderr); sys.exit(3)",
        3,
        [],
    ),
    "the first is killed": (
        "import os\nif os.environ['RANK'] == '0': os.kill(os.getpid(), 9)",
        3,
        ["striate: process 0 of 2 ended by SIGKILL; --resume goes on from the last checkpoint"],
    ),
    "another fails": (
        "import os, sys\n"
        "first = os.environ['RANK'] == '0'\n"
        "print('striate: another process of this fit has ended' if first else\n"
        "      'striate: no such file', file=sys.stderr); sys.exit(3 if first else 2)",
        3,
        ["striate: no such file"],
    ),
    "the first does not notice": (
        "import os, sys, time\ntime.sleep(0 if os.environ['RANK'] == '1' else 20); sys.exit(2)",
        3,
        ["striate: process 0 of 2 ended by SIGKILL; --resume goes on from the last checkpoint"],
    ),
    "all is well": ("", 0, []),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_fault_72_one_line_says_what_happened(name, monkeypatch, capsys):
    program, code, lines = PROGRAMS[name]
    monkeypatch.setattr(processes, "_PROGRAM", program)
    monkeypatch.setattr(processes, "_PATIENCE", 0.5)
    assert processes.run_together(2, []) == code
    assert capsys.readouterr().err.splitlines() == lines
