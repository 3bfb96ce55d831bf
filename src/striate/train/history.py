"""What a training has done so far, and what it gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, TypeAlias

from striate.train.plan import Schedule

StopWish: TypeAlias = bool | Literal["finish"]
"""What a user asks of work in progress: nothing, to save and stop, or to finish with what there is."""

StopReason: TypeAlias = Literal["signal", "deadline", "finish"]

EXPLOSION: Final = 20.0
"""A running mean of the loss above this many times the first one (or 1) is a divergence."""

_LOSS_DECAY: Final = 0.9
"""Weight of the past in the running mean of the loss."""


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """A row of the history.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean training loss over the epoch's steps.
        metrics: Validation metrics by name.
        learning_rate: Learning rate of the epoch's last step, before the groups' factors.
        seconds: Seconds of training, without validation.
        samples_per_second: Training items per second.
    """

    epoch: int
    train_loss: float
    metrics: Mapping[str, float]
    learning_rate: float
    seconds: float
    samples_per_second: float

    def to_json(self) -> dict[str, Any]:
        """The fields, fit for JSON, which has no NaN: such a metric is None."""
        metrics = {n: value if math.isfinite(value) else None for n, value in self.metrics.items()}
        return {**asdict(self), "metrics": metrics}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The row that `to_json` wrote."""
        metrics = {n: math.nan if v is None else v for n, v in values["metrics"].items()}
        return cls(**{**values, "metrics": metrics})


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training gave; the network then holds the best epoch's weights.

    Attributes:
        history: A row for each epoch, those before a resume included.
        best_epoch: The best epoch by validation, from 1; 0 where the network's first weights were
            better, or no epoch was finished.
        best_value: Its metric; NaN where nothing was validated.
        steps: Steps done in all.
        rollbacks: Number of times that training went back.
        stopped: Why training ended before the plan's end, None at its end: "signal" for a wish to
            save and stop, after which the network holds its present weights, as the run is to be
            resumed; "finish" for a wish to finish with the best epoch so far; "deadline".
    """

    history: tuple[EpochRow, ...]
    best_epoch: int
    best_value: float
    steps: int
    rollbacks: int
    stopped: StopReason | None


@dataclass(kw_only=True)
class Position:
    """Where a run is; all of it is stored in checkpoints.

    Attributes:
        schedule: The learning rate's course.
        micro_batch: Number of items that fit into memory together.
        epoch: Number of the epoch in progress, from 0.
        step: Steps done in this epoch.
        rollbacks: Number of times that training went back; each halved the learning rate.
        first_loss: Loss of the run's first step.
        running_loss: Running mean of the loss.
        loss_sum: Sum of the losses of the epoch's steps.
        samples: Items that this process has seen in the epoch.
        seconds: Seconds that the epoch has taken so far.
        best_epoch: The best epoch by validation, from 1; 0 for the weights of the beginning.
        best_value: Its metric.
        ending: Whether the run comes to its end because validation got no better.
    """

    schedule: Schedule
    micro_batch: int
    epoch: int = 0
    step: int = 0
    rollbacks: int = 0
    first_loss: float | None = None
    running_loss: float = 0.0
    loss_sum: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    best_epoch: int | None = None
    best_value: float | None = None
    ending: bool = False

    def count_loss(self, loss: float, norm: float) -> str:
        """Count the loss of a step and the norm of its gradient.

        Returns:
            Why the step is a divergence: a figure is not finite, or the loss has exploded; empty
            where it is none.
        """
        if self.first_loss is None:
            self.first_loss = self.running_loss = loss
        self.running_loss = _LOSS_DECAY * self.running_loss + (1 - _LOSS_DECAY) * loss
        self.loss_sum += loss
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss:.4g}, gradient norm {norm:.4g}"
        exploded = self.running_loss > EXPLOSION * max(self.first_loss, 1.0)
        return f"the loss rose from {self.first_loss:.4g} to {loss:.4g}" if exploded else ""

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.samples, self.seconds = 0.0, 0, 0.0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The position whose fields `dataclasses.asdict` gave."""
        return cls(**{**values, "schedule": Schedule(**values["schedule"])})
