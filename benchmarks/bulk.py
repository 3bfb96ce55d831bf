"""Predicts many small images into one Parquet file: rate, memory, and what 10 kills change.

    python benchmarks/bulk.py [--items 200000] [--kills 10]

A run is fitted on made images of 32 pixels, the items lie in one array file, and each of the commands
is a process of its own. The file of the command that is killed again and again must equal that of the
one that is left alone; the exit code is 1 where it does not.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COMMAND = [sys.executable, "-c", "from striate.cli.main import main; main()"]


def make(folder, count):
    """A run, and a file of arrays."""
    import striate

    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = rng.integers(0, 120, (60, 32, 32, 3)).astype(np.uint8)
    images[labels == 1, 8:24, 8:24] = 220
    np.savez(folder / "known.npz", X=images, y=labels)
    striate.fit(
        folder / "known.npz", out=folder / "run", method="probe", image_size=32, device="cpu"
    )
    items = np.lib.format.open_memmap(folder / "new.npy", "w+", np.uint8, (count, 32, 32, 3))
    for start in range(0, count, 10_000):
        part = items[start : start + 10_000]
        part[:] = rng.integers(0, 255, part.shape)
    items.flush()


def predict(folder, out, *options, kill_after=None):
    """Run the command; its exit code and the seconds it took."""
    command = [*COMMAND, "predict", "run", "new.npy", "--out", out, *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    if kill_after is not None:
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    return process.wait(), time.perf_counter() - start


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=200_000)
    options.add_argument("--kills", type=int, default=10)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, given.items)
        code, seconds = predict(folder, "whole.parquet")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        assert code == 0
        rng, killed = random.Random(0), 0
        while not (folder / "killed.parquet").exists():
            after = rng.uniform(0.05, 2 / given.kills) * seconds if killed < given.kills else None
            code, _ = predict(folder, "killed.parquet", "--resume", kill_after=after)
            killed += code == -signal.SIGKILL
        same = (folder / "whole.parquet").read_bytes() == (folder / "killed.parquet").read_bytes()
        figures = {
            "items": given.items,
            "seconds": round(seconds, 1),
            "items_per_second": round(given.items / seconds, 1),
            "peak_memory_mb": round(memory),
            "kills": killed,
            "same_file": same,
            "cores": os.cpu_count(),
        }
        print(json.dumps(figures))
    sys.exit(not same)


if __name__ == "__main__":
    main()
