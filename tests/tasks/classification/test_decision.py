"""Decisions from the calibration to the prediction, the table, the report and the page."""

import json

import numpy as np
import pytest
import torch

from striate.metrics.deciding.aim import Aim
from striate.metrics.deciding.decision import Decision, outcome
from striate.tasks import task_named
from striate.tasks.classification.deciding import chosen_point
from striate.tasks.classification.page import page_context
from striate.tasks.classification.report import ClassificationReport, build_report
from striate.tasks.classification.scoring import ClassCalibration

TASK = task_named("classification")
CLASSES = ("cat", "dog")


def logits_of(*rows):
    return torch.tensor(np.log(np.array(rows)))


def calibrated(make_inputs, **aim):
    """Facts and test items of a run with a decision, chosen on other items than these."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 400)
    logits = rng.normal(size=(400, 2))
    logits[np.arange(400), labels] += 1.0
    calibration = ClassCalibration(temperature=2.0).deciding(
        2 * logits, labels, Aim(**aim), CLASSES
    )
    return make_inputs(num_items=300, signal=1.0, test={"calibration": calibration})


def test_a_prediction_is_decided_as_the_run_was_told():
    decision = Decision(weights=(9.0, 1.0), of_class=0, cost_unknown=0.5)
    outputs = logits_of([0.09, 0.91], [0.2, 0.8], [0.96, 0.04])
    calibration = ClassCalibration(decision=decision)
    found = TASK.predictions(["a", "b", "c"], outputs, calibration, CLASSES)
    assert [p.label for p in found] == ["dog", "cat", "cat"]
    assert [p.confidence for p in found] == pytest.approx([0.91, 0.2, 0.96])
    assert [p.undecided for p in found] == [True, True, False]
    assert [p.output for p in found] == [1, 0, 0]
    assert found[1].as_text(2) == "b: I don't know (cat 20.0%, dog 80.0%)"
    assert found[2].as_text() == "c: cat 96.0%"
    assert found[1].to_json()["undecided"] is True
    cells = dict(zip(TASK.columns(CLASSES), TASK.cells(found[1]), strict=True))
    assert (cells["prediction"], cells["undecided"]) == ("cat", "true")


def test_without_an_aim_nothing_is_undecided():
    (found,) = TASK.predictions(["a"], logits_of([0.5, 0.5]), ClassCalibration(), CLASSES)
    assert found.undecided is None
    assert "undecided" not in found.to_json()
    assert "decision" not in ClassCalibration().to_json()


def test_a_calibration_keeps_its_decision():
    calibration = ClassCalibration(decision=Decision(weights=(1.0, 2.0), of_class=1))
    assert TASK.calibration(json.loads(json.dumps(calibration.to_json()))) == calibration


def test_figures_are_those_of_the_decision(make_inputs, page):
    facts, test = calibrated(make_inputs, target_recall={"dog": 0.95})
    report = build_report(facts, test)
    probabilities = test.calibration.answers(test.outputs)
    chosen = test.calibration.chosen(probabilities)
    told = report.decision
    assert report.test.accuracy.value == pytest.approx((chosen == test.truth).mean())
    assert report.per_class[1].recall.value == told.test.recall.value
    assert told.usual.recall.value == pytest.approx(
        (probabilities.argmax(1) == 1)[test.truth == 1].mean()
    )
    assert told.usual.recall.value < 0.9 < told.test.recall.value
    assert told.promised.recall >= 0.95
    assert ClassificationReport.model_validate_json(report.model_dump_json()) == report
    html = page(report)
    assert (
        "95 % of “dog” are to be found".replace(" %", "\u202f%") in html
        or "of “dog” are to be found" in html
    )
    assert "How it decides, as you asked" in html


def test_what_is_answered_at_a_cost_is_on_the_curve(make_inputs, page):
    facts, test = calibrated(make_inputs, cost_unknown=0.2)
    report = build_report(facts, test)
    probabilities = test.calibration.answers(test.outputs)
    answered = probabilities.max(1) >= 0.8
    told = report.decision
    assert told.test.answered.value == pytest.approx(answered.mean())
    wrong = (probabilities.argmax(1) != test.truth)[answered].mean()
    assert told.test.error.value == pytest.approx(wrong)
    across, up, text = chosen_point(report)
    assert (across, up) == (told.test.answered.value, told.test.error.value)
    assert "I don't know" in text
    assert 'class="dot s2"' in page_context(report)["selective"]["chart"]
    assert [row["name"] for row in page_context(report)["decision"]["rows"]] == [
        "answered",
        "wrong among the answered",
        "mean cost",
    ]
    assert "How it decides, as you asked" in page(report)


def test_without_an_aim_the_page_says_nothing_of_it(make_inputs, page):
    report = build_report(*make_inputs())
    assert report.decision is None
    assert "How it decides" not in page(report)


def test_costs_are_told_with_what_the_usual_answers_cost(make_inputs):
    facts, test = calibrated(make_inputs, error_costs={"dog": 10})
    report = build_report(facts, test)
    probabilities = test.calibration.answers(test.outputs)
    usual = outcome(test.calibration.decision, probabilities, test.truth, usual=True)
    assert report.decision.usual.cost.value == pytest.approx(usual.cost)
    assert report.decision.test.cost.value < usual.cost
    assert report.decision.threshold == pytest.approx(1 / 11)
    sentence = page_context(report)["decision"]["sentence"]
    assert "10 for “dog”" in sentence
