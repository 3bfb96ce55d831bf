"""Small trainings for the tests of the trainer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from striate.nn.parameters import plain_groups
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
