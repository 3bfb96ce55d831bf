"""Predicts many small images into one Parquet file: rate, memory, and what 10 kills change.

    python benchmarks/bulk.py [--items 200000] [--kills 10] [--folder FOLDER]

A run is fitted on made images of 32 pixels, the items lie in one array file, and each of the commands
is a process of its own. SIGKILL comes when a random number of parts is there, and up to the time of
one part later, so that the number of kills does not depend on how fast the machine is. The file of
the command that is killed again and again must equal that of the one that is left alone; the exit
code is 1 where it does not. With FOLDER what is there is not made again.
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

from striate.files import write_atomic
from striate.run.bulk import PART_ROWS

COMMAND = [sys.executable, "-c", "from striate.cli.main import main; main()"]
FIGURES = "whole.json"
LOOK_EVERY = 0.02


def make(folder, count):
    """A run, and a file of arrays; neither is made again."""
    import striate

    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = rng.integers(0, 120, (60, 32, 32, 3)).astype(np.uint8)
    images[labels == 1, 8:24, 8:24] = 220
    if not (folder / "run" / "run.json").exists():
        np.savez(folder / "known.npz", X=images, y=labels)
        options = {"method": "probe", "image_size": 32, "device": "cpu"}
        striate.fit(folder / "known.npz", out=folder / "run", **options)
    made = folder / "new.npy"
    if not made.exists():
        part = folder / "part.npy"
        items = np.lib.format.open_memmap(part, "w+", np.uint8, (count, 32, 32, 3))
        for start in range(0, count, 10_000):
            chunk = items[start : start + 10_000]
            chunk[:] = rng.integers(0, 255, chunk.shape)
        items.flush()
        part.rename(made)
    there = len(np.load(made, mmap_mode="r"))
    if there != count:
        sys.exit(f"{made} has {there} items; choose another folder")


def started(folder, out, *options):
    """The command, running."""
    command = [*COMMAND, "predict", "run", "new.npy", "--out", out, *options]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)


def left_alone(folder, count):
    """Seconds and megabytes of the command that nothing stops; measured once in a folder."""
    path = folder / FIGURES
    if not path.exists():
        (folder / "whole.parquet").unlink(missing_ok=True)
        start = time.perf_counter()
        code = started(folder, "whole.parquet").wait()
        if code:
            sys.exit(f"the command ended with {code}")
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        figures = {
            "seconds": round(seconds, 1),
            "items_per_second": round(count / seconds, 1),
            "peak_memory_mb": round(memory),
            "load": round(os.getloadavg()[0], 1),
        }
        write_atomic(path, json.dumps(figures).encode())
    return json.loads(path.read_text())


def killed_at(folder, out, num_parts, delay):
    """Run the command until so many parts are there and a moment more; whether SIGKILL ended it."""
    process = started(folder, out, "--resume")
    parts = folder / f".{out}.parts"
    while process.poll() is None and len(list(parts.glob("*-*-*"))) < num_parts:
        time.sleep(LOOK_EVERY)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--items", type=int, default=200_000)
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--folder", type=Path, help="where all lies; by default it is removed")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, given.items)
        figures = left_alone(folder, given.items)
        num_parts = -(-given.items // PART_ROWS)
        rng, killed = random.Random(0), 0
        (folder / "killed.parquet").unlink(missing_ok=True)
        for moment in sorted(rng.randrange(num_parts - 1) for _ in range(given.kills)):
            delay = rng.uniform(0, figures["seconds"] / num_parts)
            killed += killed_at(folder, "killed.parquet", moment, delay)
        started(folder, "killed.parquet", "--resume").wait()
        same = (folder / "whole.parquet").read_bytes() == (folder / "killed.parquet").read_bytes()
        print(
            json.dumps(
                {
                    "items": given.items,
                    **figures,
                    "kills": killed,
                    "same_file": same,
                    "cores": os.cpu_count(),
                }
            )
        )
    sys.exit(not same)


if __name__ == "__main__":
    main()
