"""The baseline of molecules and of other graphs: fit, predict, evaluate, explain, resume."""

import csv

import numpy as np
import pytest

import striate
from striate.errors import ArgumentError, StoppedError
from striate.run.explain import explain_inputs

ALKANES = ["C" * length for length in range(2, 22)]
ALCOHOLS = ["C" * length + "O" for length in range(2, 22)]


def written(path, column, answers):
    """A table of alkanes and then alcohols with an answer to each."""
    rows = zip([*ALKANES, *ALCOHOLS], answers, strict=True)
    path.write_text("\n".join([f"smiles,{column}", *(f"{s},{a}" for s, a in rows)]))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    names = ["alkane"] * 20 + ["alcohol"] * 20
    return written(tmp_path_factory.mktemp("data") / "chains.csv", "label", names)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return striate.fit(table, out=tmp_path_factory.mktemp("runs") / "chains", method="kernel")


def test_a_kernel_machine_learns_molecules(run):
    assert (run.record.method, run.record.model.name) == ("kernel", "graph_features")
    assert run.record.model.options["num_landmarks"] > 0
    assert run.metrics["accuracy"] == 1.0


def test_predictions_and_figures_are_those_of_the_run(run, table):
    with (run.folder.path / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    again = striate.load(run.folder.path)
    for prediction, row in zip(again.predict([r["item"] for r in rows]), rows, strict=True):
        assert prediction.label == row["prediction"]
        for name, value in zip(prediction.classes, prediction.probabilities, strict=True):
            assert value == pytest.approx(float(row[f"p_{name}"]), abs=1e-6)
    assert again.evaluate(table).metrics["accuracy"].value == 1.0


def test_molecules_are_explained_by_occlusion(run, tmp_path):
    (found,) = explain_inputs(run, ["CCCCO"], target="alcohol", out=tmp_path)
    assert found.method == "occlusion" and "<svg" in found.path.read_text()
    with pytest.raises(ArgumentError, match="of molecules as wholes, not of atoms; choose occl"):
        next(iter(explain_inputs(run, ["CCCCO"], method="gradcam", out=tmp_path)))


def test_a_killed_fit_ends_with_the_same_bits(table, run, tmp_path):
    class After:
        def __init__(self, looks):
            self.looks = looks

        def __call__(self):
            self.looks -= 1
            return self.looks < 0

    with pytest.raises(StoppedError):
        striate.fit(table, out=tmp_path / "r", method="kernel", stop=After(1))
    again = striate.fit(table, out=tmp_path / "r", method="kernel", resume=True)
    for name in ("model.safetensors", "predictions.csv"):
        assert (again.folder.path / name).read_bytes() == (run.folder.path / name).read_bytes()


@pytest.mark.parametrize("method", ["probe", "kernel"])
def test_numbers_are_learnt(method, tmp_path):
    length = [len(smiles) + 0.5 for smiles in (*ALKANES, *ALCOHOLS)]
    data = written(tmp_path / "lengths.csv", "target", length)
    run = striate.fit(data, out=tmp_path / "r", method=method)
    assert run.record.task == "regression" and run.metrics["r2"] > 0.9


def test_several_labels_are_learnt(tmp_path):
    labels = [
        "|".join(["alkane"] * (n < 20) + ["alcohol"] * (n >= 20) + ["long"] * (n % 20 > 9))
        for n in range(40)
    ]
    data = written(tmp_path / "labels.csv", "labels", labels)
    run = striate.fit(data, out=tmp_path / "r", method="kernel")
    assert run.record.task == "multilabel" and run.metrics["map"] > 0.9


def test_a_network_that_is_named_is_trained_alone(table, tmp_path):
    run = striate.fit(table, out=tmp_path / "r", model="gcn_small", epochs=1)
    assert (run.record.method, run.record.model.name) == ("scratch", "gcn_small")
    with pytest.raises(ArgumentError, match="gin has no features that are of use before"):
        striate.fit(table, out=tmp_path / "s", model="gin", method="kernel")


def rings_and_chains(folder, count=30):
    """A folder in TU format: chains of nodes, every second one closed to a ring."""
    rng = np.random.default_rng(0)
    edges, owner, start = [], [], 1
    for number in range(count):
        size = int(rng.integers(5, 12))
        ties = [(node, node + 1) for node in range(size - 1)]
        ties += [(size - 1, 0)] if number % 2 else []
        edges += [f"{a + start}, {b + start}\n{b + start}, {a + start}" for a, b in ties]
        owner += [str(number + 1)] * size
        start += size
    folder.mkdir()
    for name, lines in (
        ("A", edges),
        ("graph_indicator", owner),
        ("graph_labels", [str(number % 2) for number in range(count)]),
    ):
        (folder / f"RINGS_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_other_graphs_have_a_baseline_of_their_degrees(tmp_path):
    data = rings_and_chains(tmp_path / "RINGS")
    run = striate.fit(data, out=tmp_path / "r", method="probe")
    assert run.record.model.name == "graph_features"
    assert run.record.model.options["whole_channels"] == 0
    assert run.metrics["accuracy"] == 1.0
