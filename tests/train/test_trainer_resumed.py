"""The trainer stopped or killed, and resumed (faults 59, 60, 64, 65 and 76)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.train.trainers import (
    PLAN,
    StopAfter,
    assert_bitwise_equal,
    losses,
    train,
)
from torch import nn

from striate.errors import RunError
from striate.train.checkpoint import CheckpointStore
from striate.train.plan import TrainPlan


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("steps", range(1, 12))
def test_fault_60_stopped_after_any_step_and_resumed_equals_uninterrupted(
    make_network, batches, make_batches, validate, store, steps: int, workers: int
) -> None:
    straight = make_network()
    expected = train(straight, batches, validate, PLAN)
    own = make_batches(workers=workers)
    first = make_network()
    stopped = train(first, own, validate, PLAN, checkpoints=store, stop=StopAfter(steps))
    assert (stopped.stopped, stopped.steps) == ("signal", steps)
    resumed = make_network()
    torch.manual_seed(steps)  # the caller's random numbers play no part
    result = train(resumed, own, validate, PLAN, checkpoints=store)
    assert_bitwise_equal(straight, resumed)
    assert losses(result) == losses(expected)
    assert result.best_epoch == expected.best_epoch


class Killed(BaseException):
    """Nothing in the loop catches it, as nothing survives a SIGKILL."""


def test_fault_59_killed_between_checkpoints_and_resumed_equals_uninterrupted(
    make_network, batches, validate, tmp_path
) -> None:
    straight = make_network()
    train(straight, batches, validate, PLAN)

    def killer(at: int):
        left = StopAfter(at)

        def stop() -> bool:
            if left():
                raise Killed
            return False

        return stop

    for at in (2, 5, 8, 11):  # within each epoch; a checkpoint each other step
        ticks = iter(range(1000))
        store = CheckpointStore(
            tmp_path / str(at), say=print, interval=3.0, clock=lambda ticks=ticks: next(ticks)
        )
        with pytest.raises(Killed):
            train(make_network(), batches, validate, PLAN, checkpoints=store, stop=killer(at))
        resumed = make_network()
        train(resumed, batches, validate, PLAN, checkpoints=store)
        assert_bitwise_equal(straight, resumed)


def test_fault_64_a_damaged_checkpoint_costs_nothing_but_time(
    make_network, batches, validate, store
) -> None:
    straight = make_network()
    train(straight, batches, validate, PLAN)
    train(make_network(), batches, validate, PLAN, checkpoints=store, stop=StopAfter(9))
    last = max(store.folder.glob("*.safetensors"))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(bytes(data))
    resumed = make_network()
    train(resumed, batches, validate, PLAN, checkpoints=store)
    assert_bitwise_equal(straight, resumed)


def test_a_finished_run_resumes_to_its_result(make_network, batches, validate, store) -> None:
    network = make_network()
    result = train(network, batches, validate, PLAN, checkpoints=store)
    again = make_network()
    assert train(again, batches, validate, PLAN, checkpoints=store) == result
    assert_bitwise_equal(network, again)


SCRIPT = """
import sys
folder, epochs = sys.argv[2], int(sys.argv[3])
sys.path.insert(0, sys.argv[1])
from conftest import TinyBatches, Validation, tiny_network
from striate.nn.parameters import plain_groups
from striate.train.checkpoint import CheckpointStore
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.trainer import Trainer
batches, network = TinyBatches(), tiny_network()
groups = plain_groups(network, 0.02)
store = CheckpointStore(folder + "/checkpoints", say=print, interval=0.0)
plan = TrainPlan(epochs=epochs, learning_rate=2e-2, ema_decay=0.9)
validate = Validation(batches)
Trainer(network, plan, groups, batches, validate, CrossEntropy(), checkpoints=store).fit()
values = b"".join(v.contiguous().numpy().tobytes() for v in network.state_dict().values())
open(folder + "/final", "wb").write(values)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delays", "epochs"),
    [((0.0,), 10), ((0.0, 0.05, 0.1, 0.15, 0.2), 400)],
)
def test_fault_59_sigkill_at_any_moment(
    tmp_path: Path, delays: tuple[float, ...], epochs: int
) -> None:
    def start(folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        arguments = [str(Path(__file__).parent), str(folder), str(epochs)]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments])

    def saved() -> set[str]:
        return {path.name for path in (tmp_path / "killed" / "checkpoints").glob("0*.safetensors")}

    for delay in delays:
        seen = saved()
        with start(tmp_path / "killed") as process:
            while saved() <= seen and process.poll() is None:
                time.sleep(0.002)
            time.sleep(delay)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    for folder in ("killed", "straight"):
        with start(tmp_path / folder) as process:
            assert process.wait(timeout=200) == 0
    final = [(tmp_path / name / "final").read_bytes() for name in ("straight", "killed")]
    assert final[0] == final[1]


def test_fault_65_resume_with_another_plan_names_the_difference(
    make_network, batches, validate, store
) -> None:
    train(make_network(), batches, validate, PLAN, checkpoints=store, stop=StopAfter(2))
    other = TrainPlan(epochs=3, learning_rate=1e-2, ema_decay=0.9, seed=5)
    with pytest.raises(RunError, match=r"learning_rate=0\.02, not 0\.01; resume with the same"):
        train(make_network(), batches, validate, other, checkpoints=store)


def test_fault_65_resume_with_another_network_is_refused(
    make_network, batches, validate, store
) -> None:
    train(make_network(), batches, validate, PLAN, checkpoints=store, stop=StopAfter(2))
    other = make_network()
    other[6] = nn.Linear(8, 4)
    with pytest.raises(RunError, match="the checkpoint is of another network"):
        train(other, batches, validate, PLAN, checkpoints=store)


def test_fault_76_another_number_of_threads_is_said(
    make_network, batches, validate, store, progress, told, monkeypatch
) -> None:
    train(make_network(), batches, validate, PLAN, checkpoints=store, stop=StopAfter(2))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    train(make_network(), batches, validate, PLAN, checkpoints=store, progress=progress)
    assert "now there are 77: the weights will differ in the last bits" in told.getvalue()


def test_a_run_stopped_before_an_epoch_was_better_resumes_with_its_beginning(
    make_network, batches, store
) -> None:
    def worse():
        scores = iter([0.2, 0.3, 0.4, 0.5])
        return lambda network: {"log_loss": next(scores)}

    network = make_network()
    stop = StopAfter(6)
    train(network, batches, worse(), PLAN, checkpoints=store, keep_start=True, stop=stop)
    scores = iter([0.4, 0.5])
    result = train(
        network,
        batches,
        lambda network: {"log_loss": next(scores)},
        PLAN,
        checkpoints=store,
        keep_start=True,
    )
    assert (result.best_epoch, result.best_value) == (0, 0.2)
    assert_bitwise_equal(network, make_network())
