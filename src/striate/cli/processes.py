"""`striate fit --nproc N`: one command in several processes that train together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

from striate.errors import ProcessLostError

_PROGRAM: Final = (
    "import sys; sys.argv[0] = 'striate'; from striate.cli.main import main; sys.exit(main())"
)

_PATIENCE: Final = 20.0
"""Seconds that the others have to leave by themselves when one process has ended."""

_LOOK_EVERY: Final = 0.05

_FAILED: Final = 3
"""Exit code where the machine is at fault."""

_LOST: Final = str(ProcessLostError()).partition(";")[0]


def run_together(count: int, arguments: Sequence[str]) -> int:
    """Run a command in several processes of this machine; the first one speaks.

    A signal is passed on to the first process, which stops together with the others. Where one
    ends before the others, they are given a while to leave.

    Args:
        count: Number of processes.
        arguments: What follows `striate` on the command line.

    Returns:
        The exit code of the first process, or that of a failure where it was killed.
    """
    with tempfile.TemporaryFile("w+") as said:
        processes = _started(count, arguments, said)
        with _passed_on(processes):
            _wait(processes)
        codes = [process.returncode for process in processes]
        said.seek(0)
        lines = said.read().splitlines()
    # The first process says that another has ended; that one, why.
    causes = [line for line in lines if line.startswith("striate: ") and _LOST not in line]
    if codes[0] == 0 or (codes[0] > 0 and codes[0] != _FAILED):
        return codes[0]
    if causes:
        print(causes[0], file=sys.stderr)
    elif codes[0] < 0:
        name, how = signal.Signals(-codes[0]).name, "--resume goes on from the last checkpoint"
        print(f"striate: process 0 of {count} ended by {name}; {how}", file=sys.stderr)
    return _FAILED


def _started(count: int, arguments: Sequence[str], said: IO[str]) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    environment = {"OMP_NUM_THREADS": threads, **os.environ, **together}
    streams: list[dict[str, Any]] = [{}, *[{"stdout": subprocess.DEVNULL, "stderr": said}] * count]
    return [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            start_new_session=True,  # signals of the terminal come by this process alone
            **streams[rank],
        )
        for rank in range(count)
    ]


@contextmanager
def _passed_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass signals on to the first process, while inside."""

    def send(number: int, frame: Any) -> None:
        processes[0].send_signal(number)

    before = {number: signal.signal(number, send) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended; those that stay behind one that failed are killed."""
    end = None
    while running := [process for process in processes if process.poll() is None]:
        if end is None and any(process.returncode for process in processes):
            end = time.monotonic() + _PATIENCE
        if end is not None and time.monotonic() > end:
            for process in running:
                process.kill()
        time.sleep(_LOOK_EVERY)
