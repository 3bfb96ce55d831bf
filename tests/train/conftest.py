from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TinyBatches:
    """A separable problem; order and noise are drawn from (seed, epoch, step)."""

    def __init__(self, n: int = 22, batch_size: int = 6, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(11)
        self.labels = torch.arange(n) % 3
        centres = torch.randn(3, 2, 6, 6, generator=generator)
        self.inputs = centres[self.labels] + 0.3 * torch.randn(n, 2, 6, 6, generator=generator)
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = -(-n // batch_size)

    def _indices(self, epoch: int, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        order = torch.randperm(len(self.labels), generator=generator)
        return order[step * self.batch_size : (step + 1) * self.batch_size]

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(start_step, self.steps_per_epoch):
            chosen = self._indices(epoch, step)
            yield self.inputs[chosen], self.labels[chosen]

    def ids(self, epoch: int, step: int) -> list[str]:
        return [f"item-{i}" for i in self._indices(epoch, step).tolist()]


def tiny_network() -> nn.Sequential:
    """Convolution, batch norm, dropout and a head, the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


class Validation:
    """The log loss on the training items: a number that improves."""

    def __init__(self, batches: TinyBatches) -> None:
        self.batches = batches

    def __call__(self, network: nn.Module) -> Mapping[str, float]:
        assert not network.training
        with torch.no_grad():
            logits = network(self.batches.inputs)
        return {"log_loss": F.cross_entropy(logits, self.batches.labels).item()}


@pytest.fixture
def batches() -> TinyBatches:
    return TinyBatches()


@pytest.fixture
def validate(batches: TinyBatches) -> Validation:
    return Validation(batches)


@pytest.fixture
def make_network() -> Callable[[], nn.Sequential]:
    return tiny_network
