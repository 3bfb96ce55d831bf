"""What a training run will do: its settings and its schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from striate.errors import ArgumentError, RunError

MAX_WARMUP: Final = 1 / 3
"""Largest share of the steps over which the learning rate rises: it must come down again too."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """Everything that the weights depend on, besides network, parameter groups, data and loss.

    It is decided before the first step and stored in the checkpoints.

    Attributes:
        epochs: Passes over the training batches.
        batch_size: Items that an update of the weights sees.
        learning_rate: The highest learning rate, reached after the warm-up.
        warmup_epochs: Epochs over which the rate rises from zero, no more than the share
            `MAX_WARMUP` of all steps; may be a fraction.
        ema_decay: Decay of the average of the weights that is validated; None validates the
            weights themselves.
        clip_norm: Largest norm of a gradient; None for no limit.
        seed: Seed of everything random in the steps.
        metric: Name of the validation metric by which the best epoch is kept; less is better.

    Raises:
        ArgumentError: A value is out of range.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    ema_decay: float | None = 0.998
    clip_norm: float | None = 1.0
    seed: int = 0
    metric: str = "log_loss"

    def __post_init__(self) -> None:
        for name, allowed, range_text in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("warmup_epochs", self.warmup_epochs >= 0, "at least 0"),
            ("ema_decay", self.ema_decay is None or 0 <= self.ema_decay < 1, "at least 0, below 1"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "above 0"),
        ):
            if not allowed:
                raise ArgumentError(f"{name}={getattr(self, name)!r}", why=f"must be {range_text}")

    def check_stored(self, stored: Mapping[str, Any]) -> None:
        """Refuse to go on with this plan from a checkpoint of another.

        Raises:
            RunError: The plan stored in the checkpoint differs.
        """
        for name, value in asdict(self).items():
            if value != stored.get(name):
                raise RunError(
                    f"the checkpoint was made with {name}={stored.get(name)!r}, not {value!r}",
                    fix="resume with the same options, or start a new run",
                )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate's course over a run, which may be changed on the way.

    Attributes:
        planned_steps: Steps of the run as it was planned.
        warmup_steps: Steps over which the rate rises.
        total_steps: Steps after which the run ends; fewer than planned once it was shortened.
        turn_step: Step at which the run was last shortened.
        turn_place: Place of that step in the planned course.
    """

    planned_steps: int
    warmup_steps: int
    total_steps: int
    turn_step: int = 0
    turn_place: float = 0.0

    def share(self, step: int) -> float:
        """Share of the highest learning rate at a step."""
        return warmup_cosine(
            self._place(step), total_steps=self.planned_steps, warmup_steps=self.warmup_steps
        )

    def shortened(self, step: int, *, total_steps: int) -> Self:
        """The schedule that from `step` on runs through the rest of the course in fewer steps."""
        return replace(self, turn_step=step, turn_place=self._place(step), total_steps=total_steps)

    def lengthened(self, step: int, *, total_steps: int) -> Self:
        """The schedule of a longer run, whose warm-up is over at `step`."""
        return type(self)(
            planned_steps=total_steps,
            warmup_steps=min(self.warmup_steps, step),
            total_steps=total_steps,
        )

    def _place(self, step: int) -> float:
        """Where in the planned course a step is."""
        left = max(1, self.total_steps - self.turn_step)
        ahead = self.planned_steps - self.turn_place
        return self.turn_place + (step - self.turn_step) * ahead / left


def warmup_cosine(step: float, *, total_steps: int, warmup_steps: int) -> float:
    """Share of the highest learning rate at a step: a linear rise, then half a cosine to zero.

    The first step of the warm-up has 1 / warmup_steps, its last one 1; the cosine would reach zero
    at `total_steps`, one after the last step.

    Args:
        step: Number of the step, from 0; between two steps where the schedule is compressed.
        total_steps: Steps of the run.
        warmup_steps: Steps of the rise; 0 for none.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.

    >>> [round(warmup_cosine(s, total_steps=6, warmup_steps=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def affordable_epochs(
    seconds: float, samples_per_second: float, samples: int, *, seconds_per_validation: float = 0.0
) -> int:
    """Number of epochs that fit into the time at a measured rate; at least one.

    >>> affordable_epochs(60, samples_per_second=50, samples=900, seconds_per_validation=2)
    3
    """
    return max(1, int(seconds / (samples / samples_per_second + seconds_per_validation)))
