"""The training loop: steps, validation, checkpoints, stopping, and going back where it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Final

import torch
from torch import Tensor, nn

from striate.data.batches import Batches
from striate.device import fast_dtype, keep_threads, use_free_cores
from striate.errors import DivergedError, UnknownNameError
from striate.nn.layout import channels_last_module, contiguous_module, placed
from striate.nn.parameters import ParameterGroup, groups_of_copy
from striate.nn.wrong_gradients import trains_channels_last, trains_in
from striate.ops.inputs import Inputs
from striate.progress import Progress, Tracker
from striate.train.checkpoint import CheckpointStore, State, named
from striate.train.ema import weight_average
from striate.train.history import EpochRow, Position, StopReason, StopWish, TrainResult
from striate.train.losses import Loss
from striate.train.pace import Pace
from striate.train.plan import MAX_WARMUP, Schedule, TrainPlan
from striate.train.step import gradient_within_memory, step_seed
from striate.train.strategy import Strategy

MAX_ROLLBACKS: Final = 3
"""Number of times that a diverging run goes back to its last good state."""

_MAX_IDS_NAMED: Final = 8
"""Largest number of a batch's items that a message names."""


@dataclass(kw_only=True, eq=False)
class _Divergence(Exception):  # noqa: N818 - answered by going back, not shown to anybody
    """A step, by its number in the run, whose loss or state is of no use."""

    step: int
    reason: str


class Trainer:
    """Trains a network in place, going on from the last checkpoint where there is one.

    A resumed run equals an uninterrupted one bit for bit, on the same build, device and threads.

    Args:
        network: The network, on the device to train on; its weights are laid out channels last.
        plan: The settings of the run; a checkpoint of another plan is refused.
        groups: The trainable parameters, with their learning rates and weight decays.
        batches: Batches of training items.
        validate: Computes metrics of a network in evaluation mode on items that are not trained
            on.
        loss: The loss to minimize.
        strategy: How the training is spread over processes; this process alone by default.
        checkpoints: Where the state is kept; without it, a kill loses the run.
        progress: Told how far the training is.
        on_epoch: Called with each row of the history as it is made.
        stop: Asked after each step whether to save and stop, or to "finish" with what there is.
        pace: The time that there is and what the training must reach; without it, it has the
            epochs of its plan.
        keep_start: Whether the weights that it begins with are validated too, and kept where no
            epoch is better.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: TrainPlan,
        groups: Sequence[ParameterGroup],
        batches: Batches,
        validate: Callable[[nn.Module], Mapping[str, float]],
        loss: Loss,
        *,
        strategy: Strategy | None = None,
        checkpoints: CheckpointStore | None = None,
        progress: Progress | None = None,
        on_epoch: Callable[[EpochRow], None] | None = None,
        stop: Callable[[], StopWish] | None = None,
        pace: Pace | None = None,
        keep_start: bool = False,
    ) -> None:
        self._strategy = strategy = strategy or Strategy()
        self._device = groups[0].parameters[0].device
        self._last = trains_channels_last(network, self._device, fast_dtype(self._device.type))
        self._dtypes: dict[torch.Size, torch.dtype] = {}
        self._given = (channels_last_module if self._last else contiguous_module)(network)
        self._network = strategy.sharded(network)
        self._wrapped = strategy.wrap(self._network)
        self._modules: dict[str, nn.Module] = {"network": self._network}
        self._average = None
        self._validated = self._network  # the average where there is one
        if plan.ema_decay:
            self._average = weight_average(network, plan.ema_decay)
            self._average.module = strategy.sharded(self._average.module)
            self._modules["average"], self._validated = self._average, self._average.module
        groups = groups_of_copy(groups, network, self._network)
        self._plan, self._groups, self._batches = plan, groups, batches
        self._validate, self._loss = validate, loss.to(self._device)
        self._checkpoints, self._on_epoch, self._stop = checkpoints, on_epoch, stop
        self._progress = progress if progress and strategy.is_writer else Progress(quiet=True)
        self._pace, self._keep_start = pace, keep_start
        self._parameters = [p for group in groups for p in group.parameters]
        self._optimizer = torch.optim.AdamW(
            [{"params": g.parameters, "weight_decay": g.weight_decay} for g in groups],
            lr=plan.learning_rate,
            betas=(0.9, 0.99),  # a run has hundreds of steps: 0.999 would remember all of them
            # One pass over the numbers of each parameter. On processors torch takes for granted that
            # a gradient has its parameter's layout, which autograd sees to.
            fused=self._device.type in ("cuda", "cpu"),
        )
        steps = plan.epochs * batches.steps_per_epoch
        warmup_steps = round(plan.warmup_epochs * batches.steps_per_epoch)
        warmup_steps = min(warmup_steps, round(MAX_WARMUP * steps))
        self._position = Position(
            schedule=Schedule(planned_steps=steps, warmup_steps=warmup_steps, total_steps=steps),
            micro_batch=plan.batch_size,
        )
        self._history: list[EpochRow] = []
        self._best: dict[str, Tensor] = {}
        self._unchecked: tuple[int, Tensor] | None = None

    def fit(self) -> TrainResult:
        """Train to the end of the plan, or until stopped.

        Raises:
            DivergedError: The loss was not finite, or exploded, and going back did not help.
            RunError: The checkpoint is of another plan or network, or none is whole.
            StorageError: A checkpoint could not be written; earlier ones are intact.
            DeviceError: A single item does not fit into memory.
            UnknownNameError: Validation gives no metric of the plan's name.
        """
        written = self._checkpoints.awaited() if self._checkpoints else nullcontext()
        with self._own_random_numbers(), written:
            self._resume()
            if self._keep_start and self._position.best_epoch is None:
                self._keep_if_best(self._validation_metrics(), epoch=0)
            self._good = self._capture()
            stopped: StopReason | None = None
            num_steps = self._position.schedule.total_steps - self._steps_done
            with self._progress.track("training", num_steps, "steps") as tracker:
                while stopped is None and not self._done:
                    try:
                        stopped = self._train_epoch(tracker)
                    except _Divergence as divergence:
                        self._go_back(divergence)
            if stopped in ("deadline", "finish") and self._position.best_epoch is None:
                self._keep_if_best(self._validation_metrics(), epoch=self._position.epoch + 1)
            if stopped != "signal":
                self._strategy.restore(self._given, self._best)
            elif self._network is not self._given:
                self._strategy.restore(self._given, self._good.part("network"))
        self._strategy.barrier()  # what the writer has saved is there
        self._given.eval()
        position = self._position
        return TrainResult(
            history=tuple(self._history),
            best_epoch=position.best_epoch or 0,
            best_value=math.nan if position.best_value is None else position.best_value,
            steps=self._steps_done,
            rollbacks=position.rollbacks,
            stopped=stopped,
        )

    def measure_rate(self, steps: int = 8) -> float:
        """Training items per second, the median of some steps that leave no trace.

        The first step, which allocates and compiles, does not count where there are others.

        Raises:
            DivergedError: The loss was not finite, or exploded.
            DeviceError: A single item does not fit into memory.
        """
        before = self._capture()
        rates = []
        with self._own_random_numbers():
            self._network.train()
            start = perf_counter()
            numbered = zip(range(steps + 1), self._batches.epoch(0), strict=False)
            for number, (inputs, targets) in numbered:
                try:
                    self._use_free_cores()
                    self._step(inputs, targets)
                    self._check_loss()  # waits for the device
                except _Divergence as divergence:
                    raise self._diverged(divergence) from None
                now = perf_counter()
                if number > 0 or self._batches.steps_per_epoch == 1:
                    rates.append(len(inputs) / max(now - start, 1e-9))
                start = now
        self._restore(before)
        return self._strategy.reduce(median(rates))

    def _train_epoch(self, tracker: Tracker) -> StopReason | None:
        """Train on the rest of an epoch and validate, unless stopped on the way."""
        position = self._position
        self._network.train()
        before = perf_counter()
        for inputs, targets in self._batches.epoch(position.epoch, start_step=position.step):
            self._step(inputs, targets)
            self._use_free_cores()
            now = perf_counter()
            position.seconds, before = position.seconds + now - before, now
            tracker.advance(1, note=f"loss {position.running_loss:.3f}")
            reason, due = self._looked_up()
            if reason or due:
                self._save()
            if reason:
                return reason
        self._finish_epoch()
        return None

    def _use_free_cores(self) -> None:
        """Let as many threads compute as pay; of several processes each keeps its number."""
        if self._device.type == "cpu" and self._strategy.num_processes == 1:
            use_free_cores()

    def _step(self, inputs: Inputs, targets: Tensor) -> None:
        """Train on one batch.

        The loss is checked one step later, so that a GPU need not wait for the processor.

        Raises:
            _Divergence: The loss of the step before is not finite, or has exploded.
            DeviceError: A single item does not fit into memory.
        """
        position, plan = self._position, self._plan
        rate = self._learning_rate(self._steps_done)
        for settings, group in zip(self._optimizer.param_groups, self._groups, strict=True):
            settings["lr"] = rate * group.rate_scale
        inputs = placed(inputs, self._device, last=self._last)
        mean, position.micro_batch = gradient_within_memory(
            self._wrapped,
            inputs,
            targets.to(self._device, non_blocking=True),
            self._loss,
            self._strategy,
            dtype=self._dtype_for(inputs),
            micro_batch=position.micro_batch,
            seed=step_seed(plan.seed, self._steps_done),
        )
        self._strategy.reduce_gradients(self._parameters)
        norm = nn.utils.clip_grad_norm_(self._parameters, plan.clip_norm or math.inf)
        norm = self._strategy.norm(norm)
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._network)
        self._check_loss()
        self._unchecked = self._steps_done, torch.stack([mean, norm])
        position.step += 1
        position.samples += len(inputs)

    def _dtype_for(self, inputs: Inputs) -> torch.dtype:
        """The fastest precision whose gradients are right; it depends on the size of the maps."""
        fast = fast_dtype(self._device.type)
        if not isinstance(inputs, Tensor):
            return fast
        size = inputs.shape[1:]
        if size not in self._dtypes:
            right = trains_in(self._network, inputs, fast)
            self._dtypes[size] = fast if right else torch.float32
        return self._dtypes[size]

    def _check_loss(self) -> None:
        """Look at the loss of the last step, which raises where it is a divergence."""
        if self._unchecked is None:
            return
        (step, figures), self._unchecked = self._unchecked, None
        if reason := self._position.count_loss(*figures.tolist()):
            raise _Divergence(step=step, reason=reason)

    def _looked_up(self) -> tuple[StopReason | None, bool]:
        """Why the training stops after a step, if it does, and whether a checkpoint is due."""
        asked = self._stop() if self._stop is not None else False
        stops, finishes, late, due = self._strategy.agree_each(
            bool(asked) and asked != "finish",
            asked == "finish",
            self._pace is not None and self._pace.seconds_left() <= 0,
            self._checkpoints is not None and self._checkpoints.due(),
        )
        at = f"after step {self._steps_done}"
        if stops:
            self._progress.say(f"stopped {at}")
            return "signal", due
        if finishes:
            self._progress.say(f"ended {at}; the best epoch so far is kept")
            return "finish", due
        if late:
            total = self._position.schedule.total_steps
            self._progress.say(f"time is up {at} of {total}; the best epoch so far is kept")
            return "deadline", due
        return None, due

    def _finish_epoch(self) -> None:
        """Validate, add a row to the history, and save."""
        position = self._position
        self._check_loss()
        began = perf_counter()
        metrics = self._validation_metrics()
        self._keep_if_best(metrics, epoch=position.epoch + 1)
        seconds_per_epoch = position.seconds + perf_counter() - began
        samples = self._strategy.reduce(position.samples)
        row = EpochRow(
            epoch=position.epoch + 1,
            train_loss=position.loss_sum / self._batches.steps_per_epoch,
            metrics=metrics,
            learning_rate=self._learning_rate(self._steps_done - 1),
            seconds=position.seconds,
            samples_per_second=samples / max(position.seconds, 1e-9),
        )
        self._history.append(row)
        position.next_epoch()
        self._follow_pace(seconds_per_epoch)
        self._save()
        if self._on_epoch is not None:
            self._on_epoch(row)

    def _follow_pace(self, seconds_per_epoch: float) -> None:
        """Plan fewer or more epochs than before, so that the rate still reaches zero at the end.

        A run that is merely cut off keeps weights that were still moving fast.
        """
        if self._pace is None:
            return
        position, steps_per_epoch = self._position, self._batches.steps_per_epoch
        planned = position.schedule.total_steps // steps_per_epoch
        values = [row.metrics[self._plan.metric] for row in self._history]
        course = self._pace.course(values, planned, seconds_per_epoch, ending=position.ending)
        # The writer decides for all processes.
        is_writer = self._strategy.is_writer
        epochs = round(self._strategy.reduce(course.epochs if is_writer else 0))
        position.ending = self._strategy.agree(course.ending and is_writer)
        if epochs == planned:
            return
        schedule = position.schedule
        change = schedule.shortened if epochs < planned else schedule.lengthened
        position.schedule = change(self._steps_done, total_steps=epochs * steps_per_epoch)
        self._progress.say(course.why)

    @property
    def _done(self) -> bool:
        """Whether the last epoch is finished: its steps are done, and it was validated."""
        finished = self._position.epoch * self._batches.steps_per_epoch
        return finished >= self._position.schedule.total_steps

    @property
    def _steps_done(self) -> int:
        """Steps since the beginning of the run."""
        return self._position.epoch * self._batches.steps_per_epoch + self._position.step

    def _learning_rate(self, step: int) -> float:
        """The learning rate of a step of the run, before the groups' factors."""
        share = self._position.schedule.share(step)
        return self._plan.learning_rate * share * 0.5**self._position.rollbacks

    def _validation_metrics(self) -> dict[str, float]:
        metrics = self._strategy.share(dict(self._validate(self._validated.eval())))
        if self._plan.metric not in metrics:
            raise UnknownNameError("metric", self._plan.metric, metrics)
        return metrics

    def _keep_if_best(self, metrics: Mapping[str, float], *, epoch: int) -> None:
        """Keep the validated weights where they are the best so far."""
        position = self._position
        value, best = metrics[self._plan.metric], position.best_value
        is_first = position.best_epoch is None
        if is_first or (not math.isnan(value) and (best is None or value < best)):
            position.best_value = None if math.isnan(value) else value
            position.best_epoch = epoch
            self._best = self._strategy.whole_state(self._validated)

    def _capture(self) -> State:
        """Everything that training goes on from.

        Raises:
            _Divergence: The last loss, or a number in the state, is not finite.
        """
        self._check_loss()
        strategy = self._strategy
        parts = {"optimizer": strategy.whole_optimizer(self._network, self._optimizer)}
        parts |= {name: strategy.whole_state(module) for name, module in self._modules.items()}
        state = State(
            tensors=named(parts | {"best": self._best}),
            values={
                "plan": asdict(self._plan),
                "history": [row.to_json() for row in self._history],
                "threads": torch.get_num_threads(),
                "position": asdict(self._position),
            },
        )
        bad = state.first_not_finite()
        if self._strategy.agree(bad is not None):
            raise _Divergence(step=max(0, self._steps_done - 1), reason=f"{bad} is not finite")
        return state

    def _restore(self, state: State) -> None:
        """Go on from a captured state."""
        strategy = self._strategy
        for name, module in self._modules.items():
            strategy.restore(module, state.part(name))
        strategy.restore_optimizer(self._network, self._optimizer, state.part("optimizer"))
        self._best = state.part("best")
        self._history = [EpochRow.from_json(row) for row in state.values["history"]]
        self._position = Position.from_json(state.values["position"])
        self._unchecked = None

    def _save(self) -> None:
        """Take the state, which training goes back to; where there is a store it is written there."""
        self._good = self._capture()
        if self._checkpoints is not None and self._strategy.is_writer:
            self._checkpoints.save_behind(self._good)
        self._strategy.barrier()

    def _resume(self) -> None:
        """Go on from the last checkpoint, if any."""
        state = None if self._checkpoints is None else self._checkpoints.load_latest()
        if state is None:
            return
        self._plan.check_stored(state.values["plan"])
        keep_threads(threads := state.values["threads"])
        if threads != torch.get_num_threads():
            self._progress.say(
                f"the checkpoint was made with {threads} threads, now there are "
                f"{torch.get_num_threads()}: the weights will differ in the last bits"
            )
        self._restore(state)

    def _go_back(self, divergence: _Divergence) -> None:
        """Go on from the last good state at half the rate.

        Raises:
            DivergedError: That was done too often.
        """
        rollbacks = self._position.rollbacks + 1
        if rollbacks > MAX_ROLLBACKS:
            raise self._diverged(divergence) from None
        self._restore(self._good)
        self._position.rollbacks = rollbacks
        epoch, step = divmod(divergence.step, self._batches.steps_per_epoch)
        self._progress.say(
            f"{divergence.reason} at step {step + 1} of epoch {epoch + 1}: back to "
            f"step {self._steps_done} of the run, at half the learning rate"
        )

    def _diverged(self, divergence: _Divergence) -> DivergedError:
        epoch, step = divmod(divergence.step, self._batches.steps_per_epoch)
        ids = self._batches.ids(epoch, step)
        more = f" and {len(ids) - _MAX_IDS_NAMED} more" if len(ids) > _MAX_IDS_NAMED else ""
        return DivergedError(
            f"training diverged at step {step + 1} of epoch {epoch + 1} "
            f"(learning rate {self._learning_rate(divergence.step):.3g})",
            why=divergence.reason,
            fix=f"lower the learning rate, or look at {', '.join(ids[:_MAX_IDS_NAMED])}{more}",
        )

    def _own_random_numbers(self) -> AbstractContextManager[None]:
        """Leave the caller's random numbers as they were."""
        return torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else [])
