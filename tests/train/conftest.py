from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.batches import Batches
from striate.data.randomness import Draws
from striate.progress import Progress
from striate.train.checkpoint import CheckpointStore


class TinyBatches(Batches):
    """A separable problem with noise."""

    def __init__(self, batch_size: int = 6, **options: int) -> None:
        generator = torch.Generator().manual_seed(11)
        self.labels = torch.arange(22) % 3
        centres = torch.randn(3, 2, 6, 6, generator=generator)
        self.inputs = centres[self.labels] + 0.3 * torch.randn(22, 2, 6, 6, generator=generator)
        ids = [f"item-{i}" for i in range(22)]
        super().__init__(ids, self._items, batch_size=batch_size, seed=0, **options)

    def _items(self, positions: NDArray[np.int64], number: int) -> tuple[Tensor, Tensor]:
        draws = Draws(positions.astype(np.uint64), 0, number).uniforms(72)
        noise = torch.from_numpy(draws).float().view(-1, 2, 6, 6)
        return self.inputs[positions] + 0.1 * noise, self.labels[positions]


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


@pytest.fixture
def make_batches() -> type[TinyBatches]:
    return TinyBatches


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", say=lambda line: None)


@pytest.fixture
def told() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(told: io.StringIO) -> Progress:
    return Progress(told)
