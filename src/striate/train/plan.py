"""What a training run will do, decided before its first step and stored in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal

import torch

from striate.device import fast_dtype
from striate.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """Everything that the weights depend on, besides network and data.

    Attributes:
        epochs: passes over the training items.
        batch_size: items that an update of the weights sees.
        learning_rate: the highest one, reached after the warm-up.
        weight_decay: of AdamW, decoupled; for the groups' makers.
        warmup_epochs: over which the rate rises from zero; may be a fraction.
        loss: "cross_entropy" of classes, or "squared_error" of numbers.
        label_smoothing: share of each target spread evenly over the classes.
        ema_decay: of the average of the weights that is validated; None for the weights themselves.
        clip_norm: greatest norm of a gradient; None for no limit.
        precision: "auto" takes bfloat16 where the device computes it in hardware.
        seed: of everything random.
        class_weights: "balanced" lets each class weigh the same in the loss.
        freeze_batch_norm: batch norms keep their statistics, as suits small data.
        metric: of validation, by which the best epoch is kept.
        maximize: whether a higher metric is better.

    Raises:
        ArgumentError: a value is out of range.
    """

    epochs: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    label_smoothing: float = 0.1
    ema_decay: float | None = 0.998
    clip_norm: float | None = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0
    class_weights: Literal["balanced"] | None = None
    freeze_batch_norm: bool = False
    metric: str = "log_loss"
    maximize: bool = False

    def __post_init__(self) -> None:
        for name, allowed, range_text in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("warmup_epochs", self.warmup_epochs >= 0, "at least 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "at least 0, below 1"),
            ("ema_decay", self.ema_decay is None or 0 <= self.ema_decay < 1, "at least 0, below 1"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "above 0"),
        ):
            if not allowed:
                raise ArgumentError(f"{name}={getattr(self, name)!r}", why=f"must be {range_text}")

    def dtype(self, device: torch.device) -> torch.dtype:
        """The precision of the forward and backward pass on this device."""
        if self.precision == "auto":
            return fast_dtype(device.type)
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def to_json(self) -> dict[str, Any]:
        """The fields, fit for JSON."""
        return asdict(self)


def affordable_epochs(
    seconds: float, samples_per_second: float, samples: int, *, seconds_per_validation: float = 0.0
) -> int:
    """Epochs that fit into the time at a measured rate; at least one.

    >>> affordable_epochs(60, samples_per_second=50, samples=900, seconds_per_validation=2)
    3
    """
    return max(1, int(seconds / (samples / samples_per_second + seconds_per_validation)))


class Deadline:
    """A moment after which no further step begins.

    Args:
        seconds: from now.
        clock: the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def passed(self) -> bool:
        """Whether the moment has come."""
        return self.seconds_left() <= 0

    def seconds_left(self) -> float:
        """Until the moment; negative when it has passed."""
        return self._end - self._clock()
