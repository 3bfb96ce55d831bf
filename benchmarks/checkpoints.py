"""What a checkpoint costs the training: the copy that it waits for, and what a thread does behind it.

    python benchmarks/checkpoints.py [--models resnet18 convnext_tiny] [--saves 5]

A network is trained for a few steps on random pictures, one checkpoint a step. Measured is the time
of each thread on the processor (`time.thread_time`), which other work on the machine does not
lengthen: of the thread that trains, from the beginning of a save until it goes on; and of the thread
that serializes, hashes and writes. The state is the weights, their average, the best weights and two
moments of each. The shares are of the 60 s between two checkpoints: what they cost now, and what they
would cost if the training waited for all of it. (Waiting for the disk is in neither.)

Expected: a share below 2 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from striate.data.batches import Batches
from striate.models import create_model
from striate.nn.parameters import plain_groups
from striate.progress import Progress
from striate.train.checkpoint import CheckpointStore, State
from striate.train.losses import CrossEntropy
from striate.train.plan import TrainPlan
from striate.train.trainer import Trainer

INTERVAL = 60.0


class Timed(CheckpointStore):
    """A store that is due at each step, and notes the seconds of its thread and the bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, say=print, interval=0.0)
        self.behind: list[float] = []
        self.num_bytes = 0

    def due(self) -> bool:
        """Always, once the last is written."""
        self.wait()
        return True

    def save(self, state: State) -> None:
        """Write, and note the seconds."""
        self.num_bytes = sum(t.numel() * t.element_size() for t in state.tensors.values())
        began = time.thread_time()
        super().save(state)
        self.behind.append(time.thread_time() - began)


def measured(name: str, saves: int) -> tuple[int, float, float]:
    """The bytes of a state, the seconds that training waits, and those of the thread behind it."""
    network = create_model(name, num_classes=2, in_channels=3)
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4) % 2

    def make(positions: np.ndarray[Any, Any], number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return images[positions], labels[positions]

    waited: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Timed(Path(folder))
        trainer = Trainer(
            network,
            TrainPlan(epochs=saves + 1, batch_size=4, seed=0),
            plain_groups(network, 0.02),
            Batches([str(n) for n in range(4)], make, batch_size=4, seed=0),
            lambda module: {"log_loss": 1.0},
            CrossEntropy(),
            checkpoints=store,
            progress=Progress(quiet=True),
        )
        save = trainer._save

        def timed() -> None:
            store.wait()  # which is not what is measured
            began = time.thread_time()
            save()
            waited.append(time.thread_time() - began)

        trainer._save = timed  # type: ignore[method-assign]  # it is watched
        trainer.fit()
        # The first states are without a best epoch, or allocate.
        return store.num_bytes, median(waited[2:]), median(store.behind[2:])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="+", default=["resnet18"])
    parser.add_argument("--saves", type=int, default=5)
    options = parser.parse_args()
    print("| network | state | training waits | behind it | share of 60 s | if it waited for all |")
    print("|---|---|---|---|---|---|")
    for name in options.models:
        size, waits, behind = measured(name, options.saves)
        print(
            f"| {name} | {size / 1e6:.0f} MB | {waits:.3f} s | {behind:.2f} s "
            f"| {waits / INTERVAL:.2%} | {(waits + behind) / INTERVAL:.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
