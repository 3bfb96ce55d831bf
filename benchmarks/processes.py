"""How much faster two processes train on two cores than one process on one.

    python benchmarks/processes.py [--processes 1 2] [--turns 2] [--epochs 2] [--size 224] [--items 700]

A network is trained from scratch on made pictures by `striate fit --nproc N`, each process with one
thread, in turns. Told are the training items in a second (`samples_per_second` of `history.csv`, which
is of the training steps; the first epoch of each fit is left out) and their ratio to those of one
process. In each turn so many fits of one process that share nothing are run at the same time, too:
what they do together is what the machine has for so many processes, since cores share their memory,
their clock and, on rented machines, more than that. The smaller the pictures, the more of a step goes
into what does not depend on them: the sum of the gradients over the processes, and the optimizer.
Wanted: 2 processes on 2 cores at least 1.6 times as fast as one.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from PIL import Image

COMMAND: Final = [sys.executable, "-c", "from striate.cli.main import main; main()"]


def make(folder: Path, count: int) -> None:
    """Pictures of two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 120, (64, 64, 3)).astype(np.uint8)
        pixels[16:48, 16:48, number % 2] += 100
        place = folder / f"class-{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:05}.png")


ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}


def start(
    data: Path,
    out: Path,
    processes: int,
    options: argparse.Namespace,
    environment: Mapping[str, str] = ONE_THREAD,
) -> subprocess.Popen:
    """A fit in so many processes, with environment variables."""
    command = [*COMMAND, "fit", str(data), "--out", str(out), "--method", "scratch"]
    command += ["--model", options.model, "--epochs", str(options.epochs), "--device", "cpu"]
    command += ["--image-size", str(options.size), "--nproc", str(processes)]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def rate(fit: subprocess.Popen, out: Path) -> float:
    """Training items in a second, once the fit has ended."""
    _, said = fit.communicate()
    if fit.returncode:
        raise SystemExit(said[-2000:])
    with (out / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return median(float(row["samples_per_second"]) for row in rows[1:])


def main() -> None:
    """Fit in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--items", type=int, default=700)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="side of the network's input, pixels")
    options = parser.parse_args()
    rates: dict[int, list[float]] = {count: [] for count in options.processes}
    apart: dict[int, list[float]] = {count: [] for count in options.processes}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["STRIATE_CACHE"] = str(folder / "cache")
        make(folder / "data", options.items)
        for turn in range(options.turns):
            for count in options.processes:
                out = folder / f"run-{count}-{turn}"
                rates[count].append(rate(start(folder / "data", out, count, options), out))
                said = f"turn {turn + 1}: {count} processes, {rates[count][-1]:.1f} items/s"
                if count > 1:
                    outs = [folder / f"apart-{count}-{turn}-{index}" for index in range(count)]
                    fits = [start(folder / "data", out, 1, options) for out in outs]
                    apart[count].append(sum(map(rate, fits, outs)))
                    said += f"; {apart[count][-1]:.1f} as fits that share nothing"
                print(said, flush=True)
    print(
        "| processes | items/s, median | to one process | fits that share nothing, to one process |"
    )
    print("|---|---|---|---|")
    one = median(rates[options.processes[0]])
    for count, found in rates.items():
        shared = f"{median(apart[count]) / one:.2f}" if apart[count] else ""
        print(f"| {count} | {median(found):.1f} | {median(found) / one:.2f} | {shared} |")
    print(f"load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
