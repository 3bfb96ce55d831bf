"""Steps of training, beside a plain loop in torch of the same network and batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.turns import Contender, timed_in_turns
from striate.data.batches import Batches
from striate.errors import ArgumentError
from striate.models import GridNetwork, create_model
from striate.nn.parameters import plain_groups
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.trainer import Trainer

NETWORK: Final = "resnet18"

SIDE, BATCH, STEPS, NUM_CLASSES = 64, 16, 4, 10
"""Pixels along a side, items in a batch, steps in a call, and classes."""


class Train(Benchmark):
    """Steps on batches that are in memory, without augmentation."""

    name = "train"
    description = "steps of training from random weights, against a plain loop in torch"
    takes = f"a network of images, by default {NETWORK}"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Time whole epochs of a few steps each."""
        name = subject or NETWORK
        torch.manual_seed(0)
        network = create_model(name, num_classes=NUM_CLASSES)
        if not isinstance(network, GridNetwork) or network.config.rank != 2:
            raise ArgumentError(f"{name} takes no images", fix=f"choose another, such as {NETWORK}")
        fixed = network.config.input_size if network.config.fixed_size else 0
        side = fixed or max(SIDE, network.min_size)
        images = torch.randn(BATCH * STEPS, network.config.in_channels, side, side)
        labels = torch.arange(len(images)) % NUM_CLASSES
        contenders = [
            Contender(
                name="Striate", run=_trainer(copy.deepcopy(network), images, labels),
                items=len(images),
            ),
            Contender(name="torch, plain", run=_loop(network, images, labels), items=len(images)),
        ]  # fmt: skip
        table = Table(
            title=f"training {name}, batches of {BATCH} at {side} pixels, {STEPS} steps an epoch",
            unit="images",
            timings=timed_in_turns(contenders, rounds=rounds),
            remarks=[
                "an epoch of Striate's ends with its bookkeeping; its average of weights is off"
            ],
        )
        return Found(tables=[table])


def _trainer(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> Callable[[], object]:
    """One epoch by Striate's loop, from the same start each time."""

    def make(positions: NDArray[np.int64], number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return images[positions], labels[positions]

    ids = [str(number) for number in range(len(images))]
    batches = Batches(ids, make, batch_size=BATCH, seed=0, workers=0)
    plan = TrainPlan(epochs=1, batch_size=BATCH, ema_decay=None, warmup_epochs=0)

    def run() -> object:
        groups = plain_groups(network, 0.02)
        return Trainer(
            network, plan, groups, batches, lambda _: {"log_loss": 0.0}, CrossEntropy()
        ).fit()

    return run


def _loop(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """One epoch as a tutorial writes it."""

    def run() -> None:
        optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.02)
        network.train()
        for inputs, targets in zip(
            torch.split(images, BATCH), torch.split(labels, BATCH), strict=True
        ):
            loss = nn.functional.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run


BENCHMARKS.add(Train.name, Train())
