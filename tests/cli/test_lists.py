"""`striate models` and `striate samples`: the registries as tables."""

import pytest

from striate.data.layouts import SAMPLES
from striate.models import describe


def test_models_lists_every_network(call):
    code, out, err = call("models")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["name", "family", "parameters", "input", "weights"]
    assert [row.split()[0] for row in rows] == [model.name for model in describe("*")]


def test_models_that_match(call):
    _, out, _ = call("models", "resnet*")
    names = [row.split()[0] for row in out.splitlines()[1:]]
    assert "resnet50" in names and all(name.startswith("resnet") for name in names)
    row = next(row for row in out.splitlines() if row.startswith("resnet50 "))
    assert "25,557,032" in row  # as torchvision has it


def test_samples_lists_every_sample_with_its_licence(call):
    code, out, _ = call("samples")
    assert code == 0
    for name, sample in SAMPLES.items():
        row = next(row for row in out.splitlines() if row.startswith(f"sample:{name} "))
        assert sample.licence in row and str(sample.num_items) in row


@pytest.mark.parametrize("command", ["fit", "predict", "eval", "models", "samples"])
def test_every_command_has_its_help(command, call):
    code, out, _ = call(command, "--help")
    assert code == 0 and out.startswith(f"Usage: striate {command}")
