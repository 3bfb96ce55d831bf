"""The report on predicted numbers: its figures, its sentences, its page."""

import json

import numpy as np
import pytest
import sklearn.metrics as sk
from pydantic import ValidationError
from sklearn.dummy import DummyRegressor

from striate.metrics import REGRESSION_METRICS, PredictionInterval, evaluate_regression
from striate.report import (
    Picture,
    RegressionReport,
    Report,
    build_regression_report,
    build_report,
    read_report,
    regression_verdict,
    render_html,
    write_report,
)
from striate.report.build_regression import MAX_POINTS

SVG = '<svg viewBox="0 0 9 9"><title>a&amp;b</title><circle id="c" r="3"/></svg>'


@pytest.fixture
def build(make_regression):
    return lambda **options: build_regression_report(*make_regression(**options))


def told(report):
    return " ".join(regression_verdict(report).sentences)


def test_both_reports_are_read_back(build, make_inputs):
    for report in (build(), build_report(*make_inputs())):
        document = json.loads(report.model_dump_json())
        assert read_report(document) == report
    before = json.loads(build_report(*make_inputs()).model_dump_json())
    del before["task_kind"], before["nouns"]  # as they were written before there was regression
    assert isinstance(read_report(before), Report)
    with pytest.raises(ValidationError):
        read_report([])


def test_figures_are_scikit_learns(build, make_regression):
    _, test = make_regression()
    report = build()
    assert set(dict(report.test)) == set(REGRESSION_METRICS)
    assert report.test.mae.value == pytest.approx(
        sk.mean_absolute_error(test.targets, test.predictions), abs=1e-12
    )
    for figure in dict(report.test).values():
        low, high = figure.ci95
        assert low < figure.value < high
    dummy = DummyRegressor(strategy="constant", constant=3.1).fit([[0]], [0])
    constant = dummy.predict(np.zeros((150, 1)))
    mean = report.baselines.mean
    assert mean.rmse.value == pytest.approx(
        sk.root_mean_squared_error(test.targets, constant), abs=1e-12
    )
    assert mean.r2.value == pytest.approx(sk.r2_score(test.targets, constant), abs=1e-12)
    assert mean.pearson.value is None and mean.pearson.reason == "every prediction is the same"


def test_worst_mistakes_points_and_bins_are_those_of_the_items(build, make_regression):
    _, test = make_regression()
    report = build()
    errors = [abs(m.prediction - m.target) for m in report.worst_mistakes]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == np.abs(test.predictions - test.targets).max()
    assert len(errors) == 12
    first = test.ids.index(report.worst_mistakes[0].id)
    assert report.worst_mistakes[0].target == test.targets[first]
    assert report.scatter.targets == tuple(test.targets)
    counts, _ = np.histogram(test.predictions - test.targets, bins=report.residuals.edges)
    assert report.residuals.count == tuple(counts)
    assert sum(counts) == 150
    bins = len(np.histogram_bin_edges(test.predictions - test.targets, bins="fd")) - 1
    assert len(counts) == bins


def test_of_many_items_a_sample_is_shown(build, make_regression):
    _, test = make_regression(num_items=1200)
    report = build(num_items=1200)
    pairs = list(zip(report.scatter.targets, report.scatter.predictions, strict=True))
    assert len(set(pairs)) == len(pairs) == MAX_POINTS
    assert set(pairs) <= set(zip(test.targets, test.predictions, strict=True))
    assert "500 of the 1200 test graphs, drawn at random" in render_html(report)


def test_exact_predictions_and_a_single_item_give_a_report(build):
    exact = build(test={"predictions": build_targets(150)})
    assert exact.test.mae.value == 0 and exact.worst_mistakes == ()
    assert sum(exact.residuals.count) == 150
    assert 'id="mistakes"' in render_html(build()) and 'id="mistakes"' not in render_html(exact)
    one = build(num_items=1)
    assert one.test.r2.value is None
    page = render_html(one)
    assert "there is only one item" in page and "holds only 1 graph: " in page


def build_targets(num_items):
    return np.random.default_rng(0).normal(3, 1.5, num_items)


def test_coverage_is_counted_on_the_test_items(build, make_regression):
    _, test = make_regression()
    held = np.abs(test.predictions - test.targets) <= test.interval.half_width
    assert build().interval.coverage.value == held.mean()


def test_a_leak_is_left_out_of_a_second_set_of_figures(build, make_regression):
    leaked = np.arange(150) < 40
    _, test = make_regression()
    leaks = build(test={"leaked": leaked}).leaks
    expected = evaluate_regression(test.predictions[~leaked], test.targets[~leaked])
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
        f"That is {less}\u00a0% less than always predicting the training mean, which is off by "
        f"{guess:.2f}\u00a0log mol/l."
    )
    assert f"explains {round(100 * report.test.r2.value)}\u00a0% of how" in told(report)
    assert "For 90\u00a0% of new graphs the true value should lie within 0.823" in told(report)


def test_a_model_that_guesses_is_called_so(build):
    report = build(test={"predictions": np.full(150, 3.0)})
    assert not regression_verdict(report).better_than_guessing
    assert "do not rely on this model yet" in regression_verdict(report).sentences[0]
    worse = build(test={"predictions": -build_targets(150)})
    assert "It explains nothing of how the true values vary" in told(worse)


def test_the_probe_is_compared(build, make_regression):
    _, test = make_regression()
    probe = test.targets + 2 * (test.predictions - test.targets)
    report = build(test={"probe_predictions": probe})
    assert "It errs 50\u00a0% less than a linear model of the untouched features." in told(report)
    assert "Linear probe" in render_html(report) and "Linear probe" not in render_html(build())


def test_an_interval_that_does_not_hold_or_is_not_there_is_said(build):
    narrow = PredictionInterval(half_width=0.1, level=0.9, num_items=150)
    assert "less than promised" in told(build(test={"interval": narrow}))
    assert "needs nine graphs at least" in told(build(test={"interval": None}))
    assert "too small to tell an interval" in render_html(build(test={"interval": None}))


def test_the_page_has_no_part_of_a_classifier_and_says_the_items_own_name(build):
    page = render_html(build(nouns=("molecule", "molecules")))
    assert "a number for molecules, in log mol/l" in page
    assert 'id="confusion"' not in page and 'id="reliability"' not in page
    assert "graph" not in page.replace("<style>", "").split("</style>")[1]
    assert page.count('class="point"') == 150
    assert "Val mae" in page


def test_drawings_are_images_of_their_own(build):
    report = build()
    pictures = {m.id: Picture(image=SVG) for m in report.worst_mistakes}
    page = render_html(report, pictures)
    assert page.count('src="data:image/svg+xml;base64,') == 12
    assert "What is marked raises its prediction most." in page
    assert SVG not in page and 'id="c"' not in page


def test_both_files_are_written(build, tmp_path):
    report = build()
    write_report(report, None, tmp_path)
    assert read_report(json.loads((tmp_path / "report.json").read_text())) == report
    assert isinstance(report, RegressionReport)
    assert (tmp_path / "report.html").stat().st_size < 100_000


def test_nothing_is_shown_as_minus_zero(build):
    assert build().baselines.mean.r2.value < 0
    assert "-0.000" not in render_html(build())
