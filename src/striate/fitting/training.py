"""A training as a fit runs it: planned for the time there is, validated by the task's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.batches import Batches
from striate.data.randomness import Draws, item_keys
from striate.device import fast_dtype
from striate.errors import StoppedError
from striate.fitting.context import FitContext
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.nn.layout import placed
from striate.nn.parameters import ParameterGroup, plain_groups
from striate.ops.inputs import Inputs as NetworkInputs
from striate.progress import counted
from striate.report.schema import Choice
from striate.run.folder import CHECKPOINTS
from striate.train.checkpoint import CheckpointStore
from striate.train.history import EpochRow, TrainResult
from striate.train.pace import Pace
from striate.train.plan import TrainPlan, affordable_epochs
from striate.train.trainer import Trainer

MIN_SECONDS: Final = 20.0
"""Seconds below which training by steps is not begun."""

ITEMS_PER_JUDGE: Final = 2
"""Training items in an epoch for each validation item, at least, where the data have so many."""

VALIDATION_SPEED_UP: Final = 2.5
"""How much faster an item is validated than trained on: no gradients."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that a training needs, made before its first step.

    Attributes:
        trainee: What is called: the network, or its tail behind the frozen blocks.
        batches: Training batches for the trainee.
        validation: Gives the inputs of the validation items in order, in batches that are
            computed at once.
        groups: The trained parameters.
        learning_rate: Learning rate at the peak of the schedule.
        max_epochs: Largest number of epochs, however much time there is.
        clip_norm: Largest norm of a gradient; None for no limit.
        keep_start: Whether the weights that it begins with are a result too, where no epoch is
            better on the validation items.
        finish: Puts what was learnt into the network.
    """

    trainee: nn.Module
    batches: Batches
    validation: Callable[[], Iterator[NetworkInputs]]
    groups: Sequence[ParameterGroup]
    learning_rate: float
    max_epochs: int
    clip_norm: float | None = None
    keep_start: bool = False
    finish: Callable[[], None] = lambda: None


def whole_network(
    context: FitContext,
    network: Network,
    inputs: Inputs[Any],
    learning_rate: float,
    *,
    keep_start: bool = False,
) -> Training:
    """Training of all layers from augmented items.

    Args:
        context: The fit.
        network: On the fit's device.
        inputs: How items become its inputs.
        learning_rate: Learning rate at the peak of the schedule.
        keep_start: Whether the weights that it begins with are a result too.
    """
    defaults, dataset, objective = context.defaults, context.dataset, context.objective
    train, val = dataset.indices("train"), dataset.indices("val")
    ids = dataset.ids(train)
    keys = item_keys(ids)
    batch_size = inputs.training_batch(defaults.batch_size, len(train))
    # Validation is not to take longer than training.
    max_steps = max(defaults.max_steps, ITEMS_PER_JUDGE * len(val) // batch_size)

    def make(positions: NDArray[np.int64], number: int) -> tuple[NetworkInputs, Tensor]:
        draws = Draws(keys[positions], seed=context.options.seed, epoch=number)
        indices = train[positions]
        varied = inputs.augmented(dataset.store.take(indices), draws)
        return inputs.normalized(varied), objective.training_targets(indices)

    batches = Batches(
        ids,
        make,
        batch_size=batch_size,
        min_steps=defaults.min_steps,
        max_steps=max_steps if context.options.epochs is None else None,
        seed=context.options.seed,
        workers=context.options.workers,
    )
    return Training(
        trainee=network,
        batches=batches,
        validation=lambda: (inputs.normalized(x) for x in context.batches(val, inputs)),
        groups=plain_groups(network, defaults.weight_decay),
        learning_rate=learning_rate,
        max_epochs=defaults.max_epochs,
        clip_norm=defaults.clip_norm,
        keep_start=keep_start,
    )


def run_training(context: FitContext, training: Training, end: float) -> None:
    """Train until the moment `end`, or for the epochs that the user chose.

    The training may end earlier, where the validation items show that more would bring nothing.

    Args:
        context: The fit; training goes on from the last checkpoint in its folder.
        training: What is to be trained.
        end: Moment (`time.monotonic`) at which the training must be over.

    Raises:
        StoppedError: The user asked to stop; a checkpoint is written.
        DivergedError: The loss was not finite or exploded, and going back did not help.
        StorageError: A checkpoint could not be written.
    """
    objective, dataset = context.objective, context.dataset
    val = dataset.indices("val")
    strategy = context.strategy
    batches = training.batches.of_process(strategy.rank, strategy.num_processes)
    asked = context.options.epochs
    plan = _plan_of(context, training, asked or 1)

    def validate(network: nn.Module) -> Mapping[str, float]:
        outputs = validation_outputs(network, training.validation())
        return objective.epoch_metrics(outputs, val)

    def tell(row: EpochRow) -> None:
        figures = ", ".join(f"{name} {row.metrics[name]:.4f}" for name in objective.metrics)
        context.progress.say(
            f"epoch {row.epoch}/{plan.epochs}: loss {row.train_loss:.4f}, validation {figures}, "
            f"{row.samples_per_second:.0f} items/s"
        )
        context.log.epoch(row)

    pace = None
    if asked is None:
        pace = Pace(
            seconds_left=lambda: end - monotonic(),
            max_epochs=training.max_epochs,
            to_beat=context.to_beat,
        )

    def trainer(plan: TrainPlan) -> Trainer:
        return Trainer(
            training.trainee,
            plan,
            training.groups,
            batches,
            validate,
            objective.loss(),
            strategy=strategy,
            checkpoints=CheckpointStore(
                context.folder.path / CHECKPOINTS, say=context.progress.say
            ),
            progress=context.progress,
            on_epoch=tell,
            stop=context.stop,
            pace=pace,
            keep_start=training.keep_start,
        )

    def planned() -> int:
        if asked is not None:
            return asked
        rate = training_rate(context, training)
        # Of an epoch as the batches have it: it may go through small data several times.
        samples = training.batches.steps_per_epoch * training.batches.batch_size
        validation = len(val) / (VALIDATION_SPEED_UP * rate)
        seconds = end - monotonic()
        epochs = affordable_epochs(seconds, rate, samples, seconds_per_validation=validation)
        return min(epochs, training.max_epochs)

    plan = replace(plan, epochs=context.steps.step("epochs", planned))
    steps = training.batches.steps_per_epoch
    context.progress.say(f"training {counted(plan.epochs, 'epoch')} of {counted(steps, 'step')}")
    result = context.steps.timed("train", lambda: trainer(plan).fit())
    if result.stopped == "signal":
        raise StoppedError
    if result.stopped == "finish":
        context.end_search()
    training.finish()
    context.history = history_rows(result.history)
    _tell_best(context, result)


def training_rate(context: FitContext, training: Training) -> float:
    """Training items per second, measured on a few steps that leave no trace.

    Args:
        context: The fit.
        training: What is to be trained.
    """
    strategy = context.strategy
    return Trainer(
        training.trainee,
        _plan_of(context, training, 1),
        training.groups,
        training.batches.of_process(strategy.rank, strategy.num_processes),
        lambda network: {},
        context.objective.loss(),
        strategy=strategy,
    ).measure_rate()


def _plan_of(context: FitContext, training: Training, epochs: int) -> TrainPlan:
    return TrainPlan(
        epochs=epochs,
        batch_size=training.batches.batch_size,
        learning_rate=training.learning_rate,
        ema_decay=0.99,
        clip_norm=training.clip_norm,
        metric=context.objective.metrics[0],
        seed=context.options.seed,
    )


def _tell_best(context: FitContext, result: TrainResult) -> None:
    """Say which epoch's weights are kept, and why no others."""
    count, best = len(result.history), result.best_epoch
    figure = f"validation {context.objective.metrics[0].replace('_', ' ')} {result.best_value:.4f}"
    if not best:
        choice, why = "what it began with", f"no epoch of {count} did better than its {figure}"
    elif best > count:
        choice, why = f"an unfinished epoch {best}", f"the time was over, {figure}"
    else:
        choice, why = f"epoch {best} of {count}", f"the best {figure}"
    context.tell(Choice(topic="trained network kept", choice=choice, why=why))


def validation_outputs(network: nn.Module, batches: Iterator[NetworkInputs]) -> Tensor:
    """(items, outputs) of the validation items, in the training's precision."""
    device = next(network.parameters()).device
    dtype = fast_dtype(device.type)
    outputs: list[Tensor] = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch in batches:
            outputs.append(network(placed(batch, device)).float().cpu())
    return torch.cat(outputs)


def history_rows(history: Sequence[EpochRow]) -> list[dict[str, float]]:
    """The history as rows of numbers, for `history.csv` and the report."""
    return [
        {
            "epoch": row.epoch,
            "train_loss": row.train_loss,
            **{f"val_{name}": value for name, value in row.metrics.items()},
            "learning_rate": row.learning_rate,
            "seconds": row.seconds,
            "samples_per_second": row.samples_per_second,
        }
        for row in history
    ]
