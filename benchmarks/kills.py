"""Fits killed at random moments and resumed: whether all that they leave is the same bits.

    python benchmarks/kills.py [--kills 50] [--epochs 40] [--processes 1 2] [--seed 0]

A small network is trained from scratch on made pictures, with 0 and 2 workers, in 1 process and in 2.
For each of these four the fit is first run without interruption. Then it is run once more, and at
random moments of it one of its processes is ended by SIGKILL and all are started again with
`--resume`: a moment is so many seconds of the uninterrupted fit, of which those until the first
checkpoint pass again after each kill. `--kills` kills are spread evenly over the four. Compared bit for bit with the uninterrupted
fit: `model.safetensors`, the optimizer's state in the last checkpoint (which a finished fit deletes;
it is copied just before), and `history.csv` without the columns that hold times.

Expected: all are the same.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from bit_flips import pictures
from safetensors.numpy import load_file

from striate.files import sha256_file

PROGRAM: Final = """
import shutil, sys
from striate.fitting.steps import Steps
clear = Steps.clear
def kept(self):
    if self._strategy.is_writer:
        shutil.copytree(self._path.parent, self.folder.path.with_name(self.folder.path.name + "-kept"),
                        dirs_exist_ok=True)
    clear(self)
Steps.clear = kept
from striate.train import checkpoint
checkpoint.CheckpointStore.__init__.__kwdefaults__["interval"] = 1.0
from striate.cli.main import main
sys.exit(main())
"""
TIMED: Final = ("seconds", "samples_per_second")
PATIENCE: Final = 60.0
"""Seconds in which the others must leave where a process was killed."""


@dataclass(frozen=True)
class Case:
    """How a fit is run."""

    workers: int
    processes: int
    epochs: int

    def start(self, data: Path, out: Path) -> list[subprocess.Popen[bytes]]:
        """Begin a fit, or go on with it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = ["fit", data, "--out", out, "--method", "scratch", "--image-size", 32, "--resume",
                     "--model", "[conv16-bn-relu]x2 - gap - fc2", "--epochs", self.epochs,
                     "--device", "cpu", "--workers", self.workers]  # fmt: skip
        started = []
        for rank in range(self.processes):
            own = {"OMP_NUM_THREADS": "1"}
            if self.processes > 1:
                own |= {"RANK": str(rank), "WORLD_SIZE": str(self.processes)}
                own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            with out.with_name(f"{out.name}-{rank}.log").open("ab") as log:
                program = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
                environment = {**os.environ, **own}
                started.append(subprocess.Popen(program, stdout=log, stderr=log, env=environment))
        return started


@dataclass(frozen=True)
class Result:
    """What a fit leaves."""

    model: str
    optimizer: dict[str, bytes]
    history: list[dict[str, str]]

    def differences(self, other: Result) -> list[str]:
        """The names of what is not the same."""
        names = ("model", "optimizer", "history")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def result_of(out: Path) -> Result:
    """What a finished fit has left."""
    with (out / "history.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]
    last = max(out.with_name(f"{out.name}-kept").glob("[0-9]*.safetensors"))
    optimizer = {
        name: np.ascontiguousarray(value).tobytes()
        for name, value in load_file(last).items()
        if name.startswith("optimizer.")
    }
    return Result(sha256_file(out / "model.safetensors"), optimizer, rows)


def finished(case: Case, data: Path, out: Path) -> tuple[Result, float]:
    """Fit to the end: what it leaves, and the seconds until its first checkpoint."""
    began = time.monotonic()
    processes = case.start(data, out)
    while processes[0].poll() is None and not list(out.glob("checkpoints/0*.safetensors")):
        time.sleep(0.01)
    lead = time.monotonic() - began
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(
            f"a fit ended with {codes}: {out.with_name(f'{out.name}-0.log').read_text()[-800:]}"
        )
    return result_of(out), lead


def killed(case: Case, data: Path, out: Path, after: float, rank: int) -> bool:
    """Begin or go on, and kill a process; whether there was one to kill."""
    processes = case.start(data, out)
    end = time.monotonic() + after
    while time.monotonic() < end and processes[0].poll() is None:
        time.sleep(0.01)
    alive = processes[rank].poll() is None
    processes[rank].send_signal(signal.SIGKILL)
    began = time.monotonic()
    for process in processes:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SystemExit(f"a process did not leave within {PATIENCE:g} s") from None
    if time.monotonic() - began > PATIENCE:
        raise SystemExit("the others did not leave in time")
    return alive


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    draws = random.Random(options.seed)
    cases = [
        Case(workers, processes, options.epochs)
        for processes in options.processes
        for workers in (0, 2)
    ]
    print("| processes | workers | one fit | kills | checkpoints at the kills | differences |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        data = pictures(folder / "data")
        for number, case in enumerate(cases):
            began = time.monotonic()
            expected, lead = finished(case, data, folder / f"whole-{number}")
            seconds = time.monotonic() - began
            wanted = options.kills // len(cases) + (number < options.kills % len(cases))
            kills = with_checkpoint = 0
            out, past = folder / f"killed-{number}", 0.0
            for moment in sorted(draws.uniform(0, seconds) for _ in range(wanted)):
                after = moment - past + (lead if past else 0.0)
                if not killed(case, data, out, after, draws.randrange(case.processes)):
                    break
                kills, past = kills + 1, max(moment, lead)
                with_checkpoint += bool(list(out.glob("checkpoints/0*.safetensors")))
            result, _ = finished(case, data, out)
            differences = result.differences(expected)
            shutil.rmtree(out)
            failed += len(differences)
            print(
                f"| {case.processes} | {case.workers} | {seconds:.0f} s | {kills} "
                f"| {with_checkpoint} | {', '.join(differences) or 'none'} |",
                flush=True,
            )
    print("\nthe same bits" if not failed else f"\n{failed} differences")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
