"""A training as a fit runs it: planned for the time there is, validated by its task's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import StoppedError
from striate.nn.layout import placed
from striate.nn.parameters import ParameterGroup
from striate.ops.inputs import Inputs
from striate.progress import Progress
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.tasks import Task
from striate.train.checkpoint import CheckpointStore
from striate.train.loop import Batches, EpochRow, TrainResult, measure_rate, train
from striate.train.plan import Deadline, TrainPlan, affordable_epochs

BALANCE_FROM: Final = 3.0
"""Ratio of the largest to the smallest class from which the loss weighs classes alike."""

VALIDATION_SPEED_UP: Final = 2.5
"""How much faster an item is validated than trained on: no gradients."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything a training needs, made before its first step.

    Attributes:
        trainee: what the loop calls: the network, or its tail behind the frozen blocks.
        task: what it learns.
        learning_rate: at the peak of the schedule.
        batches: for the trainee.
        validation: inputs for the trainee, in order, in batches to be computed at once.
        validated: positions in the data set of the items that `validation` gives.
        groups: of the trained parameters.
        batch_size: items in an update.
        max_epochs: however much time there is.
        label_smoothing: of classes.
        clip_norm: greatest norm of a gradient; None for no limit.
        finish: puts what was learnt into the network.
    """

    trainee: nn.Module
    task: Task
    learning_rate: float
    batches: Batches
    validation: Callable[[], Iterator[Inputs]]
    validated: NDArray[np.int64]
    groups: Sequence[ParameterGroup]
    batch_size: int
    max_epochs: int
    label_smoothing: float = 0.05
    clip_norm: float | None = None
    finish: Callable[[], None] = lambda: None


def plan_training(
    training: Training, *, epochs: int | None, seconds: float, seed: int
) -> TrainPlan:
    """The plan for the time there is; its epochs follow from a measured rate.

    Args:
        training: what is to be trained.
        epochs: asked for; None plans them.
        seconds: for training and its validations.
        seed: of the steps.
    """
    counts = training.task.class_counts()
    balanced = counts is not None and _imbalance(counts) > BALANCE_FROM
    plan = TrainPlan(
        epochs=epochs or 1,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        loss=training.task.loss,
        label_smoothing=training.label_smoothing,
        ema_decay=0.99,
        warmup_epochs=1.0,
        clip_norm=training.clip_norm,
        class_weights="balanced" if balanced else None,
        metric=training.task.metrics[0],
        seed=seed,
    )
    if epochs is not None:
        return plan
    rate = measure_rate(
        training.trainee, training.batches, plan, training.groups, class_counts=counts
    )
    # Of an epoch as the batches have it: it may go through small data several times.
    samples = training.batches.steps_per_epoch * training.batch_size
    validation = len(training.validated) / (VALIDATION_SPEED_UP * rate)
    planned = affordable_epochs(seconds, rate, samples, seconds_per_validation=validation)
    return replace(plan, epochs=min(planned, training.max_epochs))


def run_training(
    training: Training,
    plan: TrainPlan,
    *,
    folder: RunFolder,
    deadline: Deadline | None,
    progress: Progress,
    stop: Callable[[], bool],
) -> TrainResult:
    """Train, going on from the last checkpoint of the run folder.

    Raises:
        StoppedError: `stop` said so; a checkpoint is written.
        DivergedError: see `striate.train.loop.train`.
        StorageError: likewise.
    """

    def validate(network: nn.Module) -> Mapping[str, float]:
        return validation_metrics(network, training, plan)

    def tell(row: EpochRow) -> None:
        figures = ", ".join(f"{name} {row.metrics[name]:.4f}" for name in training.task.metrics)
        progress.say(
            f"epoch {row.epoch}/{plan.epochs}: loss {row.train_loss:.4f}, validation {figures}, "
            f"{row.samples_per_second:.0f} items/s"
        )

    result = train(
        training.trainee,
        training.batches,
        validate,
        plan,
        training.groups,
        CheckpointStore(folder.path / CHECKPOINTS, say=progress.say),
        progress,
        on_epoch=tell,
        stop=stop,
        deadline=deadline,
        class_counts=training.task.class_counts(),
    )
    if result.stopped == "signal":
        raise StoppedError
    training.finish()
    return result


def validation_metrics(
    network: nn.Module, training: Training, plan: TrainPlan
) -> Mapping[str, float]:
    """The task's figures on the validation items, in the training's precision."""
    device = next(network.parameters()).device
    dtype = plan.dtype(device)
    outputs: list[Tensor] = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch in training.validation():
            outputs.append(network(placed(batch, device)).float().cpu())
    return training.task.epoch_metrics(torch.cat(outputs), training.validated)


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


def _imbalance(counts: Tensor) -> float:
    """Items of the largest class over those of the smallest."""
    return float(counts.max() / counts.min().clamp(min=1))
