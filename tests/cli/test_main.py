import json
import runpy
import subprocess
import sys

import pytest
from typer.main import get_command

from striate.cli import main
from striate.cli.main import app, run
from striate.engines import load_engines

COMMANDS = get_command(app).commands

HEAVY = ("torch", "numpy", "sklearn", "PIL", "pydantic", "jinja2", "rich")


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert f"  {command} " in out
    assert "Train and use a model:\n  fit " in out
    assert "..." not in out.split("\n", 1)[1]


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


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_its_help(command, option, capsys):
    assert run([command, option]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: striate {command}")
    assert "Options:" in out


def test_the_help_spells_options_as_the_command_line_does(capsys):
    assert run(["fit", "--help"]) == 0
    out = capsys.readouterr().out
    assert "`--error-costs`" in out and "`error_costs`" not in out


def test_python_dash_m_is_the_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["striate", "--version"])
    monkeypatch.delitem(sys.modules, "striate.__main__", raising=False)  # of the doctests' test
    with pytest.raises(SystemExit) as left:
        runpy.run_module("striate", run_name="__main__")
    assert left.value.code == 0 and capsys.readouterr().out.startswith("striate")


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("striate 0.")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "photos"], "did you mean 'fit'?"),
        (["val", "runs/photos-1"], "did you mean 'eval'?"),
        (["evaluate", "runs/photos-1"], "did you mean 'eval'?"),
        (["fit", "photos", "--lr", "1e-3"], "--time and --epochs"),
        (["fit", "photos", "--learning-rate=1e-3"], "--time and --epochs"),
        (["fit", "photos", "--batch-size", "8"], "--time and --epochs"),
        (["fit", "photos", "--batch", "8"], "--time and --epochs"),
        (["fit", "photos", "--imgsz", "64"], "use --image-size"),
        (["fit", "photos", "--gpu"], "use --device cuda"),
        (["fit", "photos", "--label-column", "y"], "name the manifest's column 'label'"),
        (["predict", "runs/photos-1", "a.png", "--output", "a.csv"], "use --out"),
        (["fit", "photos", "--output", "runs/x"], "use --out"),
    ],
)
def test_what_other_tools_call_it_gets_a_hint(arguments, hint, capsys):
    assert run(arguments) == 2
    assert hint in capsys.readouterr().err


def test_no_hint_hides_an_option_that_a_command_has(capsys):
    assert run(["models", "efficientnet_lite0", "--pretrained"]) == 0
    assert "efficientnet_lite0" in capsys.readouterr().out
    assert run(["fit", "photos", "--pretrained"]) == 2
    assert "use --weights imagenet" in capsys.readouterr().err


def test_a_hint_names_no_option_that_the_command_has_not(capsys):
    assert run(["compare", "a", "b", "--lr", "0.1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("striate: No such option: --lr") and "--epochs" not in said


def test_what_nobody_foresaw_is_one_line_and_exit_3(monkeypatch, capsys):
    def broken(*_):
        raise OSError("no space\nleft")

    monkeypatch.setattr(main.typer.main, "get_command", lambda _: broken_group)
    broken_group = get_command(app)
    monkeypatch.setattr(broken_group, "invoke", broken)
    assert run(["models"]) == 3
    line = r"striate: unexpected OSError: no space\nleft; --debug shows where" + "\n"
    assert capsys.readouterr().err == line
    with pytest.raises(OSError, match="no space"):
        run(["models"], debug=True)


def test_engines_as_json(capsys):
    assert run(["engines", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == load_engines().names()
    assert all(bool(row["missing"]) == bool(row["install"]) for row in rows)


def test_the_help_is_there_at_once():
    """In under 0.3 s on a quiet machine; the processor's time here, for others may be at work."""
    code = (
        "import time; from striate.cli.main import run; run(['--help']); print(time.process_time())"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        seconds.append(float(done.stdout.splitlines()[-1]))
    assert min(seconds) < 0.3
