"""`fit`, `predict`, `eval`, `compare` and `explain` of signals, volumes, molecules, and numbers."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from sklearn.metrics import accuracy_score, mean_absolute_error

import striate
from striate.errors import ArgumentError, DataError, StoppedError, UnknownNameError
from striate.run.explain import explain_inputs


def waves(count, length=64):
    """Slow and fast waves in noise, two channels, and their frequency."""
    rng = np.random.default_rng(7)
    time = np.arange(length) / length
    rate = np.where(np.arange(count) % 2, 9.0, 4.0) + rng.uniform(-1, 1, count)
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    wave = np.sin(2 * np.pi * rate[:, None, None] * time + phase)
    return (wave + 0.2 * rng.normal(size=(count, 2, length))).astype(np.float32), rate


def blobs(count, side=16):
    """A small or a large ball in noise."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.mgrid[:side, :side, :side]) - side / 2
    radius = np.where(np.arange(count) % 2, 5.5, 3.0)
    ball = (grid**2).sum(0) < radius[:, None, None, None] ** 2
    return (ball + 0.3 * rng.normal(size=ball.shape)).astype(np.float32)


def write_pair(folder, items, answers):
    folder.mkdir()
    np.save(folder / "X.npy", items)
    np.save(folder / "y.npy", answers)
    return folder


def rows_of(run, split):
    with (run.folder.path / "predictions.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    items, rate = waves(60)
    names = np.where(rate > 6.5, "fast", "slow")
    return write_pair(tmp_path_factory.mktemp("data") / "waves", items, names)


@pytest.fixture(scope="module")
def signal_run(signals, tmp_path_factory):
    return striate.fit(signals, out=tmp_path_factory.mktemp("runs") / "waves", method="probe")


@pytest.fixture(scope="module")
def number_run(tmp_path_factory):
    items, rate = waves(60)
    data = write_pair(tmp_path_factory.mktemp("data") / "rates", items, rate + 0.01)
    return striate.fit(data, out=tmp_path_factory.mktemp("runs") / "rates", method="probe")


def test_signals_are_learnt_by_a_probe_of_frozen_features(signal_run):
    assert (signal_run.record.kind, signal_run.record.task) == ("signal", "classification")
    assert signal_run.record.model.name == "minirocket"
    assert signal_run.metrics["accuracy"] == 1.0
    document = json.loads((signal_run.folder.path / "report.json").read_text())
    assert document["kind"] == "signal" and document["baselines"]["probe"] is not None


def test_predictions_of_signals_are_those_of_the_run(signal_run, signals):
    rows = rows_of(signal_run, "test")
    array = np.load(signals / "X.npy")
    chosen = [int(row["item"]) for row in rows]
    for prediction, row in zip(signal_run.predict([array[chosen]]), rows, strict=True):
        for name, value in zip(prediction.classes, prediction.probabilities, strict=True):
            assert value == pytest.approx(float(row[f"p_{name}"]), abs=1e-5)
    alone = signal_run.predict([array[chosen[0]]])
    assert len(alone) == 1 and alone[0].label == rows[0]["prediction"]


def test_evaluating_signals_on_the_whole_data(signal_run, signals):
    found = signal_run.evaluate(signals)
    assert found.num_items == 60
    assert found.metrics["accuracy"].value == 1.0


def test_explaining_a_signal_draws_it(signal_run, signals, tmp_path):
    np.save(tmp_path / "one.npy", np.load(signals / "X.npy")[0])
    for method in ("gradcam", "occlusion"):
        (found,) = explain_inputs(
            signal_run, [tmp_path / "one.npy"], method=method, out=tmp_path / "out"
        )
        assert found.path.suffix == ".svg"
        assert "<svg" in found.path.read_text()


def test_a_network_from_scratch_is_resumed_bit_for_bit(signals, tmp_path):
    options = {"method": "scratch", "epochs": 2, "model": "[conv8-relu]x2 - gap - fc2"}
    whole = striate.fit(signals, out=tmp_path / "whole", **options)
    asked = []

    def stop():
        asked.append(1)
        return len(asked) == 20

    with pytest.raises(StoppedError):
        striate.fit(signals, out=tmp_path / "cut", **options, stop=stop)
    again = striate.fit(signals, out=tmp_path / "cut", **options, resume=True)
    assert again.record.model.sha256 == whole.record.model.sha256
    assert whole.record.model.name == options["model"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "validation items cannot tell whether a trained network is better"),
        ({"epochs": 1}, "chance gives differences of"),
    ],
)
def test_few_validation_items_do_not_judge_a_network_unless_asked(options, said, signals, tmp_path):
    run = striate.fit(signals, out=tmp_path / "run", **options)
    assert any(said in c.why for c in run.report.choices if c.topic == "method")


def test_numbers_are_predicted_with_an_interval(number_run):
    assert (number_run.record.task, number_run.classes) == ("regression", ())
    rows = rows_of(number_run, "test")
    truth, said = ([float(row[name]) for row in rows] for name in ("target", "prediction"))
    assert number_run.metrics["mae"] == pytest.approx(mean_absolute_error(truth, said), rel=1e-6)
    assert number_run.metrics["r2"] > 0.8
    assert all(float(row["low"]) < float(row["prediction"]) < float(row["high"]) for row in rows)
    html = (number_run.folder.path / "report.html").read_text()
    assert "NaN" not in html


def test_predicting_numbers_gives_numbers(number_run):
    items, _ = waves(60)
    rows = rows_of(number_run, "test")
    found = number_run.predict([items[[int(row["item"]) for row in rows]]])
    assert all(prediction.value is not None for prediction in found)
    for prediction, row in zip(found, rows, strict=True):
        assert prediction.value == pytest.approx(float(row["prediction"]), abs=1e-5)
        assert "±" in prediction.as_text()


def test_runs_of_numbers_are_compared(number_run):
    found = number_run.compare(number_run)
    assert found.as_json()["differences"]["mae"]["value"] == 0
    assert "Wilcoxon" in found.as_text()


def test_volumes_are_learnt_and_drawn_in_slices(tmp_path):
    names = np.where(np.arange(24) % 2, "large", "small")
    data = write_pair(tmp_path / "balls", blobs(24), names)
    run = striate.fit(data, out=tmp_path / "run", method="probe")
    assert (run.record.kind, run.metrics["accuracy"]) == ("volume", 1.0)
    (found,) = explain_inputs(run, [blobs(24)[1]], out=tmp_path / "out")
    assert found.path.suffix == ".png"


def test_numbers_of_images(draw, tmp_path):
    lines = ["path,target"]
    for seed in range(48):
        Image.fromarray(draw(("disc", "stripes")[seed % 2], seed)).save(tmp_path / f"{seed}.png")
        lines.append(f"{seed}.png,{-2 + 3 * (seed % 2) + seed / 100}")
    (tmp_path / "numbers.csv").write_text("\n".join(lines))
    run = striate.fit(tmp_path / "numbers.csv", out=tmp_path / "run", method="probe", image_size=64)
    assert run.record.task == "regression"
    rows = rows_of(run, "test")
    truth, said = ([float(row[name]) for row in rows] for name in ("target", "prediction"))
    assert run.metrics["mae"] == pytest.approx(mean_absolute_error(truth, said), rel=1e-6)
    assert run.metrics["r2"] > 0.5
    found = run.predict([tmp_path / row["item"] for row in rows])
    assert [p.value for p in found] == pytest.approx(said, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 32}, "`image_size=32`: it is of no use for signals"),
        ({"symmetry": "flips"}, "`symmetry='flips'`: it is of no use for signals"),
        (
            {"method": "kernel"},
            "`method='kernel'`: no features of every scale are known for signals; "
            "choose probe or wide or scratch",
        ),
        ({"method": "finetune"}, "no pretrained weights for signals"),
    ],
)
def test_what_would_be_ignored_is_refused(options, said, signals, tmp_path):
    with pytest.raises(ArgumentError, match=said):
        striate.fit(signals, out=tmp_path / "run", **options)


def test_options_of_a_kind_are_refused_for_images(photos, tmp_path):
    with pytest.raises(ArgumentError, match="unknown option of images 'input'"):
        striate.fit(photos, out=tmp_path / "run", options={"input": "mel"})


def test_predictions_of_accuracy_agree_with_the_file(signal_run):
    rows = rows_of(signal_run, "test")
    labels, said = [row["label"] for row in rows], [row["prediction"] for row in rows]
    assert signal_run.metrics["accuracy"] == accuracy_score(labels, said)


def test_molecules_are_learnt_and_drawn(tmp_path):
    chains = [("C" * length, "alkane") for length in range(2, 22)]
    chains += [("C" * length + "O", "alcohol") for length in range(2, 22)]
    lines = ["smiles,label", *(f"{smiles},{name}" for smiles, name in chains)]
    (tmp_path / "chains.csv").write_text("\n".join(lines))
    run = striate.fit(tmp_path / "chains.csv", out=tmp_path / "run", epochs=2, model="gin_small")
    assert (run.record.kind, run.record.method) == ("graph", "scratch")
    found = run.predict(["CCCCO", "CCCC"])
    assert [prediction.id for prediction in found] == ["CCCCO", "CCCC"]
    assert sum(found[0].probabilities) == pytest.approx(1)
    (drawn,) = explain_inputs(run, ["CCCCO"], out=tmp_path / "out")
    assert "<svg" in drawn.path.read_text()


@pytest.fixture(scope="module")
def node_run(tmp_path_factory):
    """Two circles of nodes with a tie between them; features tell nothing."""
    folder = tmp_path_factory.mktemp("data") / "circles"
    folder.mkdir()
    lines = ["id,label,f0"]
    lines += [
        f"n{n},{'left' if n < 20 else 'right'},{(n * 7) % 5 + 20 * (n < 20)}" for n in range(40)
    ]
    (folder / "nodes.csv").write_text("\n".join(lines))
    ties = [(n, n + 1 if n % 20 < 19 else n - 19) for n in range(40)] + [(0, 20)]
    lines = ["source,target", *(f"n{a},n{b}" for a, b in ties)]
    (folder / "edges.csv").write_text("\n".join(lines))
    out = tmp_path_factory.mktemp("runs") / "circles"
    return folder, striate.fit(folder, out=out, epochs=1)


def test_nodes_are_classified_in_their_graph(node_run):
    folder, run = node_run
    assert run.record.model.options["level"] == "node"
    rows = {row["item"]: row for row in rows_of(run, "test")}
    found = {prediction.id: prediction for prediction in run.predict(folder)}
    assert len(found) == 40
    for item, row in rows.items():
        assert found[item].probabilities[0] == pytest.approx(float(row["p_left"]), abs=1e-5)
    assert run.evaluate(folder).num_items == 40


def test_a_node_needs_its_graph(node_run, tmp_path):
    _, run = node_run
    for inputs in (["n1"], [], [np.zeros((2, 3))], ["sample:freesolv", "n1"]):
        with pytest.raises(DataError, match="is no graph of nodes; name the graph"):
            list(explain_inputs(run, inputs, out=tmp_path))
    with pytest.raises(DataError, match="a is no graph of nodes"):
        run.predict(["a", "b"])


def test_nodes_are_explained_in_their_graph(node_run, tmp_path):
    folder, run = node_run
    drawn = list(explain_inputs(run, [folder, "n0", "n25"], out=tmp_path))
    said = {prediction.id: prediction.answer() for prediction in run.predict(folder)}
    assert [(d.item, d.prediction.answer(), d.path.name) for d in drawn] == [
        ("n0", said["n0"], "n0-gradcam.svg"),
        ("n25", said["n25"], "n25-gradcam.svg"),
    ]
    assert 'font-weight="bold">n25</text>' in drawn[1].path.read_text()
    assert len(list(explain_inputs(run, [folder], out=tmp_path / "all"))) == 40
    with pytest.raises(UnknownNameError, match="'n40'; did you mean 'n4'"):
        list(explain_inputs(run, [folder, "n0", "n40"], out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def chance_run(tmp_path, column):
    """Nodes whose answers nobody could know."""
    rng = np.random.default_rng(0)
    lines = [f"id,{column},f0", *(f"n{n},{n % 7 % 3},{rng.normal():.3f}" for n in range(60))]
    (tmp_path / "nodes.csv").write_text("\n".join(lines))
    lines = ["source,target", *(f"n{n},n{(n * 3 + 1) % 60}" for n in range(60))]
    (tmp_path / "edges.csv").write_text("\n".join(lines))
    return striate.fit(tmp_path, out=tmp_path / "run", epochs=1)


def test_numbers_of_nodes_are_explained(tmp_path):
    run = chance_run(tmp_path, "target")
    (drawn,) = explain_inputs(run, [tmp_path, "n3"], out=tmp_path / "out", method="saliency")
    said = next(found for found in run.predict(tmp_path) if found.id == "n3")
    assert (
        drawn.prediction.answer() == said.answer()
        and drawn.target is None
        and said.value is not None
    )
    assert "nodes within 3 steps" in drawn.path.read_text()
    with pytest.raises(ArgumentError, match="`target='3'`: the run predicts a number"):
        list(explain_inputs(run, [tmp_path, "n3"], out=tmp_path / "out", target="3"))


@pytest.mark.parametrize("column", ["label", "target"])
def test_the_worst_mistakes_of_nodes_are_drawn(column, tmp_path):
    run = chance_run(tmp_path, column)
    page = (run.folder.path / "report.html").read_text()
    assert page.count("data:image/svg+xml") == len(run.report.worst_mistakes) > 2


def test_an_estimator_of_signals():
    items, rate = waves(40)
    labels = (rate > 6.5).astype(int)
    estimator = striate.Classifier(kind="signal", method="probe").fit(items, labels)
    assert (estimator.predict(items) == labels).mean() > 0.9
    assert estimator.predict_proba(items[:3]).shape == (3, 2)


def test_sounds_are_learnt_from_their_spectrograms(tmp_path):
    moments = np.arange(4000) / 8000
    for number in range(32):
        folder = tmp_path / "sounds" / ("high", "low")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * (1500, 300)[number % 2] * moments + number)
        wavfile.write(folder / f"{number}.wav", 8000, (tone * 20000).astype(np.int16))
    run = striate.fit(tmp_path / "sounds", out=tmp_path / "run", method="probe")
    assert run.record.model.name == "efficientnet_lite0"
    assert run.metrics["accuracy"] == 1.0
    (drawn,) = explain_inputs(run, [tmp_path / "sounds" / "low" / "1.wav"], out=tmp_path / "out")
    assert "<svg" in drawn.path.read_text()
