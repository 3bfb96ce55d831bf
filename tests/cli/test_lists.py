"""`striate models` and `striate samples`: the registries as tables."""

import json

import pytest

from striate.data.samples.sample import SAMPLES
from striate.models import list_models


def test_models_lists_every_network(call):
    code, out, err = call("models")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["name", "family", "parameters", "input", "weights"]
    assert [row.split()[0] for row in rows] == list_models()


def test_models_that_match(call):
    _, out, _ = call("models", "resnet*")
    names = [row.split()[0] for row in out.splitlines()[1:]]
    assert "resnet50" in names and all(name.startswith("resnet") for name in names)
    row = next(row for row in out.splitlines() if row.startswith("resnet50 "))
    assert "25,557,032" in row  # as torchvision has it


def test_the_table_of_models_fits_80_columns_and_more_is_shown_when_asked_for(call):
    _, out, _ = call("models")
    assert max(map(len, out.splitlines())) <= 80
    _, out, _ = call("models", "efficientnet_lite0", "--verbose")
    head, row = out.splitlines()
    assert head.split()[-2:] == ["ranks", "sources"]
    assert row.endswith("1, 2, 3  package, tf_efficientnet_lite0.in1k")


def test_models_as_json_and_by_weights(call):
    _, out, _ = call("models", "gi*", "--json")
    assert [row["name"] for row in json.loads(out)] == ["gin", "gin_small"]
    _, out, _ = call("models", "*", "--pretrained", "--json")
    rows = json.loads(out)
    assert rows and all(row["weights"] for row in rows)
    assert "resnet50" in [row["name"] for row in rows]


def test_samples_lists_every_sample_with_its_licence(call):
    code, out, _ = call("samples", "--verbose")
    assert code == 0
    for name, sample in SAMPLES.items():
        row = next(row for row in out.splitlines() if row.startswith(f"sample:{name} "))
        assert sample.licence in row and str(sample.num_items) in row
        assert row.endswith(sample.description)


def test_samples_fit_a_terminal(call):
    _, out, _ = call("samples")
    head, *rows = out.splitlines()
    assert head.split() == ["name", "kind", "items", "description"]
    assert [row.split()[0] for row in rows] == [f"sample:{name}" for name in SAMPLES.names()]
    assert max(map(len, out.splitlines())) <= 80


def test_samples_as_json(call):
    _, out, _ = call("samples", "--json")
    found = {sample.pop("name"): sample for sample in json.loads(out)}
    assert found["sample:karate-club"] == {
        "kind": "node",
        "items": 34,
        "licence": "BSD-3-Clause",
        "description": SAMPLES.get("karate-club").description,
    }
    assert len(found) == len(SAMPLES)


@pytest.mark.parametrize("command", ["fit", "predict", "eval", "models", "samples"])
def test_every_command_has_its_help(command, call):
    code, out, _ = call(command, "--help")
    assert code == 0 and out.startswith(f"Usage: striate {command}")
