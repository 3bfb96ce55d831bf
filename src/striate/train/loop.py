"""The training loop: epochs, validation, checkpoints, stopping, and going back where it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from striate.errors import DivergedError, RunError, UnknownNameError
from striate.nn.parameters import ParameterGroup, plain_groups
from striate.ops.inputs import Inputs
from striate.progress import Progress, Tracker
from striate.train.checkpoint import CheckpointStore
from striate.train.plan import Deadline, TrainPlan
from striate.train.session import Session, Trouble
from striate.train.state import State

_NAMED = 8
"""Items of a batch that a message names."""

ROLLBACKS = 3
"""Times that a diverging run goes back to its last good state."""


class Batches(Protocol):
    """Training batches that depend on seed and epoch alone."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Inputs, Tensor]]:
        """Normalized inputs and targets (class numbers, probabilities or numbers) from a step on."""

    def ids(self, epoch: int, step: int) -> Sequence[str]:
        """The items of one batch, for messages."""


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """A row of the history.

    Attributes:
        epoch: from 1.
        train_loss: mean over the epoch's steps.
        metrics: of validation.
        learning_rate: of the epoch's last step, before the groups' factors.
        seconds: of training, without validation.
        samples_per_second: of training.
    """

    epoch: int
    train_loss: float
    metrics: Mapping[str, float]
    learning_rate: float
    seconds: float
    samples_per_second: float


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run of the loop gave; the network then holds the best epoch's weights.

    Attributes:
        history: a row an epoch, those before a resume included.
        best_epoch: from 1, by validation; 0 where no epoch was finished.
        best_value: its metric; NaN where no epoch was finished.
        steps: done in all.
        rollbacks: times that training went back.
        stopped: why before the plan's end; None at its end. After "signal" the network holds its
            present weights, as the run is to be resumed.
    """

    history: tuple[EpochRow, ...]
    best_epoch: int
    best_value: float
    steps: int
    rollbacks: int
    stopped: Literal["signal", "deadline"] | None


def train(
    network: nn.Module,
    batches: Batches,
    validate: Callable[[nn.Module], Mapping[str, float]],
    plan: TrainPlan,
    groups: Sequence[ParameterGroup] | None = None,
    checkpoints: CheckpointStore | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    stop: Callable[[], bool] | None = None,
    *,
    deadline: Deadline | None = None,
    class_counts: Int64[Tensor, " classes"] | None = None,
) -> TrainResult:
    """Train a network in place, going on from the last checkpoint where there is one.

    A resumed run equals an uninterrupted one bit for bit, on the same build, device and threads.

    Args:
        network: on the device to train on.
        batches: of training items.
        validate: metrics of a network in evaluation mode, on items that are not trained on.
        plan: what to do; a checkpoint of another plan is refused.
        groups: the trainable parameters; by default all, at one rate.
        checkpoints: where state is kept; without it a kill loses the run.
        progress: told how far it is.
        on_epoch: given each row of the history as it is made.
        stop: asked after each step whether to save and stop.
        deadline: after which no further step begins.
        class_counts: training items of each class, for `class_weights="balanced"`.

    Raises:
        DivergedError: the loss was not finite, or exploded, and going back did not help.
        RunError: the checkpoint is of another plan or network, or none is whole.
        StorageError: a checkpoint could not be written; earlier ones are intact.
        DeviceError: a single item does not fit into memory.
        UnknownNameError: validation gives no metric of the plan's name.
        ArgumentError: the plan balances classes and there are no counts.
    """
    groups = plain_groups(network, plan.weight_decay) if groups is None else groups
    session = Session(
        network, plan, groups, steps_per_epoch=batches.steps_per_epoch, class_counts=class_counts
    )
    loop = _Loop(session, batches, validate, checkpoints, progress or Progress(quiet=True))
    loop.on_epoch, loop.stop, loop.deadline = on_epoch, stop, deadline
    with _own_random_numbers(session.device):
        return loop.run()


def measure_rate(
    network: nn.Module,
    batches: Batches,
    plan: TrainPlan,
    groups: Sequence[ParameterGroup] | None = None,
    *,
    steps: int = 8,
    class_counts: Int64[Tensor, " classes"] | None = None,
) -> float:
    """Training items a second, the median of some steps that leave no trace.

    The first step, which allocates and compiles, does not count where there are others.
    """
    groups = plain_groups(network, plan.weight_decay) if groups is None else groups
    session = Session(
        network, plan, groups, steps_per_epoch=batches.steps_per_epoch, class_counts=class_counts
    )
    before = session.capture({})
    rates = []
    with _own_random_numbers(session.device):
        session.training_mode()
        start = perf_counter()
        for number, (inputs, targets) in zip(range(steps + 1), batches.epoch(0), strict=False):
            try:
                session.step(inputs, targets)
                session.check()  # waits for the device
            except Trouble as trouble:
                raise _diverged(trouble, batches) from None
            now = perf_counter()
            if number > 0 or batches.steps_per_epoch == 1:
                rates.append(len(inputs) / max(now - start, 1e-9))
            start = now
    session.restore(before)
    return median(rates)


class _Loop:
    on_epoch: Callable[[EpochRow], None] | None
    stop: Callable[[], bool] | None
    deadline: Deadline | None

    def __init__(
        self,
        session: Session,
        batches: Batches,
        validate: Callable[[nn.Module], Mapping[str, float]],
        checkpoints: CheckpointStore | None,
        progress: Progress,
    ) -> None:
        self.session = session
        self.batches = batches
        self.validate = validate
        self.checkpoints = checkpoints
        self.progress = progress
        self.history: list[EpochRow] = []

    def run(self) -> TrainResult:
        """Train to the end of the plan, or until stopped."""
        session = self.session
        self._resume()
        self.good = self._capture()
        total = session.position.total_steps - session.steps_done
        stopped: Literal["signal", "deadline"] | None = None
        with self.progress.track("training", total, "steps") as tracker:
            while stopped is None and session.steps_done < session.position.total_steps:
                try:
                    stopped = self._epoch(tracker)
                except Trouble as trouble:
                    self._go_back(trouble)
        if stopped == "deadline" and not session.best:
            self._judge(self._validate())
        if stopped != "signal":
            session.take_best()
        session.network.eval()
        position = session.position
        return TrainResult(
            history=tuple(self.history),
            best_epoch=position.best_epoch or 0,
            best_value=math.nan if position.best_value is None else position.best_value,
            steps=session.steps_done,
            rollbacks=position.rollbacks,
            stopped=stopped,
        )

    def _epoch(self, tracker: Tracker) -> Literal["signal", "deadline"] | None:
        """Train on the rest of an epoch and validate, unless stopped on the way."""
        session = self.session
        position = session.position
        session.training_mode()
        before = perf_counter()
        for inputs, targets in self.batches.epoch(position.epoch, start_step=position.step):
            session.step(inputs, targets)
            now = perf_counter()
            position.seconds, before = position.seconds + now - before, now
            tracker.advance(1, note=f"loss {position.running_loss:.3f}")
            if reason := self._stop_reason():
                self._save()
                return reason
            if self.checkpoints is not None and self.checkpoints.due():
                self._save()
        self._finish_epoch()
        return None

    def _stop_reason(self) -> Literal["signal", "deadline"] | None:
        at = f"after step {self.session.steps_done}"
        if self.stop is not None and self.stop():
            self.progress.say(f"stopped {at}; go on with --resume")
            return "signal"
        if self.deadline is not None and self.deadline.passed():
            total = self.session.position.total_steps
            self.progress.say(f"time is up {at} of {total}; the best epoch so far is kept")
            return "deadline"
        return None

    def _finish_epoch(self) -> None:
        """Validate, add a row to the history, and save."""
        session, position = self.session, self.session.position
        session.check()
        began = perf_counter()
        metrics = self._validate()
        self._judge(metrics)
        cost = position.seconds + perf_counter() - began
        row = EpochRow(
            epoch=position.epoch + 1,
            train_loss=position.loss_sum / session.steps_per_epoch,
            metrics=metrics,
            learning_rate=session.rate_at(session.steps_done - 1),
            seconds=position.seconds,
            samples_per_second=position.samples / max(position.seconds, 1e-9),
        )
        self.history.append(row)
        position.epoch, position.step = position.epoch + 1, 0
        position.loss_sum, position.samples, position.seconds = 0.0, 0, 0.0
        self._keep_to_time(cost)
        self._save()
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _keep_to_time(self, seconds_per_epoch: float) -> None:
        """Plan fewer epochs where the machine turns out slower, so that the rate still reaches zero.

        A run that is merely cut off keeps weights that were still moving fast.
        """
        session = self.session
        left = (session.position.total_steps - session.steps_done) // session.steps_per_epoch
        if self.deadline is None or left * seconds_per_epoch <= self.deadline.seconds_left():
            return
        affordable = max(0, int(self.deadline.seconds_left() / seconds_per_epoch))
        session.shorten(affordable)
        self.progress.say(f"the time allows {affordable} more epochs, not {left}")

    def _validate(self) -> dict[str, float]:
        session = self.session
        metrics = dict(self.validate(session.validated.eval()))
        if session.plan.metric not in metrics:
            raise UnknownNameError("metric", session.plan.metric, metrics)
        return metrics

    def _judge(self, metrics: Mapping[str, float]) -> None:
        """Keep the weights where they are the best so far."""
        session, position = self.session, self.session.position
        value, best = metrics[session.plan.metric], position.best_value
        sign = 1 if session.plan.maximize else -1
        if not session.best or (
            not math.isnan(value) and (best is None or sign * value > sign * best)
        ):
            position.best_value = None if math.isnan(value) else value
            position.best_epoch = position.epoch + 1
            session.keep_best()

    def _capture(self) -> State:
        return self.session.capture(
            {
                "plan": self.session.plan.to_json(),
                "history": [_row_to_json(row) for row in self.history],
                "threads": torch.get_num_threads(),
            }
        )

    def _save(self) -> None:
        """Take the state, which training goes back to, and write it where there is a store."""
        self.good = self._capture()
        if self.checkpoints is not None:
            self.checkpoints.save(self.good)

    def _resume(self) -> None:
        """Go on from the last checkpoint, if any."""
        state = None if self.checkpoints is None else self.checkpoints.load_latest()
        if state is None:
            return
        plan, stored = self.session.plan.to_json(), state.values["plan"]
        if differing := [name for name in plan if plan[name] != stored.get(name)]:
            name = differing[0]
            raise RunError(
                f"the checkpoint was made with {name}={stored.get(name)!r}, not {plan[name]!r}",
                fix="resume with the same options, or start a new run",
            )
        if (threads := state.values["threads"]) != torch.get_num_threads():
            self.progress.say(
                f"the checkpoint was made with {threads} threads, now there are "
                f"{torch.get_num_threads()}: the weights will differ in the last bits"
            )
        self._restore(state)

    def _restore(self, state: State) -> None:
        self.session.restore(state)
        self.history = [_row_from_json(row) for row in state.values["history"]]

    def _go_back(self, trouble: Trouble) -> None:
        """Go on from the last good state at half the rate.

        Raises:
            DivergedError: that was done too often.
        """
        rollbacks = self.session.position.rollbacks + 1
        if rollbacks > ROLLBACKS:
            raise _diverged(trouble, self.batches) from None
        self._restore(self.good)
        self.session.position.rollbacks = rollbacks
        self.progress.say(
            f"{trouble.reason} at step {trouble.step + 1} of epoch {trouble.epoch + 1}: back to "
            f"step {self.session.steps_done} of the run, at half the learning rate"
        )


def _diverged(trouble: Trouble, batches: Batches) -> DivergedError:
    ids = list(batches.ids(trouble.epoch, trouble.step))
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return DivergedError(
        f"training diverged at step {trouble.step + 1} of epoch {trouble.epoch + 1} "
        f"(learning rate {trouble.rate:.3g})",
        why=trouble.reason,
        fix=f"lower the learning rate, or look at {', '.join(ids[:_NAMED])}{more}",
    )


def _own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Leave the caller's random numbers as they were."""
    devices = [device] if device.type == "cuda" else []
    return torch.random.fork_rng(devices=devices)


def _row_to_json(row: EpochRow) -> dict[str, Any]:
    """JSON has no NaN: such a metric is None."""
    metrics = {name: value if math.isfinite(value) else None for name, value in row.metrics.items()}
    return {**asdict(row), "metrics": metrics}


def _row_from_json(values: Mapping[str, Any]) -> EpochRow:
    metrics = {n: math.nan if v is None else v for n, v in values["metrics"].items()}
    return EpochRow(**{**values, "metrics": metrics})
