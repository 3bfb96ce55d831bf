"""The documentation runs, and leaves nothing out."""

import ast
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


ROOMS = ("analysis", "errors", "explain", "geometry", "metrics", "models", "nn", "ops", "transfer")


def public_names(module):
    """What a module offers: the names that it re-exports, or the functions and classes it defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    own = {n: o for n, o in vars(module).items() if callable(o) and not n.startswith("_")}
    return {n for n, o in own.items() if getattr(o, "__module__", None) == module.__name__}


def public_modules(room):
    """The package itself, or its modules where it re-exports nothing."""
    package = importlib.import_module(f"striate.{room}")
    inside = [name for name in MODULES if name.startswith(f"striate.{room}.")]
    return {package.__name__} if public_names(package) or not inside else set(inside)


def test_the_reference_has_every_public_name():
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.rst"))
    named = set(re.findall(r"^\.\. auto(?:function|class):: striate\.(\w+)$", pages, re.M))
    assert named == {name for name in striate.__all__ if not name.startswith("_")}
    whole = re.findall(r"^\.\. automodule:: (\S+)$", pages, re.M)
    assert len(whole) == len(set(whole))
    assert set(whole) == {module for room in ROOMS for module in public_modules(room)}


def test_every_public_name_is_explained():
    for name in {module for room in ROOMS for module in public_modules(room)} | {"striate"}:
        module = importlib.import_module(name)
        for public in public_names(module):
            found = getattr(module, public)
            if callable(found):
                assert found.__doc__, f"{name}.{public} has no docstring"


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


def entries(text):
    """The names of arguments, attributes and errors in a docstring, with what is said of each."""
    for section in re.findall(r"\n( *)(?:Args|Attributes|Raises):\n((?:\1 .*\n|\n)+)", f"{text}\n"):
        indent = " " * (len(section[0]) + 4)
        yield from re.findall(rf"^{indent}([*\w., ]+): (\S+)", section[1], re.M)


def test_what_docstrings_say_of_arguments_are_sentences():
    """A sentence begins with a capital letter, but for names of packages: rdkit is not installed."""
    packages = {
        "fsspec",
        "matplotlib",
        "nibabel",
        "onnxruntime-web",
        "pyarrow",
        "pydicom",
        "rdkit",
        "torch",
    }
    found, small = 0, []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                for name, word in entries(ast.get_docstring(node, clean=False) or ""):
                    found += 1
                    if word[0].islower() and word.strip(",") not in packages:
                        small.append(f"{path.relative_to(ROOT)}, {node.name}: {name}: {word}")
    assert found > 3000
    assert not small, "\n".join(small)
