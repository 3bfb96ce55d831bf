"""A probe on a wide set of features, of series: fit, predict, explain, export, resume, and when not."""

import csv
from dataclasses import replace

import numpy as np
import pytest

import striate
from striate.errors import ArgumentError, StoppedError
from striate.fitting.methods.wide import Wide
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.kind import kind_named
from striate.models import create_model
from striate.run.explain import explain_inputs


@pytest.fixture(autouse=True, scope="module")
def few_features(tmp_path_factory):
    """The kind takes a network that is quick: Hydra by itself."""
    kind = type(kind_named("signal"))
    whole = kind.defaults
    patch = pytest.MonkeyPatch()
    patch.setattr(
        kind, "defaults", lambda self, inputs: replace(whole(self, inputs), wide_features="hydra")
    )
    yield
    patch.undo()


def written(folder, answers):
    """Slow and fast waves in noise, and an answer to each."""
    rng = np.random.default_rng(7)
    rate = np.where(np.arange(len(answers)) % 2, 9.0, 4.0)
    phase = rng.uniform(0, 2 * np.pi, (len(answers), 1, 1))
    wave = np.sin(2 * np.pi * rate[:, None, None] * np.arange(40) / 40 + phase)
    folder.mkdir()
    np.save(folder / "X.npy", (wave + 0.3 * rng.normal(size=wave.shape)).astype(np.float32))
    np.save(folder / "y.npy", answers)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    names = np.where(np.arange(60) % 2, "fast", "slow")
    return written(tmp_path_factory.mktemp("data") / "waves", names)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return striate.fit(data, out=tmp_path_factory.mktemp("runs") / "waves", method="wide")


def test_the_probe_learns_on_the_wide_features(run):
    assert (run.record.method, run.record.model.name) == ("wide", "hydra")
    assert run.metrics["accuracy"] >= 0.9


def test_predictions_are_those_of_the_run(run, data):
    with (run.folder.path / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    array = np.load(data / "X.npy")[[int(row["item"]) for row in rows]]
    for prediction, row in zip(run.predict([array]), rows, strict=True):
        assert prediction.label == row["prediction"]
        for name, value in zip(prediction.classes, prediction.probabilities, strict=True):
            assert value == pytest.approx(float(row[f"p_{name}"]), abs=1e-6)


def test_an_explanation_is_by_occlusion(run, data, tmp_path):
    array = np.load(data / "X.npy")[:1]
    (found,) = explain_inputs(run, [array], out=tmp_path)
    assert found.method == "occlusion"
    with pytest.raises(ArgumentError, match="a single place; choose occlusion"):
        next(iter(explain_inputs(run, [array], method="gradcam", out=tmp_path)))


def test_a_killed_fit_ends_with_the_same_bits(data, run, tmp_path):
    class After:
        def __init__(self, looks):
            self.looks = looks

        def __call__(self):
            self.looks -= 1
            return self.looks < 0

    with pytest.raises(StoppedError):
        striate.fit(data, out=tmp_path / "r", method="wide", stop=After(1))
    again = striate.fit(data, out=tmp_path / "r", method="wide", resume=True)
    for name in ("model.safetensors", "predictions.csv"):
        assert (again.folder.path / name).read_bytes() == (run.folder.path / name).read_bytes()


def test_numbers_are_learnt(tmp_path):
    data = written(tmp_path / "waves", np.arange(60) % 2 + 0.1)
    run = striate.fit(data, out=tmp_path / "r", method="wide")
    assert run.record.task == "regression" and run.metrics["r2"] > 0.7


def test_what_would_take_too_long_is_not_tried(monkeypatch, data, tmp_path):
    monkeypatch.setattr("striate.fitting.methods.wide.TIME_SHARE", 0.0)
    said = []
    striate.fit(data, out=tmp_path / "r", progress=said.append)
    assert any("hydra would take about" in line for line in said)


def test_a_kind_without_wide_features_says_so(tmp_path):
    inputs = GraphInputs(node_mean=(0.0,), node_std=(1.0,))
    assert Wide.network_of(Wide(), "auto", kind_named("graph").defaults(inputs)) is None
    assert create_model("hydra", input_size=40).num_features == 3072
