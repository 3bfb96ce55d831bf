"""What a process of `test_processes.py` runs; `JOB` says what, and where the result goes."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from striate.data.batches import Batches
from striate.errors import StriateError
from striate.nn.blocks import StochasticDepth
from striate.nn.parameters import plain_groups
from striate.progress import Progress
from striate.train.checkpoint import CheckpointStore
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.processes import joined
from striate.train.trainer import Trainer

NUM_ITEMS, BATCH = 45, 8  # of 45 items the last batch has 5


class Network(nn.Module):
    """Everything that looks at the whole batch, or at random numbers."""

    limit = 99

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.block = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.drop = StochasticDepth(0.3)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, x):
        x = self.stem(x.double())
        if self.training and len(x) > self.limit:
            raise torch.OutOfMemoryError("too many items")
        x = (x + self.drop(self.block(x))).relu().mean((2, 3))
        return self.head(x)


def main(job):
    torch.set_num_threads(1)
    os.environ.update(job["environment"])
    generator = torch.Generator().manual_seed(11)
    labels = torch.arange(NUM_ITEMS) % 3
    centres = torch.randn(3, 2, 6, 6, generator=generator)
    inputs = centres[labels] + 0.5 * torch.randn(NUM_ITEMS, 2, 6, 6, generator=generator)
    seen = []

    def make(positions, number):
        seen.append(positions.tolist())
        return inputs[positions], labels[positions]

    def validate(network):
        with torch.no_grad():
            loss = nn.functional.cross_entropy(network(inputs), labels)
        return {"log_loss": loss.item()}

    torch.manual_seed(4)
    network = Network().double()
    plan = TrainPlan(epochs=job["epochs"], batch_size=BATCH, learning_rate=1e-2, seed=5)
    with joined(strategy=job.get("strategy", "auto")) as strategy:
        rank = strategy.rank
        network.limit = job["limits"].get(rank, 99)
        batches = Batches(
            [str(n) for n in range(NUM_ITEMS)],
            make,
            batch_size=BATCH,
            seed=0,
        ).of_process(rank, strategy.num_processes)
        looks = iter(range(10**6))

        def stop():
            look = next(looks)
            if job["kill"] == (rank, look):
                os.kill(os.getpid(), signal.SIGKILL)
            if job["kill"]:
                time.sleep(0.01)
            return job["stop"] == (rank, look)

        if rank == job["poisoned"]:
            inputs.fill_(torch.nan)
        checkpoints = None
        if job["checkpoints"]:
            checkpoints = CheckpointStore(job["checkpoints"], say=print, interval=0.05)
        trainer = Trainer(
            network,
            plan,
            plain_groups(network, 0.02),
            batches,
            validate,
            CrossEntropy(),
            strategy=strategy,
            progress=Progress(quiet=True),
            checkpoints=checkpoints,
            stop=stop,
        )
        result = {"rank": rank, "error": ""}
        try:
            trained = trainer.fit()
            result |= {"steps": trained.steps, "stopped": trained.stopped}
            result |= {"losses": [row.train_loss for row in trained.history]}
        except StriateError as error:
            result["error"] = str(error)
    result |= {"seen": seen, "weights": network.state_dict()}
    torch.save(result, Path(job["out"]) / f"{rank}.pt")


main(JOB)
