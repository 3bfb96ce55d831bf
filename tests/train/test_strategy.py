"""The seam between a training and its processes; here threads play the processes."""

from __future__ import annotations

import copy
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nn.parameters import plain_groups
from striate.progress import Progress
from striate.train.checkpoint import CheckpointStore
from striate.train.history import TrainResult
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.strategy import Strategy
from striate.train.trainer import Trainer

PLAN = TrainPlan(epochs=3, learning_rate=2e-2, ema_decay=0.9, seed=5)


def test_few_frames_lie_between_fit_and_backward(make_network, batches, validate) -> None:
    """So that a traceback, or a profile, of a training is read at a glance."""
    stacks: list[list[str]] = []

    class Watched(CrossEntropy):
        def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
            total = super().total(outputs, targets)
            total.register_hook(lambda gradient: stacks.append(names()))
            return total

    def names() -> list[str]:
        return [
            "torch" if "/torch/" in frame.filename else frame.name
            for frame in traceback.extract_stack()
        ]

    network = make_network()
    groups = plain_groups(network, 0.0)
    Trainer(network, replace(PLAN, epochs=1), groups, batches, validate, Watched()).fit()
    assert len(stacks) == batches.steps_per_epoch
    for stack in stacks:
        assert stack.count("fit") == 1
        between = stack[stack.index("fit") + 1 : stack.index("torch", stack.index("fit"))]
        assert 0 < len(between) <= 4, between


class Threads(Strategy):
    """One of several threads that train together, as processes would."""

    def __init__(self, rank: int, barrier: threading.Barrier, board: dict[int, object]) -> None:
        self.rank, self.gate, self.board = rank, barrier, board

    def gather(self, value: object) -> list:
        self.board[self.rank] = value
        self.gate.wait()
        values = [self.board[rank] for rank in range(self.gate.parties)]
        self.gate.wait()
        return values

    @property
    def is_writer(self) -> bool:
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        return network

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def reduce_gradients(self, parameters) -> None:
        for parameter in parameters:
            parameter.grad = torch.stack(self.gather(parameter.grad.clone())).sum(0)

    def reduce(self, value):
        return sum(self.gather(value))

    def gathered(self, value: int) -> list[int]:
        return self.gather(value)

    def agree_each(self, *flags: bool) -> list[bool]:
        return [any(flag) for flag in zip(*self.gather(flags), strict=True)]

    def agree_after_pass(self, flag: bool) -> bool:
        return self.agree(flag)

    def barrier(self) -> None:
        self.gate.wait()


class WeightedError:
    """In float64, in which rounding that depends on the number of processes stays small."""

    weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, weight=self.weights, reduction="sum")

    def weight(self, targets: Tensor) -> Tensor:
        return self.weights[targets].sum()

    def to(self, device: torch.device) -> WeightedError:
        return self


class Hungry(nn.Sequential):
    """Runs out of memory where it sees more than so many items at once while it trains."""

    limit = 99

    def forward(self, x: Tensor) -> Tensor:
        x = x.double()
        if self.training and len(x) > self.limit:
            raise torch.OutOfMemoryError
        return super().forward(x)


def train_together(
    make_batches, validate, num_processes: int, limits: dict[int, int] | None = None, **options
) -> list[tuple[TrainResult, nn.Module]]:
    torch.manual_seed(3)
    layers = nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    original = Hungry(*layers).double()  # no dropout or batch norm, which see a process's own items
    gate, board = threading.Barrier(num_processes, timeout=60), {}

    def run(rank: int) -> tuple[TrainResult, nn.Module]:
        network = copy.deepcopy(original)
        network.limit = (limits or {}).get(rank, 99)
        own = {name: make(rank) for name, make in options.items()}
        trainer = Trainer(
            network,
            PLAN,
            plain_groups(network, 0.02),
            make_batches().of_process(rank, num_processes),
            validate,
            WeightedError(),
            strategy=Threads(rank, gate, board),
            progress=Progress(quiet=True),
            **own,
        )
        try:
            return trainer.fit(), network
        except BaseException:
            gate.abort()
            raise

    with ThreadPoolExecutor(num_processes) as pool:
        return list(pool.map(run, range(num_processes)))


def assert_alike(runs: list[tuple[TrainResult, nn.Module]]) -> None:
    """The processes hold the same weights to the bit."""
    for _, network in runs[1:]:
        for a, b in zip(runs[0][1].parameters(), network.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("limits", [None, {1: 1}])
def test_processes_together_train_as_one(make_batches, validate, limits) -> None:
    """To rounding; also where one of them runs out of memory and all have to try again."""
    ((alone, expected),) = train_together(make_batches, validate, 1)
    runs = train_together(make_batches, validate, 3, limits)
    assert_alike(runs)
    for result, network in runs:
        assert result.steps == alone.steps == 12
        for got, wanted in zip(network.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)
        for row, other in zip(result.history, alone.history, strict=True):
            assert row.train_loss == pytest.approx(other.train_loss, rel=1e-6)


def test_a_stop_seen_by_one_process_stops_all_and_one_writes(
    make_batches, validate, tmp_path
) -> None:
    def store(rank: int) -> CheckpointStore:
        return CheckpointStore(tmp_path, say=print)

    looks = iter(range(100))
    runs = train_together(
        make_batches,
        validate,
        2,
        checkpoints=store,
        stop=lambda rank: lambda: rank == 1 and next(looks) == 5,
    )
    assert [(result.stopped, result.steps) for result, _ in runs] == [("signal", 6)] * 2
    names = sorted(path.name[:6] for path in tmp_path.iterdir())
    assert names == ["000001", "000002"]
    runs = train_together(make_batches, validate, 2, checkpoints=store)
    assert_alike(runs)
    straight = train_together(make_batches, validate, 2)
    assert_alike([runs[0], straight[0]])
