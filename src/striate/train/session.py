"""A network in training: the steps, and its whole state taken and put back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, RunError
from striate.nn.layout import channels_last_module, placed
from striate.nn.parameters import ParameterGroup
from striate.nn.ranks import BATCH_NORM_TYPES
from striate.ops.inputs import Inputs
from striate.train.ema import WeightAverage
from striate.train.plan import TrainPlan
from striate.train.schedule import warmup_cosine
from striate.train.state import (
    State,
    optimizer_tensors,
    restore,
    restore_optimizer,
    snapshot,
    under,
)
from striate.train.step import (
    CrossEntropy,
    Loss,
    SquaredError,
    balanced_weights,
    gradient_within_memory,
)

EXPLOSION = 20.0
"""A running mean of the loss above this many times the first one (or 1) is a divergence."""

_MEMORY = 0.9
"""Share of the past in the running mean of the loss."""


@dataclass(kw_only=True)
class Position:
    """Where a run is; all of it is stored in checkpoints.

    Attributes:
        epoch: in progress, from 0.
        step: done in this epoch.
        total_steps: after which the run ends; fewer than planned where the time got short.
        turn_step: at which the run was last shortened.
        turn_place: place in the planned schedule at that step.
        rollbacks: times that training went back; each halved the learning rate.
        micro_batch: items that fit into memory together.
        first_loss: of the run's first step.
        running_loss: its running mean.
        loss_sum: of the epoch's steps.
        samples: seen in the epoch.
        seconds: the epoch took so far.
        best_epoch: by validation.
        best_value: its metric.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int
    turn_step: int = 0
    turn_place: float = 0.0
    rollbacks: int = 0
    micro_batch: int
    first_loss: float | None = None
    running_loss: float = 0.0
    loss_sum: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    best_epoch: int | None = None
    best_value: float | None = None


@dataclass(kw_only=True, eq=False)
class Trouble(Exception):  # noqa: N818 - answered by going back, not shown to anybody
    """A step whose numbers are of no use."""

    epoch: int
    step: int
    rate: float
    reason: str


class Session:
    """Network, average, optimizer and position of one run.

    Args:
        network: trained in place; its weights are laid out channels last.
        plan: what to do.
        groups: the trainable parameters.
        steps_per_epoch: of the batches.
        class_counts: training items of each class, where the plan balances them.

    Raises:
        ArgumentError: the plan balances classes and there are no counts.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: TrainPlan,
        groups: Sequence[ParameterGroup],
        *,
        steps_per_epoch: int,
        class_counts: Tensor | None = None,
    ) -> None:
        self.network = channels_last_module(network)
        self.plan = plan
        self.groups = groups
        self.steps_per_epoch = steps_per_epoch
        self.device = groups[0].parameters[0].device
        self.dtype = plan.dtype(self.device)
        self.loss = _loss(plan, class_counts, self.device)
        self.average = WeightAverage(network, plan.ema_decay) if plan.ema_decay else None
        self.optimizer = torch.optim.AdamW(
            [{"params": g.parameters, "weight_decay": g.weight_decay} for g in groups],
            lr=plan.learning_rate,
            betas=(0.9, 0.99),  # a run has hundreds of steps: 0.999 would remember all of them
            fused=self.device.type == "cuda",
        )
        self.position = Position(
            micro_batch=plan.batch_size, total_steps=plan.epochs * steps_per_epoch
        )
        self.best: dict[str, Tensor] = {}
        self._pending: tuple[Position, float, Tensor] | None = None

    @property
    def validated(self) -> nn.Module:
        """The network whose figures count: the average where there is one."""
        return self.network if self.average is None else self.average.network

    @property
    def steps_done(self) -> int:
        """Steps since the beginning of the run."""
        return self.position.epoch * self.steps_per_epoch + self.position.step

    def rate_at(self, step: int) -> float:
        """The learning rate of a step of the run, before the groups' factors."""
        share = warmup_cosine(
            self._place(step),
            total_steps=self.plan.epochs * self.steps_per_epoch,
            warmup_steps=round(self.plan.warmup_epochs * self.steps_per_epoch),
        )
        return self.plan.learning_rate * share * 0.5**self.position.rollbacks

    def shorten(self, epochs: int) -> None:
        """End the run after so many more epochs; what is left of the schedule is compressed."""
        position = self.position
        position.turn_place, position.turn_step = self._place(self.steps_done), self.steps_done
        position.total_steps = self.steps_done + epochs * self.steps_per_epoch

    def _place(self, step: int) -> float:
        """Where in the planned schedule a step is."""
        position = self.position
        ahead = self.plan.epochs * self.steps_per_epoch - position.turn_place
        left = max(1, position.total_steps - position.turn_step)
        return position.turn_place + (step - position.turn_step) * ahead / left

    def training_mode(self) -> None:
        """Put the network into training mode, but for batch norms that keep their statistics."""
        self.network.train()
        if self.plan.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, BATCH_NORM_TYPES):
                    module.eval()

    def step(self, inputs: Inputs, targets: Tensor) -> None:
        """Train on one batch.

        The loss is looked at one step later, so that a GPU need not wait for the processor.

        Raises:
            Trouble: the loss of the step before is not finite, or has exploded.
            DeviceError: a single item does not fit into memory.
        """
        rate = self.rate_at(self.steps_done)
        for group, own in zip(self.optimizer.param_groups, self.groups, strict=True):
            group["lr"] = rate * own.rate_scale
        mean, self.position.micro_batch = gradient_within_memory(
            self.network,
            placed(inputs, self.device),
            targets.to(self.device, non_blocking=True),
            self.loss,
            dtype=self.dtype,
            micro_batch=self.position.micro_batch,
            seed=step_seed(self.plan.seed, self.steps_done),
        )
        parameters = [p for group in self.groups for p in group.parameters]
        limit = self.plan.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network)
        self.check()
        at = replace(self.position)
        self._pending = (at, rate, torch.stack([mean, norm]))
        self.position.step += 1
        self.position.samples += len(inputs)

    def check(self) -> None:
        """Look at the loss of the last step.

        Raises:
            Trouble: it is not finite, or has exploded.
        """
        if self._pending is None:
            return
        (at, rate, figures), self._pending = self._pending, None
        loss, norm = figures.tolist()
        position = self.position
        if position.first_loss is None:
            position.first_loss = position.running_loss = loss
        position.running_loss = _MEMORY * position.running_loss + (1 - _MEMORY) * loss
        position.loss_sum += loss
        finite = torch.isfinite(figures).all()
        if not finite:
            reason = f"loss {loss:.4g}, gradient norm {norm:.4g}"
        elif position.running_loss > EXPLOSION * max(position.first_loss, 1.0):
            reason = f"the loss rose from {position.first_loss:.4g} to {loss:.4g}"
        else:
            return
        raise Trouble(epoch=at.epoch, step=at.step, rate=rate, reason=reason)

    def capture(self, values: dict[str, Any]) -> State:
        """Everything to go on from, and `values` beside it.

        Raises:
            Trouble: a number in it is not finite.
        """
        self.check()
        tensors = under("network", self.network.state_dict())
        tensors |= under("optimizer", optimizer_tensors(self.optimizer))
        updates = 0
        if self.average is not None:
            tensors |= under("average", self.average.network.state_dict())
            updates = self.average.updates
        state = State(
            tensors=snapshot(tensors) | under("best", self.best),
            values={**values, "position": asdict(self.position), "average_updates": updates},
        )
        if name := state.first_not_finite():
            epoch, step = divmod(max(0, self.steps_done - 1), self.steps_per_epoch)
            rate = self.rate_at(max(0, self.steps_done - 1))
            raise Trouble(epoch=epoch, step=step, rate=rate, reason=f"{name} is not finite")
        return state

    def restore(self, state: State) -> None:
        """Go on from a captured state.

        Raises:
            RunError: it is of another network.
        """
        own, saved = self.network.state_dict(), state.part("network")
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in saved.items()}:
            raise RunError(
                "the checkpoint is of another network", fix="resume with the model it began with"
            )
        restore(self.network, saved)
        restore_optimizer(self.optimizer, state.part("optimizer"))
        if self.average is not None:
            restore(self.average.network, state.part("average"))
            self.average.updates = state.values["average_updates"]
        self.best = state.part("best")
        self.position = Position(**state.values["position"])
        self._pending = None

    def keep_best(self) -> None:
        """Remember the validated weights as the best so far."""
        self.best = snapshot(self.validated.state_dict())

    def take_best(self) -> None:
        """Put the best weights into the network."""
        restore(self.network, self.best)


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's random numbers (dropout, stochastic depth), from run and step alone."""
    digest = hashlib.blake2b(f"{seed}:{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # torch takes 63 bits as they are


def _loss(plan: TrainPlan, class_counts: Tensor | None, device: torch.device) -> Loss:
    if plan.loss == "squared_error":
        return SquaredError()
    return CrossEntropy(
        label_smoothing=plan.label_smoothing,
        class_weights=_class_weights(plan, class_counts, device),
    )


def _class_weights(
    plan: TrainPlan, class_counts: Tensor | None, device: torch.device
) -> Tensor | None:
    if plan.class_weights is None:
        return None
    if class_counts is None:
        raise ArgumentError("class_weights='balanced'", why="it needs the class counts")
    return balanced_weights(class_counts).to(device)
