"""`compare` of two finished runs on their common test items."""

import html
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

import striate
from striate.errors import DataError, RunError, RunWarning
from striate.run.compare import compare
from striate.run.evaluate.compared_page import compared_page


def test_a_run_against_itself_differs_in_nothing(probe_run):
    result = compare(probe_run, probe_run)
    assert result.num_items == probe_run.report.split_sizes["test"]
    assert (result.result.first_better, result.result.second_better) == (0, 0)
    assert result.result.p_value == 1
    assert all(e.value == 0 for e in result.result.differences.values())


def test_two_methods_on_one_split(probe_run, tuned_run):
    compared = compare(probe_run, tuned_run)
    right = []
    for run in (probe_run, tuned_run):
        rows = [r for r in run.folder.read_csv("predictions.csv") if r["split"] == "test"]
        right.append({r["item"]: r["prediction"] == r["label"] for r in rows})
    assert right[0].keys() == right[1].keys()
    only = [sum(a[i] and not b[i] for i in a) for a, b in (right, right[::-1])]
    result = compared.result
    assert [result.first_better, result.second_better] == only
    if sum(only):
        assert result.p_value == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    for name in ("accuracy", "log_loss"):
        difference = tuned_run.metrics[name] - probe_run.metrics[name]
        assert result.differences[name].value == pytest.approx(difference, abs=1e-6)
    assert set(compared.as_json()["differences"]) == set(result.differences)
    assert "McNemar" in compared.as_text()


def test_the_page_says_which_is_better_and_shows_where_they_disagree(probe_run, tuned_run):
    compared = compare(probe_run, tuned_run)
    page = html.unescape(compared_page(probe_run, tuned_run, compared))
    assert re.search("is clearly better|Neither is clearly better", page)
    result = compared.result
    for run, count in ((probe_run, result.first_better), (tuned_run, result.second_better)):
        assert (f"Right only in {run.folder.path}: {count}" in page) == (count > 0)
    assert "How fast they are" in page and "log loss" in page
    assert page.count("<figure>") == min(24, result.first_better) + min(24, result.second_better)
    assert ("data:image/jpeg;base64," in page) == (result.first_better + result.second_better > 0)
    assert "https://" not in page


def test_the_page_of_runs_whose_data_are_gone(probe_run, tuned_run, monkeypatch):
    def gone(data, kind):
        raise DataError("file not found")

    monkeypatch.setattr("striate.run.evaluate.compared_page.open_source", gone)
    page = compared_page(probe_run, tuned_run, compare(probe_run, tuned_run))
    assert "By how much" in page and "How fast they are" not in page
    assert "data:image" not in page


def test_other_classes_are_refused(probe_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)
    source = striate.Classifier(method="probe", image_size=32, out=str(tmp_path / "run"))
    source.fit(images, np.arange(24) % 2)
    with pytest.raises(RunError, match="has other classes than"):
        compare(probe_run, striate.load(tmp_path / "run"))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("-1", "+1", "=x"), id="formulas"),
        pytest.param(("label", "item", "prediction"), id="columns"),
        pytest.param(("split", "confidence", "caf\udce9"), id="odd"),
    ],
)
def test_classes_of_any_name(names, draw, own_cache, tmp_path):
    for name, shape in zip(names, ("disc", "square", "stripes"), strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.fromarray(draw(shape, number))
            image.save(tmp_path / "data" / name / f"{number}.png")
    options = {"method": "probe", "image_size": 32, "device": "cpu"}
    run = striate.fit(tmp_path / "data", out=tmp_path / "run", **options)
    result = compare(run, run).result
    assert (result.first_better, result.second_better, result.p_value) == (0, 0, 1.0)
    assert result.differences["log_loss"].value == 0


def test_missing_predictions_are_one_clear_error(probe_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(probe_run.folder.path, copy)
    (copy / "predictions.csv").unlink()
    with pytest.warns(RunWarning, match=r"predictions\.csv' is missing"):
        run = striate.load(copy)
    with pytest.raises(RunError, match=r"cannot read '.*predictions\.csv'"):
        compare(probe_run, run)
