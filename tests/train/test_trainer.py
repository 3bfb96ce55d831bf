"""The trainer: resuming, stopping, diverging (faults 59, 60, 64, 65, 67, 68, 70 and 76)."""

from __future__ import annotations

import io
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import DivergedError, RunError, UnknownNameError
from striate.nn.parameters import ParameterGroup, plain_groups
from striate.progress import Progress
from striate.train import trainer
from striate.train.checkpoint import CheckpointStore
from striate.train.history import TrainResult
from striate.train.losses import CrossEntropy
from striate.train.pace import Pace
from striate.train.plan import TrainPlan
from striate.train.trainer import Trainer

PLAN = TrainPlan(epochs=3, learning_rate=2e-2, ema_decay=0.9, seed=5)


def trainer_of(network, batches, validate, plan, groups=None, **options) -> Trainer:
    groups = groups or plain_groups(network, 0.02)
    loss = CrossEntropy(label_smoothing=0.1)
    return Trainer(network, plan, groups, batches, validate, loss, **options)


def train(network, batches, validate, plan, groups=None, **options) -> TrainResult:
    return trainer_of(network, batches, validate, plan, groups, **options).fit()


class StopAfter:
    """Asks to stop after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", say=lambda line: None)


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(told: io.StringIO) -> Progress:
    return Progress(told)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_bitwise_equal(one: nn.Module, other: nn.Module) -> None:
    for (name, a), (_, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def pace(seconds_left: Callable[[], float], max_epochs: int = 3, **limits: float) -> Pace:
    return Pace(seconds_left=seconds_left, max_epochs=max_epochs, **limits)


def losses(result: TrainResult) -> list[tuple[int, float, float, float]]:
    return [
        (row.epoch, row.train_loss, row.metrics["log_loss"], row.learning_rate)
        for row in result.history
    ]


def test_it_learns_and_keeps_the_best_epoch(make_network, batches, validate) -> None:
    network = make_network()
    rows = []
    plan = TrainPlan(epochs=12, learning_rate=5e-2, ema_decay=None, warmup_epochs=0.5)
    result = train(network, batches, validate, plan, on_epoch=rows.append)
    assert rows == list(result.history)
    values = [row.metrics["log_loss"] for row in rows]
    assert result.best_value == min(values) < 0.7 * values[0]
    assert result.best_epoch == values.index(min(values)) + 1
    assert validate(network)["log_loss"] == result.best_value
    assert (result.stopped, result.steps, result.rollbacks) == (None, 48, 0)


def test_the_epoch_of_the_least_metric_is_kept_and_nan_is_not(make_network, batches) -> None:
    scores = iter([0.3, math.nan, 0.1, 0.5])
    plan = TrainPlan(epochs=4, metric="squared_error")
    result = train(make_network(), batches, lambda network: {"squared_error": next(scores)}, plan)
    assert (result.best_epoch, result.best_value) == (3, 0.1)


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


class Poisoned:
    """Batches whose inputs are spoilt at some step of the run, a number of times."""

    def __init__(self, batches, step: int, times: int, value: float = math.nan) -> None:
        self.batches, self.step, self.times, self.value = batches, step, times, value
        self.steps_per_epoch = batches.steps_per_epoch
        self.ids = batches.ids

    def epoch(self, epoch: int, start_step: int = 0):
        for number, (inputs, targets) in enumerate(
            self.batches.epoch(epoch, start_step), epoch * self.steps_per_epoch + start_step
        ):
            if number == self.step and self.times > 0:
                self.times -= 1
                inputs = torch.full_like(inputs, self.value)
            yield inputs, targets


@pytest.mark.parametrize("step", [0, 3, 6, 11])
def test_fault_67_after_a_nan_training_goes_back_at_half_the_rate(
    make_network, batches, validate, store, progress, told, step: int
) -> None:
    network = make_network()
    poisoned = Poisoned(batches, step=step, times=2)
    result = train(network, poisoned, validate, PLAN, checkpoints=store, progress=progress)
    assert result.rollbacks == 2
    assert len(result.history) == 3
    assert result.history[-1].learning_rate == pytest.approx(
        PLAN.learning_rate / 4 * math.cos(math.pi / 2 * 7 / 8) ** 2
    )
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert f"loss nan, gradient norm nan at step {step % 4 + 1} of epoch" in told.getvalue()


def test_fault_67_a_nan_that_stays_is_a_divergence(make_network, batches, validate, store) -> None:
    poisoned = Poisoned(batches, step=6, times=99)
    with pytest.raises(DivergedError) as caught:
        train(make_network(), poisoned, validate, PLAN, checkpoints=store)
    message = str(caught.value)
    assert "training diverged at step 3 of epoch 2 (learning rate 0.00213)" in message
    assert all(name in message for name in batches.ids(1, 2))
    state = store.load_latest()
    assert state is not None
    assert state.first_not_finite() is None
    assert state.values["position"]["epoch"] == 1


def test_without_a_store_training_goes_back_to_memory(make_network, batches, validate) -> None:
    result = train(make_network(), Poisoned(batches, step=6, times=1), validate, PLAN)
    assert (result.rollbacks, len(result.history)) == (1, 3)


def test_fault_68_a_learning_rate_of_a_million_is_a_divergence(
    make_network, batches, validate
) -> None:
    plan = TrainPlan(epochs=5, learning_rate=1e6, clip_norm=None, ema_decay=None)
    with pytest.raises(
        DivergedError,
        match=r"at step \d of epoch 1 \(learning rate 6.25e\+04\): the loss rose from 1\.",
    ):
        train(make_network(), batches, validate, plan)


def test_the_deadline_stops_at_the_end_of_a_step(
    make_network, batches, validate, store, progress, told
) -> None:
    ticks = iter(range(1, 100))  # one a look: after each step, and at the end of an epoch
    network = make_network()
    result = train(
        network,
        batches,
        validate,
        PLAN,
        checkpoints=store,
        progress=progress,
        pace=pace(lambda: 7 - next(ticks)),
    )
    assert (result.stopped, result.steps, result.best_epoch) == ("deadline", 6, 1)
    assert "time is up after step 6 of 12; the best epoch so far is kept" in told.getvalue()
    assert validate(network)["log_loss"] == result.best_value


def test_a_slower_machine_gets_fewer_epochs(
    make_network, batches, validate, store, progress, told, monkeypatch
) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr(trainer, "perf_counter", lambda: float(next(seconds)))
    left = 8.0  # an epoch takes 6 s on the other clock
    result = train(
        make_network(),
        batches,
        validate,
        PLAN,
        checkpoints=store,
        progress=progress,
        pace=pace(lambda: left, 2),
    )
    assert "the time allows 1 more epoch, not 2" in told.getvalue()
    assert (result.stopped, result.steps, len(result.history)) == (None, 8, 2)
    rates = [row.learning_rate for row in result.history]
    full = train(make_network(), batches, validate, PLAN)
    assert rates[0] == full.history[0].learning_rate
    assert rates[1] < full.history[1].learning_rate  # compressed: on its way to zero
    again = train(
        make_network(), batches, validate, PLAN, checkpoints=store, pace=pace(lambda: left, 2)
    )
    assert again.steps == 8  # a resumed run knows that it was shortened


def test_a_plan_of_one_epoch_grows_where_there_is_time(
    make_network, batches, validate, store, progress, told
) -> None:
    plan = replace(PLAN, epochs=1)
    result = train(
        make_network(), batches, validate, plan, progress=progress, pace=pace(lambda: 1e6, 12)
    )
    assert (len(result.history), result.stopped) == (12, None)
    assert "the time allows 11 more epochs, not 0" in told.getvalue()
    rates = [row.learning_rate for row in result.history]
    assert rates[0] == pytest.approx(plan.learning_rate / 4)  # it came down, and goes up again
    assert max(rates) <= plan.learning_rate
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.05 * rates[1]


def test_the_weights_of_the_beginning_are_kept_where_no_epoch_is_better(
    make_network, batches
) -> None:
    scores = iter([0.2, 0.3, 0.25, 0.21])
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = train(
        network, batches, lambda network: {"log_loss": next(scores)}, PLAN, keep_start=True
    )
    assert (result.best_epoch, result.best_value, len(result.history)) == (0, 0.2, 3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


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


def test_a_validation_that_gets_no_better_ends_the_training_at_a_rate_of_zero(
    make_network, batches, progress, told
) -> None:
    scores = iter([0.5, 0.4, *[0.45] * 100])
    result = train(
        make_network(),
        batches,
        lambda network: {"log_loss": next(scores)},
        replace(PLAN, epochs=40),
        progress=progress,
        pace=pace(lambda: 1e6, 40),
    )
    # Ten epochs without gain after the second, and five over which the rate goes to zero.
    assert (len(result.history), result.best_epoch, result.stopped) == (17, 2, None)
    assert "validation is no better since epoch 2: 5 more epochs, not 28" in told.getvalue()
    assert result.history[-1].learning_rate < 0.1 * result.history[11].learning_rate


def test_a_training_that_cannot_win_is_given_up(make_network, batches, progress, told) -> None:
    def values():
        return iter([1 - 0.01 * i for i in range(41)])

    def trained(to_beat):
        scores = values()
        return train(
            make_network(),
            batches,
            lambda network: {"log_loss": next(scores)},
            replace(PLAN, epochs=40),
            progress=progress,
            pace=pace(lambda: 1e6, 40, to_beat=to_beat),
        )

    assert len(trained(0.65).history) == 40
    assert len(trained(0.3).history) == 20
    assert "given up after epoch 20 of 40: validation 0.8100" in told.getvalue()


def test_a_deadline_within_the_first_epoch_leaves_weights(make_network, batches, validate) -> None:
    result = train(make_network(), batches, validate, PLAN, pace=pace(lambda: 0.0))
    assert (result.stopped, result.steps, result.history) == ("deadline", 1, ())
    assert math.isfinite(result.best_value)


def test_groups_scale_the_rate(make_network, batches, validate) -> None:
    """AdamW's first step moves each weight by the rate, whatever the gradient."""
    network = make_network()
    before = weights(network)
    groups = [
        ParameterGroup(name="slow", parameters=(network[0].bias,), rate_scale=0.1),
        ParameterGroup(name="fast", parameters=(network[6].bias,), rate_scale=3.0),
    ]
    plan = TrainPlan(epochs=1, learning_rate=1e-2, warmup_epochs=0, ema_decay=None)
    train(network, batches, validate, plan, groups, pace=pace(lambda: 0.0))
    moved = (network[6].bias - before["6.bias"]).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 3e-2), rtol=1e-3, atol=0)
    assert (network[0].bias - before["0.bias"]).abs().max() <= 1.01e-3
    assert torch.equal(network[0].weight, before["0.weight"])


def test_weights_decay_and_biases_do_not(make_network) -> None:
    network = make_network()
    network[0].requires_grad_(False)
    decayed, others = plain_groups(network, weight_decay=0.3)
    assert (decayed.weight_decay, others.weight_decay) == (0.3, 0.0)
    assert [p.shape for p in decayed.parameters] == [(3, 8)]
    assert [p.shape for p in others.parameters] == [(8,), (8,), (3,)]


def test_fault_70_a_batch_may_be_one_item(make_network, make_batches, validate) -> None:
    assert train(make_network(), make_batches(batch_size=1), validate, PLAN).steps == 66


def test_an_unknown_metric_names_those_there_are(make_network, batches, validate) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'log_los'; did you mean 'log_loss'"):
        train(make_network(), batches, validate, TrainPlan(epochs=1, metric="log_los"))


def test_the_callers_random_numbers_stay(make_network, batches, validate) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    train(make_network(), batches, validate, TrainPlan(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_measuring_the_rate_leaves_no_trace(make_network, batches, validate) -> None:
    straight, measured = make_network(), make_network()
    assert trainer_of(measured, batches, validate, PLAN).measure_rate() > 0
    assert_bitwise_equal(straight, measured)
    train(straight, batches, validate, PLAN)
    train(measured, batches, validate, PLAN)
    assert_bitwise_equal(straight, measured)


@pytest.mark.parametrize("strided", [False, True])
def test_a_network_is_trained_in_the_layout_whose_gradients_are_right(
    strided: bool, batches, validate
) -> None:
    wide, strided_one = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 1, stride=2)
    rest = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    network = nn.Sequential(wide, *([strided_one] if strided else []), *rest)
    seen: list[torch.Tensor] = []
    wide.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    train(network, batches, validate, replace(PLAN, epochs=1, ema_decay=0.0))
    assert wide.weight.is_contiguous() == strided
    assert wide.weight.is_contiguous(memory_format=torch.channels_last) != strided
    assert seen[0].is_contiguous() == strided
    # torch's fused Adam would mix up the numbers of a gradient of another layout.
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.stride() == parameter.stride()
