"""A fit to good items alone, and all that can be done with its run."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import ArgumentError, DataError
from striate.fitting.options import FitOptions


def striped(rng, odd):
    """A picture of stripes; an odd one has a spot."""
    waves = np.sin(np.linspace(0, 12 * np.pi, 64) + rng.uniform(0, 6))
    pixels = 120 + 60 * waves[None, :] + rng.normal(0, 8, (64, 64))
    if odd:
        top, left = rng.integers(8, 44, 2)
        pixels[top : top + 12, left : left + 12] = 10
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def parts(tmp_path_factory, own_cache):
    folder, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(0)
    for name, count in (("fine", 30), ("spot", 6)):
        (folder / name).mkdir()
        for number in range(count):
            striped(rng, name == "spot").save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def run(parts, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "bank"
    return striate.fit(parts, good="fine", image_size=64, out=out, time="10m")


def test_odd_items_are_found_and_tested_alone(run):
    report = run.report
    assert (report.task_kind, report.method, report.model) == ("anomaly", "oneclass", "memory_bank")
    assert (report.good, report.num_odd) == ("fine", 6)
    assert report.test.roc_auc.value > 0.95 and report.test.recall.value > 0.8
    rows = run.folder.read_csv("predictions.csv")
    assert {row["split"] for row in rows if row["label"] == "odd"} == {"test"}
    (row,) = [row for row in rows if row["item"] == "spot/00.png"]
    (said,) = run.predict(run.record.data + "/spot/00.png")
    assert row["prediction"] == said.label == "odd"
    assert float(row["score"]) == pytest.approx(said.score, rel=1e-4)


def test_a_run_is_measured_on_new_data_and_explained(run, parts):
    figures = run.evaluate(parts).metrics
    assert figures["roc_auc"].value > 0.95 and figures["false_alarms"].value < 0.3
    (shown,) = run.explain(parts / "spot" / "01.png")
    assert shown.target == "odd" and shown.prediction.label == "odd"
    assert shown.method == "patch-distance"
    (blanked,) = run.explain(parts / "spot" / "01.png", method="occlusion")
    assert blanked.method == "occlusion"
    assert run.explain(parts / "spot" / "01.png", target="odd")[0].target == "odd"
    with pytest.raises(ArgumentError, match="what is odd, and nothing else"):
        run.explain(parts / "spot" / "01.png", target="fine")
    assert run.compare(run).result.p_value == 1.0


def test_the_page_and_the_card_say_what_is_promised(run):
    page = (run.folder.path / "report.html").read_text()
    assert "held-out good images" in page and "unlike “fine”" in page
    assert "held-out good images" in run.model_card()


def test_new_data_are_compared_with_known_ones_and_suggested(run, tmp_path):
    rng = np.random.default_rng(1)
    for number in range(12):
        striped(rng, odd=False).save(tmp_path / f"{number}.png")
    found = run.drift(tmp_path)
    assert {check["name"] for check in found.as_json()["checks"]} >= {"predictions"}
    assert len(run.suggest(tmp_path, 3).items) == 3


@pytest.mark.slow
def test_an_exported_bank_gives_the_same_scores_and_its_reader_the_verdicts(run, parts, tmp_path):
    pytest.importorskip("onnxruntime")
    from striate.run.export import export

    exported = export(run, "onnx", out=tmp_path / "model.onnx")
    assert exported.check.agrees
    paths = [str(path) for path in sorted(parts.rglob("0[0-5].png"))]
    command = [sys.executable, str(tmp_path / "predict.py"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    predicted = run.predict(paths)
    assert [entry["label"] for entry in found] == [prediction.label for prediction in predicted]
    assert {entry["label"] for entry in found} == {"odd", "like the good ones"}
    scores = [prediction.score for prediction in predicted]
    assert [entry["answer"] for entry in found] == pytest.approx(scores, abs=1e-3)
    assert exported.card["outputs"][1]["threshold"] == 1
    (judged,) = json.loads((tmp_path / "parity.json").read_text())["beside"]
    assert judged["name"] == "decision" and judged["same"] == judged["count"] > 6


def test_what_cannot_be_learnt_so_is_refused(parts, tmp_path):
    with pytest.raises(DataError, match="which of 2 classes is the good one"):
        striate.fit(parts, method="oneclass", out=tmp_path / "a")
    with pytest.raises(ArgumentError, match="'probe' does not use it"):
        striate.fit(parts, method="probe", good="fine", out=tmp_path / "b")
    with pytest.raises(ArgumentError, match="no pretrained maps of several scales for recordings"):
        striate.fit("sample:gun-point", good="1", out=tmp_path / "c")
    assert FitOptions().good is None
