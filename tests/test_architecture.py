"""What the plan of the house promises, counted in the code itself."""

import ast
import inspect
import re
from dataclasses import MISSING
from pathlib import Path

import pytest

import striate
from striate.fitting.options import METHOD_NAMES, FitOptions, declared_options
from striate.kinds.kind import KINDS
from striate.registry import load_package
from striate.tasks import TASKS

SRC = Path(striate.__file__).parent
FILES = sorted(SRC.rglob("*.py"))
MODULES = {
    ".".join(("striate", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in FILES
}
INSIDE_THE_AXES = ("kinds/", "tasks/", "fitting/methods/")
MAX_BRANCHES = 5
"""Branches on kind, task or method outside of their rooms."""

MAX_NAMES = 18
"""Names that a folder shows; "about 15" in the plan."""


def name_of(path):
    return str(path.relative_to(SRC))


def imported(module, path):
    """The modules of striate that a file imports while it is loaded."""
    found = set()

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.ImportFrom) and child.module:
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    found.add(full if full in MODULES else child.module)
            elif isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            visit(child)

    visit(ast.parse(path.read_text()))
    return {name for name in found if name in MODULES and name != module}


def circles(graph):
    """Strongly connected parts of several modules."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(graph)
    place = {name: number for number, name in enumerate(names)}
    pairs = [(place[a], place[b]) for a in names for b in graph[a]]
    rows, columns = zip(*pairs, strict=True)
    matrix = coo_array(([1] * len(pairs), (rows, columns)), shape=(len(names),) * 2)
    _, labels = connected_components(matrix, directed=True, connection="strong")
    groups = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def test_no_assertion_of_a_type():
    found = [name_of(path) for path in FILES if "assert isinstance" in path.read_text()]
    assert not found


def test_few_branches_on_kind_task_or_method_outside_their_rooms():
    load_package("striate.kinds")
    load_package("striate.tasks")
    names = "|".join([*KINDS.names(), *TASKS.names(), *METHOD_NAMES])
    branch = re.compile(
        rf"\b(kind|task|method)(\.\w+)? *(==|!=|(not )?in\b) *[(\[{{]?[\"']({names})[\"']"
        r"|isinstance\([^)]*(Kind|Task|Method|Inputs|Calibration|Report|Prediction|Source)\b"
    )
    found = [
        f"{name_of(path)}: {line.strip()}"
        for path in FILES
        if not name_of(path).startswith(INSIDE_THE_AXES)
        for line in path.read_text().splitlines()
        if branch.search(line) and not line.strip().startswith(("#", '"""', ">>>"))
    ]
    assert len(found) <= MAX_BRANCHES, "\n".join(found)


def test_no_circle_between_files():
    graph = {module: imported(module, path) for module, path in MODULES.items()}
    assert not circles(graph)


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_kinds_tasks_and_methods_do_not_import_each_other():
    for axis, allowed in (("kinds", {("node", "graph")}), ("tasks", set())):
        for module, path in MODULES.items():
            parts = module.split(".")
            if len(parts) < 4 or parts[1] != axis:
                continue
            for other in imported(module, path):
                theirs = other.split(".")
                if len(theirs) > 3 and theirs[1] == axis and theirs[2] != parts[2]:
                    assert (parts[2], theirs[2]) in allowed, f"{module} imports {other}"
    methods = [m for m in MODULES if m.startswith("striate.fitting.methods.")]
    for module in methods:
        assert not imported(module, MODULES[module]) & set(methods)


def test_the_order_of_work_is_read_on_one_screen():
    tree = ast.parse((SRC / "fitting" / "fit.py").read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    order = functions["_fit"]
    assert order.end_lineno - order.lineno < 60


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=name_of)
def test_a_folder_shows_few_names(folder):
    names = [
        child.name
        for child in folder.iterdir()
        if not child.name.startswith(("_", ".")) and child.name != "py.typed"
    ]
    # A family of networks is a file, and there are many; the rooms of the house are few.
    limit = {SRC / "models": 26, SRC: 30}.get(folder, MAX_NAMES)
    assert len(names) <= limit, sorted(names)


def test_every_option_is_declared_once():
    names = [declared.name for declared in declared_options()]
    signature = inspect.signature(striate.fit)
    assert set(signature.parameters) == {"data", "progress", "stop", *names}
    for declared in declared_options():
        default = {} if declared.default is MISSING else declared.default
        parameter = signature.parameters[declared.name]
        if declared.name != "time":
            assert parameter.default == default
        assert f"{declared.name}: " in striate.fit.__doc__
    from striate.cli.fit import fit as command

    # Processes are started by the command line alone.
    assert set(inspect.signature(command).parameters) == {"data", "nproc", *names}
    for estimator in (striate.Classifier, striate.Regressor):
        taken = set(inspect.signature(estimator.__init__).parameters) - {"self"}
        assert taken == {"kind", *names} - {"resume", "good"}


def test_the_documentation_lists_every_option():
    page = (SRC.parents[1] / "docs" / "command-line.md").read_text()
    for declared in declared_options():
        flag = "--option" if declared.name == "options" else "--" + declared.name.replace("_", "-")
        assert f"`{flag}" in page, flag


def test_help_of_fit_answers_every_question():
    text = striate.fit.__doc__
    assert "likewise" not in text and "{options}" not in text
    assert max(map(len, text.splitlines())) <= 100
    for declared in declared_options():
        assert declared.metadata["text"].endswith(".")
    assert FitOptions().method in text


def test_every_warning_says_what_to_do_about_it():
    silent, seen = [], 0
    for path in FILES:
        for call in ast.walk(ast.parse(path.read_text())):
            made = isinstance(call, ast.Call) and ast.unparse(call.func) == "Note"
            if not made or None in {one.arg for one in call.keywords}:  # read from JSON
                continue
            given = {one.arg: ast.unparse(one.value) for one in call.keywords}
            seen += 1
            if given.get("severity") != "'info'" and given.get("advice", "''") == "''":
                silent.append(f"{name_of(path)}:{call.lineno}")
    assert seen > 50
    assert silent == []


def test_the_page_on_the_architecture_names_every_folder():
    page = (SRC.parents[1] / "docs" / "architecture.md").read_text()
    folders = {path.parent for path in FILES} - {SRC}
    # Each kind and each task is told of by what their files have in common.
    folders = {one for one in folders if one.parent.name not in ("kinds", "tasks")}
    rooms = re.search("```\n(.*?)```", page, re.DOTALL)[1]
    assert len(folders) > 40
    for folder in folders:
        where = rooms if folder.parent == SRC else page
        name = folder.name if folder.parent == SRC else f"{folder.name}/"
        assert re.search(rf"(?<!\w){name}", where), name_of(folder)


def test_the_page_on_the_architecture_names_no_file_that_is_gone():
    page = (SRC.parents[1] / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"[`/ ](\w+\.(?:py|html|json))\b", page))
    written_by_a_fit = {"report.json", "report.html", "run.json"}
    known = {path.name for path in SRC.rglob("*.*")} | written_by_a_fit | {"predict.py"}
    assert len(named) > 100
    assert not named - known
