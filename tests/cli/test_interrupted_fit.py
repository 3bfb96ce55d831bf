"""`striate fit` killed or interrupted at any moment and resumed: the same weights, bit for bit."""

import contextlib
import random
import signal
import time

import pytest

from striate.files import sha256_file
from striate.run.folder import RunFolder

FINETUNE = ("--method", "finetune", "--image-size", 64, "--epochs", 2)
SCRATCH = ("--method", "scratch", "--model", "resnet18", "--image-size", 32, "--epochs", 4)


def result_of(folder):
    """The SHA-256 of the weights, and the history as text but for how long it took."""
    assert sha256_file(folder.path / "model.safetensors") == folder.record().model.sha256
    rows = folder.read_csv("history.csv")
    timed = ("seconds", "samples_per_second")
    history = [{name: row[name] for name in row if name not in timed} for row in rows]
    return folder.record().model.sha256, history


@pytest.fixture
def begin(launcher, photos):
    """A function that begins a fit."""

    def start(out, options):
        launcher.start(("fit", photos, "--out", out, "--device", "cpu", *options))

    return start


@pytest.fixture
def finish(begin, launcher):
    """A function that fits or resumes to the end: the weights' SHA-256, and the history."""

    def end(out, options):
        begin(out, (*options, "--resume"))
        assert launcher.wait() == 0, launcher.text()
        return result_of(RunFolder.open(out))

    return end


@pytest.fixture
def interrupt(launcher):
    """A function that waits until the fit has said something and signals it: its exit code."""

    def send(number, line, delay=0.0):
        while line not in launcher.text():
            time.sleep(0.005)
        time.sleep(delay)
        launcher.signal(number)
        return launcher.wait()

    return send


@pytest.mark.slow
def test_fault_59_killed_twice(begin, finish, interrupt, tuned_run, tmp_path):
    draws = random.Random(0)
    for line in ("data: 60 items", "baseline after"):
        begin(tmp_path / "run", (*FINETUNE, "--resume"))
        code = interrupt(signal.SIGKILL, line, delay=draws.uniform(0, 0.3))
        assert code == -signal.SIGKILL
    assert finish(tmp_path / "run", FINETUNE) == result_of(tuned_run.folder)


def test_fault_60_a_signal_saves_and_says_how_to_go_on(
    begin, finish, interrupt, launcher, tuned_run, tmp_path
):
    # Ctrl-C before there is any model leaves nothing to finish with.
    stages = [
        (signal.SIGINT, 130, "image size", "finishing with the best model so far"),
        (signal.SIGTERM, 143, "training 2 epochs", "saving, then stopping"),
    ]
    for number, code, line, action in stages:
        begin(tmp_path / "run", (*FINETUNE, "--resume"))
        assert interrupt(number, line) == code
        said = launcher.text().splitlines()
        assert f"{number.name}: {action}; once more to leave at once" in said
        assert said[-1] == "striate: stopped, and saved; go on from here with --resume"
        assert "Traceback" not in launcher.text()
        assert not (tmp_path / "run" / "run.json").exists()
    assert finish(tmp_path / "run", FINETUNE) == result_of(tuned_run.folder)


@pytest.mark.slow
def test_ctrl_c_finishes_with_the_best_so_far_and_resume_goes_on(
    begin, finish, interrupt, launcher, auto_run, tmp_path
):
    options = ("--image-size", 64, "--epochs", 1)
    begin(tmp_path / "run", options)
    assert interrupt(signal.SIGINT, "training 1 epoch") == 130
    said = launcher.text().splitlines()
    assert "the search was ended early; --resume goes on" in said
    record = RunFolder.open(tmp_path / "run").record()
    assert (record.search, (tmp_path / "run" / "report.html").exists()) == ("ended early", True)
    assert finish(tmp_path / "run", options)[0] == auto_run.record.model.sha256


def test_fault_60_a_second_signal_leaves_at_once(begin, launcher, tmp_path):
    begin(tmp_path / "run", FINETUNE)
    for line in ("image size", "SIGTERM: saving"):
        while line not in launcher.text():
            time.sleep(0.002)
        launcher.signal(signal.SIGTERM)
    assert launcher.wait() == -signal.SIGTERM
    assert "--resume" not in launcher.text()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("options", "workers"),
    [(FINETUNE, 0), (SCRATCH, 0), (SCRATCH, 2)],
    ids=["finetune", "scratch", "scratch, 2 workers"],
)
def test_fault_59_killed_at_ten_random_moments(options, workers, begin, finish, launcher, tmp_path):
    began = time.monotonic()
    expected = finish(tmp_path / "whole", options)
    seconds = time.monotonic() - began
    draws = random.Random(workers)
    options = (*options, "--workers", workers)
    kills = runs = 0

    def killed(out):
        """Begin and kill at a random moment; whether it was not done before."""
        begin(out, (*options, "--resume"))
        time.sleep(draws.uniform(0.05, 0.5) * seconds)
        with contextlib.suppress(ProcessLookupError):  # it was done before
            launcher.signal(signal.SIGKILL)
        return launcher.wait() == -signal.SIGKILL

    while kills < 10:
        out = tmp_path / f"run-{runs}"
        while kills < 10 and killed(out):
            kills += 1
        assert finish(out, options) == expected
        runs += 1
