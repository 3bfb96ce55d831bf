"""Training beside another busy program: how much of the quiet machine's speed is left.

    python benchmarks/busy_machine.py [--model resnet18] [--size 96] [--items 700] [--epochs 3] [--busy 1]

A network is trained from scratch on made pictures by `striate fit`, alone and beside programs that
do nothing but count, each in a session of its own, as what another user starts is. Told are the
training items in a second (the median of the epochs but the first) with the threads that Striate
chooses, and with the number and the way of waiting that torch comes with. Wanted: beside one busy
program at least half of the quiet speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from processes import make, rate, start

CHOSEN: Final[dict[str, str]] = {}
AS_TORCH_COMES: Final = {
    "OMP_NUM_THREADS": str(os.cpu_count()),
    "GOMP_SPINCOUNT": "300000",  # what GNU OpenMP documents for threads that have a core each
}


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs beside that count."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command, start_new_session=True) for _ in range(programs)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def main() -> None:
    """Fit alone and beside the busy programs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=96, help="side of the network's input, pixels")
    parser.add_argument("--items", type=int, default=700)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="programs beside")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        os.environ.pop(name, None)
    print(f"| threads | items/s alone | beside {options.busy} busy | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["STRIATE_CACHE"] = str(folder / "cache")
        make(folder / "data", options.items)
        for name, environment in (("chosen", CHOSEN), ("as torch comes", AS_TORCH_COMES)):
            rates = []
            for programs in (0, options.busy):
                out = folder / f"{name}-{programs}"
                with busy(programs):
                    rates.append(rate(start(folder / "data", out, 1, options, environment), out))
            print(f"| {name} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[1] / rates[0]:.2f} |")
    print(f"load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
