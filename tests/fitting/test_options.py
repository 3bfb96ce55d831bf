import pytest

from striate.errors import ArgumentError, UnknownNameError
from striate.fitting.options import FitConfig, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("45", 45), (7, 7)],
)
def test_parse_time(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10 m", "m", "10d", "ten", "5m3"])
def test_parse_time_refuses(text):
    with pytest.raises(ArgumentError, match="write 90s, 10m or 1h"):
        parse_time(text)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"time": 0}, "--time 0: it must be at least 1"),
        ({"epochs": 0}, "--epochs 0"),
        ({"image_size": 1}, "--image-size 1"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_values_that_are_not_allowed(option, message):
    with pytest.raises(ArgumentError, match=message):
        FitConfig(**option)


def test_unknown_method_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'finetune'"):
        FitConfig(method="finetuen")


def test_unknown_symmetry_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'dihedral'"):
        FitConfig(symmetry="dihedrall")
