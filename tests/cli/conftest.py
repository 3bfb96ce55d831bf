import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from striate.cli.main import run

_LAUNCHER = """
import json, os, sys
import striate.fitting.fit, striate.report.render, striate.explain
from striate.cli.main import run
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(run(job["arguments"]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Launcher:
    """Runs commands one after the other, each in a process of its own that has torch already.

    A new interpreter would spend most of a kill test on its imports.
    """

    def __init__(self, log):
        self.log = log
        self._running = None
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, arguments):
        """Begin a command."""
        self.end()
        self.log.unlink(missing_ok=True)
        job = {"arguments": [str(a) for a in arguments], "log": str(self.log)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self._running = int(self._process.stdout.readline())

    def signal(self, number):
        """Send a signal to the command begun."""
        os.kill(self._running, number)

    def wait(self):
        """The exit code of the command begun; a signal that ended it is negative."""
        code = int(self._process.stdout.readline())
        self._running = None
        return code

    def end(self):
        """Kill the command begun if a failed test has left it, so that its code is not the next's."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._running, signal.SIGKILL)
            self.wait()

    def text(self):
        """What the command has printed so far."""
        return self.log.read_text() if self.log.exists() else ""

    def close(self):
        self.end()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory, own_cache):
    launcher = Launcher(tmp_path_factory.mktemp("launcher") / "log")
    yield launcher
    launcher.close()


@pytest.fixture
def call(capsys):
    """A function that runs a command here: its exit code, standard output, standard error."""

    def command(*arguments):
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def refused(call):
    """A function that runs a command which must fail in one line: that line."""

    def command(*arguments, code=2):
        exit_code, out, err = call(*arguments)
        assert exit_code == code, err
        assert out == ""
        *before, line = err.splitlines()
        assert line.startswith("striate: ")
        assert "Traceback" not in err and not any(b.startswith("striate: ") for b in before)
        return line.removeprefix("striate: ")

    return command
