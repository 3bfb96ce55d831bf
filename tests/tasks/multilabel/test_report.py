"""The report and the page of several labels."""

import json

import numpy as np
import pytest

from striate.tasks import task_named
from striate.tasks.multilabel.metrics import evaluate
from striate.tasks.multilabel.page import multilabel_verdict
from striate.tasks.multilabel.report import MultilabelReport, build_report


def test_the_documented_keys_are_there(make_labelled):
    report = build_report(*make_labelled())
    content = json.loads(report.model_dump_json())
    assert content["task_kind"] == "multilabel"
    assert set(content["test"]) == {"map", "micro_f1", "macro_f1", "roc_auc"}
    assert set(content["per_class"][0]) >= {
        "name", "average_precision", "roc_auc", "f1", "precision", "recall", "threshold", "support",
    }  # fmt: skip
    assert MultilabelReport.model_validate_json(report.model_dump_json()) == report


def test_figures_are_those_of_the_calibrated_answers(make_labelled):
    facts, test = make_labelled()
    report = build_report(facts, test)
    probabilities = test.calibration.answers(test.outputs)
    decided = test.calibration.decided(probabilities)
    assert report.test.map == evaluate(probabilities, decided, test.truth).metrics["map"]
    first = report.worst_mistakes[0]
    number, k = int(first.id.removesuffix(".png")), facts.classes.index(first.label)
    assert decided[number, k] == first.said != test.truth[number, k]
    assert first.probability == probabilities[number, k]
    pairs = task_named("multilabel").mistakes(report, tuple(facts.classes))
    assert pairs[0] == (first.id, k)


def test_leaks_are_left_out_once_more(make_labelled):
    leaked = np.arange(120) < 10
    report = build_report(*make_labelled(test={"leaked": leaked}))
    assert report.leaks.num_items == 110
    assert report.leaks.test.map.value != report.test.map.value


@pytest.mark.parametrize(("signal", "better"), [(2.0, True), (0.0, False)])
def test_the_page_says_whether_it_is_better_than_chance(make_labelled, page, signal, better):
    report = build_report(*make_labelled(signal=signal))
    verdict = multilabel_verdict(report)
    assert verdict.better_than_guessing == better
    assert ("do not rely on this model" in " ".join(verdict.sentences)) != better
    html = page(report)
    assert "Label by label" in html and "Mean average precision" in html
    assert "Of 100 labels that it gives" in html


def test_few_items_and_odd_names_do_not_hurt_the_page(make_labelled, page):
    facts, test = make_labelled(num_items=6, test={"leaked": np.arange(6) == 0})
    report = build_report(facts, test)
    assert "Every label has fewer than 10 test images" in page(report)
    nothing = build_report(*make_labelled(test={"truth": np.zeros((120, 3), bool)}))
    assert nothing.test.map.value is None
    assert "cannot be judged" in page(nothing)
