"""The documentation runs, and leaves nothing out."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import striate

ROOT = Path(__file__).parent.parent
MODULES = [m.name for m in pkgutil.walk_packages(striate.__path__, "striate.")]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def options(command):
    return [option for param in command.params for option in param.opts]


def test_the_command_line_page_names_every_command_and_option():
    from typer.main import get_command

    from striate.cli.main import app

    page = (ROOT / "docs" / "command-line.md").read_text()
    for name, command in get_command(app).commands.items():
        section = re.search(rf"^## striate {name}\n(.*?)(?=^## |\Z)", page, re.S | re.M)
        assert section, f"docs/command-line.md has no section on {name}"
        for option in options(command):
            if option.startswith("-"):
                assert f"`{option}`" in section[1], f"{name} {option} is not documented"


def test_links_inside_the_documentation_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["README.md"])
def test_python_blocks_run(page, capsys):
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert capsys.readouterr().out
