"""The report holds what the metrics say, in the documented keys, as strict JSON."""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as sk

from striate.metrics.calibration import softmax
from striate.metrics.classification import evaluate
from striate.metrics.intervals import Estimate
from striate.tasks.classification.report import ClassificationReport, TestFigures, build_report

CONTRACT = {
    "task", "classes", "split_sizes", "method", "model", "seconds", "test", "per_class",
    "confusion", "baselines", "data_issues", "throughput", "task_kind", "candidates",
}  # fmt: skip
TEST_KEYS = {
    "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "ece", "ece_uncalibrated",
}  # fmt: skip


def strict_json(report):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(report.model_dump_json(), parse_constant=refuse)


def test_the_documented_keys_are_there(make_inputs):
    content = strict_json(build_report(*make_inputs()))
    assert content.keys() >= CONTRACT
    assert content["test"].keys() == TEST_KEYS
    for figure in content["test"].values():
        low, high = figure["ci95"]
        assert low <= figure["value"] <= high
    assert content["seconds"].keys() == {
        "total", "first_baseline", "features", "train", "evaluate",
    }  # fmt: skip
    assert content["baselines"].keys() == {"majority", "probe"}


def test_the_report_survives_json(make_inputs):
    report = build_report(*make_inputs())
    assert ClassificationReport.model_validate_json(report.model_dump_json()) == report


def test_figures_are_those_of_the_calibrated_probabilities(make_inputs):
    facts, test = make_inputs(classes=("a", "b", "c"))
    report = build_report(facts, test)
    probabilities = test.calibration.answers(test.outputs)
    assert report.test.log_loss.value == pytest.approx(
        sk.log_loss(test.truth, probabilities), abs=1e-12
    )
    before = evaluate(softmax(test.outputs), test.truth).metrics["ece"]
    assert report.test.ece_uncalibrated.value == before.value
    assert report.test.ece.value != before.value
    np.testing.assert_array_equal(
        report.confusion, sk.confusion_matrix(test.truth, probabilities.argmax(1))
    )
    assert sum(report.reliability.count) == len(test.truth)


def test_the_majority_baseline_knows_the_training_shares_only(make_inputs):
    facts, test = make_inputs()
    majority = build_report(facts, test).baselines.majority
    assert majority.accuracy.value == (test.truth == 0).mean()
    assert majority.roc_auc.value == 0.5
    assert majority.log_loss.value == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_the_probe_baseline_is_evaluated(make_inputs):
    _, test = make_inputs()
    facts, test = make_inputs(test={"probe": softmax(test.outputs, 9)})
    report = build_report(facts, test)
    assert report.baselines.probe.accuracy.value == report.test.accuracy.value
    assert report.baselines.probe.log_loss.value > report.test.log_loss.value


def test_the_worst_mistakes_come_surest_first(make_inputs):
    facts, test = make_inputs(signal=1.0)
    report = build_report(facts, test)
    sureness = [mistake.probability for mistake in report.worst_mistakes]
    assert len(sureness) == 12
    assert sureness == sorted(sureness, reverse=True)
    probabilities = test.calibration.answers(test.outputs)
    wrong = probabilities.argmax(1) != test.truth
    assert sureness[0] == probabilities.max(1)[wrong].max()
    for mistake in report.worst_mistakes:
        i = test.ids.index(mistake.id)
        assert mistake.label == facts.classes[test.truth[i]] != mistake.prediction
        assert mistake.label_probability == probabilities[i, test.truth[i]]


def test_skipped_items_are_gathered_by_reason_and_warnings_come_first(make_inputs):
    issues = build_report(*make_inputs()).data_issues
    assert [(issue.code, issue.count) for issue in issues] == [
        ("skipped", 2), ("label-conflict", 2), ("format", 0),
    ]  # fmt: skip
    assert issues[0].ids == ("c.jpg", "d.jpg")


def test_a_leak_is_left_out_of_a_second_set_of_figures(make_inputs):
    leaked = np.arange(120) < 40
    facts, test = make_inputs(test={"leaked": leaked})
    leaks = build_report(facts, test).leaks
    expected = evaluate(softmax(test.outputs, 2.0)[~leaked], test.truth[~leaked])
    assert leaks.num_items == 80
    assert leaks.test.accuracy.value == expected.metrics["accuracy"].value
    assert build_report(*make_inputs()).leaks is None


def test_copies_widen_the_interval(make_inputs):
    apart = build_report(*make_inputs()).test.accuracy.ci95
    grouped = build_report(*make_inputs(test={"groups": np.arange(120) // 4})).test.accuracy.ci95
    assert grouped[1] - grouped[0] > apart[1] - apart[0]


def test_a_class_without_test_items_gives_null_and_a_reason(make_inputs):
    facts, test = make_inputs(test={"truth": np.zeros(120, int)})
    content = strict_json(build_report(facts, test))
    assert content["test"]["roc_auc"] == {
        "value": None, "ci95": None, "reason": "1 of 2 classes have no item here",
    }  # fmt: skip
    assert content["per_class"][1]["recall"]["value"] is None


def test_history_that_is_not_finite_becomes_null(make_inputs):
    facts, test = make_inputs(history=[{"epoch": 1, "train_loss": math.nan}])
    assert strict_json(build_report(facts, test))["history"] == [{"epoch": 1, "train_loss": None}]


def test_nan_is_refused():
    with pytest.raises(ValidationError):
        TestFigures(**dict.fromkeys(TEST_KEYS, Estimate(value=math.nan)))


def test_the_surest_answers_are_wrong_less_often(make_inputs):
    facts, test = make_inputs()
    selective = build_report(facts, test).selective
    probabilities = test.calibration.answers(test.outputs)
    right = probabilities.argmax(1) == test.truth
    assert selective.coverage[-1] == 1 and selective.risk[-1] == pytest.approx(1 - right.mean())
    share = 0.5
    risk, threshold = selective.at(share)
    kept = probabilities.max(1) >= threshold - 1e-9
    assert kept.mean() >= share and risk == pytest.approx(1 - right[kept].mean())
    low, high = selective.area.ci95
    assert low <= selective.area.value <= high
