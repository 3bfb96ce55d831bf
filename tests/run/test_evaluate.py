"""`evaluate` on a run's own test items and on new data."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

import striate
from striate.errors import DataError, RunError, RunWarning
from striate.run.evaluate import evaluate


def test_without_data_the_figures_are_those_of_the_report(tuned_run):
    result = evaluate(tuned_run)
    assert result.num_items == tuned_run.report.split_sizes["test"]
    for name, estimate in result.metrics.items():
        figure = getattr(tuned_run.report.test, name)
        assert (estimate.value, estimate.ci95) == (figure.value, figure.ci95)


def test_on_the_test_items_as_new_data_the_figures_are_the_same(tuned_run, photos, tmp_path):
    for row in tuned_run.folder.read_csv("predictions.csv"):
        if row["split"] == "test":
            target = tmp_path / "new" / row["item"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / row["item"], target)
    result = evaluate(tuned_run, tmp_path / "new")
    assert result.num_items == tuned_run.report.split_sizes["test"]
    for name, estimate in result.metrics.items():
        expected = getattr(tuned_run.report.test, name).value
        assert estimate.value == pytest.approx(expected, abs=1e-5), name


def test_on_new_data(probe_run, photos):
    result = evaluate(probe_run, photos)
    assert (result.data, result.num_items, result.num_skipped) == (str(photos), 60, 0)
    predictions = probe_run.predict(photos)
    labels = [prediction.id.split("/")[-2] for prediction in predictions]
    expected = balanced_accuracy_score(labels, [prediction.label for prediction in predictions])
    assert result.metrics["balanced_accuracy"].value == pytest.approx(expected)


def test_some_of_the_classes_are_enough(probe_run, photos, tmp_path):
    for name in ("disc", "stripes"):
        shutil.copytree(photos / name, tmp_path / "some" / name)
    (tmp_path / "some" / "disc" / "broken.png").write_bytes(b"")
    result = evaluate(probe_run, tmp_path / "some")
    assert (result.num_items, result.num_skipped) == (40, 1)
    assert np.isfinite(result.metrics["accuracy"].value)
    assert "1 left out" in result.as_text()


def test_a_class_the_model_does_not_know_is_named(probe_run, photos, tmp_path):
    shutil.copytree(photos / "disc", tmp_path / "new" / "disc")
    shutil.copytree(photos / "square", tmp_path / "new" / "cube")
    with pytest.raises(DataError) as caught:
        evaluate(probe_run, tmp_path / "new")
    assert "does not know: cube: it was trained on disc, square, stripes" in str(caught.value)
    assert "rename or remove them" in caught.value.fix and "may be" not in caught.value.fix


def test_a_class_that_is_spelt_otherwise_is_named_with_what_it_may_be(probe_run, photos, tmp_path):
    shutil.copytree(photos / "disc", tmp_path / "new" / "Disc")
    shutil.copytree(photos / "square", tmp_path / "new" / "squares")
    with pytest.raises(DataError) as caught:
        evaluate(probe_run, tmp_path / "new")
    assert "Disc may be disc, squares may be square" in caught.value.fix


def test_items_that_the_run_learnt_from_are_told_first_and_the_others_figured(probe_run, photos):
    result = evaluate(probe_run, photos)
    assert result.num_known == 60 - probe_run.report.split_sizes["test"]
    assert result.others["accuracy"].value == pytest.approx(probe_run.metrics["accuracy"])
    first, *rest = result.as_text().splitlines()
    assert first.startswith("warning: the run learnt from 51 of 60 items")
    assert any(line.startswith("9 of them that the run did not learn from") for line in rest)


def test_one_class_alone_is_figured_with_a_note(probe_run, photos, draw, tmp_path):
    (tmp_path / "new" / "disc").mkdir(parents=True)
    for number in range(100, 104):
        Image.fromarray(draw("disc", number)).save(tmp_path / "new" / "disc" / f"{number}.png")
    result = evaluate(probe_run, tmp_path / "new")
    assert (result.num_items, result.num_known, result.others) == (4, 0, {})
    assert result.metrics["accuracy"].value is not None
    assert result.metrics["roc_auc"].value is None
    assert result.notes == ("no item of square, stripes: the figures leave them out",)


def test_a_report_of_another_form_is_told_and_the_model_predicts(probe_run, photos, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(probe_run.folder.path, folder)
    (folder / "SHA256SUMS").unlink()
    document = json.loads((folder / "report.json").read_text())
    del document["reliability"]["interval"]
    (folder / "report.json").write_text(json.dumps(document))
    with pytest.warns(RunWarning, match="has no SHA256SUMS"):
        run = striate.load(folder)
    with pytest.raises(RunError, match="wrote it in another form"):
        run.summary()
    assert run.predict(photos / "disc" / "00.jpg")[0].label in run.classes


def test_each_look_at_the_test_items_is_logged_and_counted(probe_run, photos, tmp_path):
    shutil.copytree(probe_run.folder.path, tmp_path / "run")
    run = striate.load(tmp_path / "run", device="cpu")
    (run.folder.path / "test-openings.csv").unlink(missing_ok=True)
    size = run.report.split_sizes["test"]
    evaluate(run)  # the figures of the fit are no new look
    for count in (2, 3):
        notes = evaluate(run, photos).notes
        assert any(f"{size} test items" in note and f"{count} times now" in note for note in notes)
    rows = run.folder.read_csv("test-openings.csv")
    assert [(row["data"], row["items"]) for row in rows] == [(str(photos), str(size))] * 2
    tested = {row["item"] for row in run.folder.read_csv("predictions.csv")}
    others = [
        path for path in photos.rglob("*.*") if f"{path.parent.name}/{path.name}" not in tested
    ]
    for path in others:
        target = tmp_path / "others" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert not any("times now" in note for note in evaluate(run, tmp_path / "others").notes)
