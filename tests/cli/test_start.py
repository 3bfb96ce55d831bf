"""What commands import: each second of waiting is a module that was not needed."""

import subprocess
import sys

import pytest

SLOW = ("torch._dynamo", "scipy", "sklearn", "pandas", "numba", "sympy", "jinja2", "rich")

CODE = """
import sys
from striate.cli.main import run
code = run(sys.argv[1:])
print(*sys.modules)
sys.exit(code)
"""


def loaded_by(*arguments):
    """Names of the modules that are imported once a command has run in a fresh process."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("method", ["probe", pytest.param("kernel", marks=pytest.mark.slow)])
def test_predict_imports_nothing_slow_but_torch(method, request, photos):
    folder = request.getfixturevalue(f"{method}_run").folder.path
    loaded = loaded_by("predict", folder, photos / "disc" / "01.png")
    assert "torch" in loaded
    assert not loaded & set(SLOW)


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["check", "--help"], ["--version"]])
def test_what_needs_no_network_does_not_import_torch(arguments):
    assert not loaded_by(*arguments) & {*SLOW, "torch", "numpy"}


def test_a_fit_without_training_does_not_import_what_compiles_networks(photos, tmp_path):
    options = ("--method", "probe", "--image-size", 32, "--device", "cpu")
    loaded = loaded_by("fit", photos, "--out", tmp_path / "run", *options)
    assert "sklearn" in loaded
    assert not loaded & {"torch._dynamo", "sympy"}
