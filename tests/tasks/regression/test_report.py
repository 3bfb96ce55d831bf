"""The report on predicted numbers: its figures, its sentences, its page."""

import json

import numpy as np
import pytest
import sklearn.metrics as sk
from pydantic import ValidationError
from sklearn.dummy import DummyRegressor

from striate.metrics.regression import REGRESSION_METRICS, PredictionInterval, evaluate_regression
from striate.report import Picture
from striate.tasks import task_named
from striate.tasks.classification.report import build_report as build_classification_report
from striate.tasks.regression.page import regression_verdict
from striate.tasks.regression.report import MAX_POINTS, build_report
from striate.tasks.regression.scoring import NumberCalibration

SVG = '<svg viewBox="0 0 9 9"><title>a&amp;b</title><circle id="c" r="3"/></svg>'


@pytest.fixture
def build(make_regression):
    return lambda **options: build_report(*make_regression(**options))


def told(report):
    return " ".join(regression_verdict(report).sentences)


def test_reports_are_read_back_by_their_own_task(build, make_inputs):
    for report in (build(), build_classification_report(*make_inputs())):
        document = json.loads(report.model_dump_json())
        assert task_named(document["task_kind"]).read_report(document) == report
        other = {"regression": "classification", "classification": "regression"}
        with pytest.raises(ValidationError):
            task_named(other[report.task_kind]).read_report(document)


def test_figures_are_scikit_learns(build, make_regression):
    _, test = make_regression()
    report = build()
    assert set(dict(report.test)) == set(REGRESSION_METRICS)
    assert report.test.mae.value == pytest.approx(
        sk.mean_absolute_error(test.truth, test.outputs[:, 0]), abs=1e-12
    )
    for figure in dict(report.test).values():
        low, high = figure.ci95
        assert low < figure.value < high
    dummy = DummyRegressor(strategy="constant", constant=3.1).fit([[0]], [0])
    constant = dummy.predict(np.zeros((150, 1)))
    mean = report.baselines.mean
    assert mean.rmse.value == pytest.approx(
        sk.root_mean_squared_error(test.truth, constant), abs=1e-12
    )
    assert mean.r2.value == pytest.approx(sk.r2_score(test.truth, constant), abs=1e-12)
    assert mean.pearson.value is None and mean.pearson.reason == "every prediction is the same"


def test_worst_mistakes_points_and_bins_are_those_of_the_items(build, make_regression):
    _, test = make_regression()
    report = build()
    errors = [abs(m.prediction - m.target) for m in report.worst_mistakes]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == np.abs(test.outputs[:, 0] - test.truth).max()
    assert len(errors) == 12
    first = test.ids.index(report.worst_mistakes[0].id)
    assert report.worst_mistakes[0].target == test.truth[first]
    assert report.scatter.targets == tuple(test.truth)
    counts, _ = np.histogram(test.outputs[:, 0] - test.truth, bins=report.residuals.edges)
    assert report.residuals.count == tuple(counts)
    assert sum(counts) == 150
    bins = len(np.histogram_bin_edges(test.outputs[:, 0] - test.truth, bins="fd")) - 1
    assert len(counts) == bins


def test_of_many_items_a_sample_is_shown(build, make_regression, page):
    _, test = make_regression(num_items=1200)
    report = build(num_items=1200)
    pairs = list(zip(report.scatter.targets, report.scatter.predictions, strict=True))
    assert len(set(pairs)) == len(pairs) == MAX_POINTS
    assert set(pairs) <= set(zip(test.truth, test.outputs[:, 0], strict=True))
    assert "500 of the 1200 test graphs, drawn at random" in page(report)


def test_exact_predictions_and_a_single_item_give_a_report(build, page):
    exact = build(test={"outputs": build_targets(150)[:, None]})
    assert exact.test.mae.value == 0 and exact.worst_mistakes == ()
    assert sum(exact.residuals.count) == 150
    assert 'id="mistakes"' in page(build()) and 'id="mistakes"' not in page(exact)
    one = build(num_items=1)
    assert one.test.r2.value is None
    shown = page(one)
    assert "there is only one item" in shown and "holds only 1 graph: " in shown


def build_targets(num_items):
    return np.random.default_rng(0).normal(3, 1.5, num_items)


def test_coverage_is_counted_on_the_test_items(build, make_regression):
    _, test = make_regression()
    held = np.abs(test.outputs[:, 0] - test.truth) <= test.calibration.interval.half_width
    assert build().interval.coverage.value == held.mean()


def test_a_leak_is_left_out_of_a_second_set_of_figures(build, make_regression):
    leaked = np.arange(150) < 40
    _, test = make_regression()
    leaks = build(test={"leaked": leaked}).leaks
    expected = evaluate_regression(test.outputs[:, 0][~leaked], test.truth[~leaked])
    assert (leaks.num_items, leaks.test.mae.value) == (110, expected["mae"].value)
    assert build().leaks is None


def test_the_verdict_says_how_far_off_and_how_much_better(build):
    report = build()
    verdict = regression_verdict(report)
    error, guess = report.test.mae.value, report.baselines.mean.mae.value
    assert verdict.headline == f"Its predictions are off by {error:.3f}\u00a0log mol/l on average"
    assert verdict.better_than_guessing
    less = round(100 * (1 - error / guess))
    assert verdict.sentences[0] == (
        f"Always predicting the training mean would be off by {guess:.2f}\u00a0log mol/l: the error "
        f"of this model is {less}\u00a0% smaller."
    )
    assert f"explains {round(100 * report.test.r2.value)}\u00a0% of how" in told(report)
    assert "For 90\u00a0% of new graphs the true value should lie within 0.823" in told(report)


def test_a_model_that_guesses_is_called_so(build):
    report = build(test={"outputs": np.full((150, 1), 3.0)})
    assert not regression_verdict(report).better_than_guessing
    assert "do not rely on this model yet" in regression_verdict(report).sentences[0]
    worse = build(test={"outputs": -build_targets(150)[:, None]})
    assert "It explains nothing of how the true values vary" in told(worse)


def test_the_probe_is_compared(build, make_regression, page):
    _, test = make_regression()
    probe = test.truth + 2 * (test.outputs[:, 0] - test.truth)
    report = build(test={"probe": probe})
    assert (
        "the error of this model is 50\u00a0% smaller." in regression_verdict(report).sentences[1]
    )
    assert "linear model" not in told(build(test={"probe": probe}, is_baseline=True))
    assert "Linear probe" in page(report) and "Linear probe" not in page(build())


def test_an_interval_that_does_not_hold_or_is_not_there_is_said(build, page):
    narrow = PredictionInterval(half_width=0.1, level=0.9, num_items=150)
    hopeful = NumberCalibration(interval=narrow)
    assert "less than promised" in told(build(test={"calibration": hopeful}))
    without = build(test={"calibration": NumberCalibration()})
    assert "it needs nine graphs at least" in told(without)
    assert "too few validation graphs to tell an interval" in page(without)


def test_the_page_has_no_part_of_a_classifier_and_says_the_items_own_name(build, page):
    shown = page(build(nouns=("molecule", "molecules")))
    assert "a number for molecules, in log mol/l" in shown
    assert 'id="confusion"' not in shown and 'id="reliability"' not in shown
    assert "graph" not in shown.replace("<style>", "").split("</style>")[1]
    assert shown.count('class="point"') == 150
    assert "Val mae" in shown


def test_the_unit_stands_behind_every_error(build, page):
    shown = page(build())
    for chart in (
        "true value (log mol/l)",
        "predicted (log mol/l)",
        "minus true value (log mol/l)",
    ):
        assert chart in shown
    assert shown.count("\u00a0log mol/l") > 12 + 9  # the mistakes, and three errors of three models


def test_drawings_are_images_of_their_own(build, page):
    report = build()
    pictures = {m.id: Picture(image=SVG) for m in report.worst_mistakes}
    shown = page(report, pictures)
    assert shown.count('src="data:image/svg+xml;base64,') == 12
    assert "What is marked raises its prediction most." in shown
    assert SVG not in shown and 'id="c"' not in shown


def test_nothing_is_shown_as_minus_zero(build, page):
    assert build().baselines.mean.r2.value < 0
    assert "-0.000" not in page(build())
