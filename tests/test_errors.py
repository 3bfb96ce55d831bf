import pytest

from striate import errors
from striate.errors import (
    ArgumentError,
    MachineError,
    StoppedError,
    StriateError,
    UnknownNameError,
    UserError,
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
