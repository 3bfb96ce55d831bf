"""Prediction sets from the calibration to the prediction, the table, the report and the page."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from striate.metrics.conformal import PredictionSets
from striate.tasks import task_named
from striate.tasks.classification.page import page_context
from striate.tasks.classification.report import ClassificationReport, build_report
from striate.tasks.classification.scoring import ClassCalibration

CLASSES = ("cat", "dog", "eel")
SETS = PredictionSets(thresholds=(0.5, 0.7, None), own=(True, True, False), level=0.9, num_items=90)


@pytest.fixture(scope="module")
def task():
    return task_named("classification")


def logits_of(*rows):
    return torch.tensor(np.log(np.array(rows)))


def test_a_prediction_names_its_set_the_likeliest_first(task):
    calibration = ClassCalibration(sets=SETS)
    outputs = logits_of([0.5, 0.3, 0.2], [0.1, 0.9, 1e-9], [0.3, 0.1, 0.6])
    found = task.predictions(["a", "b", "c"], outputs, calibration, CLASSES)
    # Scores: the half of the first class; then 0.5 + 0.3 / 2 + 0.01, and so on. No threshold, always.
    assert [prediction.prediction_set for prediction in found] == [
        ("cat", "dog", "eel"),
        ("dog", "eel"),
        ("eel",),
    ]
    assert found[0].to_json()["prediction_set"] == ["cat", "dog", "eel"]
    cells = dict(zip(task.columns(CLASSES), task.cells(found[0]), strict=True))
    assert cells["set"] == "cat|dog|eel"


def test_without_enough_items_there_is_no_set(task):
    (found,) = task.predictions(["a"], logits_of([0.5, 0.3, 0.2]), ClassCalibration(), CLASSES)
    assert found.prediction_set is None
    assert dict(zip(task.columns(CLASSES), task.cells(found), strict=True))["set"] == ""


def test_a_calibration_keeps_its_sets_and_an_older_one_has_none(task):
    calibration = ClassCalibration(temperature=2.0, sets=SETS)
    document = json.loads(json.dumps(calibration.to_json()))
    assert task.calibration(document) == calibration
    older = task.calibration({"temperature": 2.0, "bias": []})
    assert older == replace(calibration, sets=None)


def test_the_objective_fits_sets_to_the_items_it_calibrates_on(objective_with_labels):
    objective, outputs, indices = objective_with_labels
    calibration, _ = objective.calibrate(outputs, indices)
    members = calibration.sets.members(calibration.answers(outputs.numpy()))
    held = members[indices, objective.values[indices]].mean()
    assert calibration.sets.num_items == len(indices) and 0.9 <= held < 0.95


@pytest.fixture
def objective_with_labels(make_inputs):
    """An objective with 300 items in three classes, outputs for them, and their positions."""
    from striate.tasks.classification.target import ClassificationObjective

    _, test = make_inputs(classes=CLASSES, num_items=300, signal=1.0)
    objective = ClassificationObjective.__new__(ClassificationObjective)
    objective.values, objective.num_outputs = np.asarray(test.truth), 3
    return objective, torch.from_numpy(test.outputs), np.arange(300)


def report_of(make_inputs, calibration, signal=1.0):
    test = {"calibration": calibration}
    return build_report(*make_inputs(classes=CLASSES, num_items=300, signal=signal, test=test))


def test_the_report_counts_what_the_sets_hold(make_inputs):
    calibration = ClassCalibration(temperature=2.0, sets=SETS)
    _, test = make_inputs(classes=CLASSES, num_items=300, signal=1.0)
    report = report_of(make_inputs, calibration)
    members = SETS.members(calibration.answers(test.outputs))
    held = sum(row[label] for row, label in zip(members, test.truth, strict=True))
    assert report.sets.coverage.value == held / 300
    assert report.sets.mean_size == pytest.approx(members.sum() / 300)
    assert sum(report.sets.sizes) == 300 and report.sets.num_own == 2
    assert ClassificationReport.model_validate_json(report.model_dump_json()) == report


def test_a_report_of_an_earlier_version_is_read(make_inputs):
    document = report_of(make_inputs, ClassCalibration(temperature=2.0)).model_dump(mode="json")
    assert document.pop("sets") is None
    assert ClassificationReport.model_validate(document).sets is None


def test_the_page_says_what_share_of_the_sets_held_the_truth(make_inputs, page):
    fitted = ClassCalibration(temperature=2.0)
    _, test = make_inputs(classes=CLASSES, num_items=300, signal=1.0)
    fitted = fitted.with_sets(test.outputs, test.truth)
    report = report_of(make_inputs, fitted)
    told = page_context(report)["sets"]
    assert f"it did for {100 * report.sets.coverage.value:.0f}\u00a0%" in told
    assert f"{report.sets.mean_size:.1f} classes on average" in told
    assert "Which classes it may be" in page(report)
    assert "Which classes it may be" not in page(report_of(make_inputs, ClassCalibration()))


def test_sets_that_hold_too_little_are_said_to(make_inputs):
    narrow = replace(SETS, thresholds=(0.0, 0.0, 0.0))
    told = page_context(report_of(make_inputs, ClassCalibration(sets=narrow)))["sets"]
    assert "less than promised" in told
