import ast
import copy
import re
from pathlib import Path

import pytest

from striate import errors
from striate.errors import (
    ArgumentError,
    MachineError,
    OptionError,
    StoppedError,
    StriateError,
    UnknownNameError,
    UserError,
    nearest,
)


def test_message_is_one_line_of_what_why_and_fix():
    error = ArgumentError("--epochs 0", why="it must be at least 1", fix="leave it out")
    assert str(error) == "--epochs 0: it must be at least 1; leave it out"


def test_line_breaks_and_control_characters_are_made_visible():
    assert str(ArgumentError("a\nb\x1b[31m")) == "a\\nb\\x1b[31m"


def test_unknown_name_suggests_the_nearest():
    error = UnknownNameError("model", "resnet5", ["resnet50", "vgg16"])
    assert "did you mean 'resnet50'?" in str(error)


def test_unknown_name_with_nothing_near_lists_a_short_table():
    assert str(UnknownNameError("method", "zzz", ["b", "a"])).endswith("known: a, b")
    many = [f"a{i}" for i in range(21)]
    assert str(UnknownNameError("sample", "zzz", many)).endswith("known: 21 names")
    assert "a19" in str(UnknownNameError("sample", "zzz", many[:20]))


@pytest.mark.parametrize(
    "error", [e for e in vars(errors).values() if isinstance(e, type) and e is not StriateError]
)
def test_every_error_has_an_exit_code_that_says_who_can_mend_it(error):
    if issubclass(error, StriateError) and error is not StoppedError:
        assert error.exit_code == (2 if issubclass(error, UserError) else 3)
        assert issubclass(error, UserError | MachineError)


def test_an_option_is_spelled_for_python_and_for_the_command_line():
    error = OptionError("image_size", 4, why="it must be at least 8")
    assert (error.option, error.value) == ("image_size", 4)
    assert str(error) == "`image_size=4`: it must be at least 8"
    assert error.on_command_line() == "--image-size 4: it must be at least 8"


@pytest.mark.parametrize(
    ("python", "command_line"),
    [
        ("choose another folder with `out=`", "choose another folder with --out"),
        ("go on with `resume=True`", "go on with --resume"),
        ("use `weights=None`", "use --weights none"),
        ("use `method='probe'` or `scratch`", "use --method probe or `scratch`"),
        ("use `out='my runs'`", "use --out 'my runs'"),
        ("run `striate models`", "run `striate models`"),
    ],
)
def test_options_anywhere_in_a_message_are_spelled_for_the_command_line(python, command_line):
    assert UserError("no", fix=python).on_command_line() == f"no; {command_line}"


@pytest.mark.parametrize(
    ("word", "known", "name"),
    [("train", ["fit", "eval"], "fit"), ("none", ["identity", "flips"], "identity")],
)
def test_a_word_of_other_tools_leads_to_the_name_here(word, known, name):
    assert f"did you mean {name!r}?" in str(UnknownNameError("thing", word, known))


def test_a_word_of_other_tools_is_nothing_where_its_name_is_not_known():
    assert nearest("train", ["resnet18"]) == []


def test_an_error_survives_being_copied():
    """As it is between the processes of scikit-learn's `n_jobs`."""
    error = UnknownNameError("model", "resnet5", ["resnet50", "vgg16"])
    copied = copy.deepcopy(error)
    assert (type(copied), str(copied), copied.name) == (UnknownNameError, str(error), "resnet5")


def test_no_message_outside_of_the_command_line_speaks_of_its_options():
    package = Path(errors.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "cli" or path == Path(errors.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise):
                named = re.search(r"--[a-z]", ast.unparse(node))
                assert named is None, f"{path}:{node.lineno} names an option of the command line"
