"""Fault 60: the first signal asks, a second one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from striate.cli.interrupt import Interrupt


@pytest.mark.parametrize(
    ("number", "code", "asks", "action"),
    [
        (signal.SIGINT, 130, "finish", "finishing with the best model so far"),
        (signal.SIGTERM, 143, True, "saving, then stopping"),
    ],
)
def test_fault_60_the_first_signal_asks(
    number: signal.Signals, code: int, asks: object, action: str
) -> None:
    before = signal.getsignal(number)
    said: list[str] = []
    with Interrupt(said.append) as interrupt:
        assert not interrupt()
        assert interrupt.exit_code == 0
        os.kill(os.getpid(), number)
        assert interrupt() == asks
        assert interrupt.exit_code == code
    assert signal.getsignal(number) is before
    assert said == [f"{number.name}: {action}; once more to leave at once"]


SCRIPT = """
import sys, time
from striate.cli.interrupt import Interrupt
with Interrupt() as interrupt:
    print("ready", flush=True)
    while not interrupt():
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fault_60_a_second_signal_leaves_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"asked\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == -number
