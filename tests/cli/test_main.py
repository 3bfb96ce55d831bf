import subprocess
import sys

import pytest

from striate.cli.main import run

HEAVY = ("torch", "numpy", "sklearn", "PIL", "pydantic", "jinja2", "rich")


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("fit", "predict", "eval", "inspect", "convolve", "models", "kernels"):
        assert f"  {command} " in out


def test_no_argument_shows_the_help(capsys):
    assert run([]) == 0
    assert "Usage: striate" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["fitt"], ["fit"], ["fit", "x", "--epoch", "3"], ["fit", "x", "--epochs", "many"]]
)
def test_a_wrong_call_is_one_line_and_exit_2(arguments, capsys):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("striate: ")
    assert captured.err.count("\n") == 1


def test_the_command_line_imports_nothing_heavy():
    code = "import sys, striate, striate.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & set(HEAVY)
