"""`fit(folds=...)`: every item tested once, by a fold that never saw it or its copies."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

import striate
from striate.data.layouts.arrays import ArraySource
from striate.data.splits import fold_numbers, learning_splits
from striate.errors import ArgumentError, DataError, StoppedError
from striate.fitting import folds as folds_of
from striate.fitting.baseline import Baseline
from striate.metrics.classification import evaluate
from striate.metrics.intervals import Estimate, fold_widening, widened

OPTIONS = {"method": "probe", "image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def copied(photos, tmp_path_factory):
    """The pictures, with four copies of one."""
    root = tmp_path_factory.mktemp("data") / "photos"
    shutil.copytree(photos, root)
    for number in range(4):
        shutil.copy(root / "disc" / "01.png", root / "disc" / f"copy-{number}.png")
    return root


@pytest.fixture(scope="module")
def run(copied, tmp_path_factory):
    return striate.fit(copied, out=tmp_path_factory.mktemp("runs") / "folds", folds=3, **OPTIONS)


def test_every_item_is_tested_once(run):
    rows = run.folder.read_csv("predictions.csv")
    assert len(rows) == len({row["item"] for row in rows}) == 64
    assert {row["split"] for row in rows} == {"test"}
    tested = Counter(row["fold"] for row in rows)
    assert tested == {str(fold.fold): fold.num_items for fold in run.report.folds.by_fold}
    assert set(tested) == {"1", "2", "3"}
    copies = {row["fold"] for row in rows if "copy" in row["item"] or row["item"] == "disc/01.png"}
    assert len(copies) == 1


def test_figures_are_those_of_the_pooled_predictions(run):
    rows = run.folder.read_csv("predictions.csv")
    classes = list(run.classes)
    labels = np.array([classes.index(row["label"]) for row in rows])
    probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    told, report = evaluate(probabilities, labels).metrics, run.report
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"):
        assert getattr(report.test, name).value == pytest.approx(told[name].value, abs=1e-6)
    assert report.split_sizes["test"] == 64 and report.leaks is None
    assert report.split_sizes["train"] + report.split_sizes["val"] == 64
    assert np.sum(report.confusion) == 64
    for fold in report.folds.by_fold:
        of_fold = [row for row in rows if row["fold"] == str(fold.fold)]
        right = np.mean([row["label"] == row["prediction"] for row in of_fold])
        assert fold.metrics["accuracy"].value == pytest.approx(right)


def test_intervals_are_wider_than_those_of_one_model(run):
    accuracy = run.report.test.accuracy
    groups = run.report.folds
    assert groups.widening == pytest.approx(np.sqrt(1 + 3 / 2))
    low, high = accuracy.ci95
    assert 0 <= low < accuracy.value <= high <= 1
    page = (run.folder.path / "report.html").read_text()
    assert "Fold by fold" in page and "each tested by a model that was made without it" in page
    assert "64, each in one of 3 folds" in run.summary()


def test_the_final_model_has_learnt_from_all_items(run, copied):
    locked = json.loads((run.folder.path / "data.lock.json").read_text())
    assert {item["split"] for item in locked["items"]} == {"train", "val"}
    assert run.evaluate(copied).num_known == 64
    assert run.predict(copied / "disc" / "02.png")[0].label in run.classes
    assert not list((run.folder.path / "checkpoints").glob("fold-*"))


def test_frozen_features_are_taken_once_for_all_folds(tmp_path, monkeypatch, draw):
    """Of pictures of 64 pixels and one size nothing in them depends on the fold; the result is the same bit for bit."""
    pictures = np.stack([draw(shape, k) for k in range(12) for shape in ("disc", "stripes")])
    options, taken = {"folds": 3, "method": "probe", "image_size": 64, "device": "cpu"}, []
    extracted = Baseline._extracted

    def counted(baseline):
        taken.append(baseline)
        return extracted(baseline)

    monkeypatch.setattr(Baseline, "_extracted", counted)
    runs = []
    for name in ("shared", "apart"):
        source = ArraySource(pictures, ["disc", "stripes"] * 12, name="pictures")
        runs.append(striate.fit(source, out=tmp_path / name, **options))
        assert len(taken) == {"shared": 1, "apart": 5}[name]  # three folds and the final model
        monkeypatch.setattr(Baseline, "_shared", counted)
    first, second = (run.folder.read_csv("predictions.csv") for run in runs)
    assert first == second


def test_a_fit_that_was_stopped_goes_on_with_the_next_fold(copied, run, tmp_path, monkeypatch):
    done = []
    made = folds_of._made

    def counted(context, learn, number, tested, seconds):
        if number == 1 and len(done) == 1:
            raise StoppedError
        done.append(number)
        return made(context, learn, number, tested, seconds)

    monkeypatch.setattr(folds_of, "_made", counted)
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        striate.fit(copied, out=out, folds=3, **OPTIONS)
    assert done == [0]
    done.append("stopped")
    again = striate.fit(copied, out=out, folds=3, resume=True, **OPTIONS)
    assert done == [0, "stopped", 1, 2]
    assert again.folder.read_csv("predictions.csv") == run.folder.read_csv("predictions.csv")


def test_folds_that_cannot_be(copied, tmp_path):
    with pytest.raises(ArgumentError, match="at least 2"):
        striate.fit(copied, out=tmp_path / "one", folds=1, **OPTIONS)
    with pytest.raises(ArgumentError, match=r"only \d+ items that are no copies"):
        striate.fit(copied, out=tmp_path / "many", folds=61, **OPTIONS)
    alone = tmp_path / "alone"
    shutil.copytree(copied, alone)
    (alone / "single").mkdir()
    shutil.copy(copied / "disc" / "02.png", alone / "single" / "other.png")
    (alone / "disc" / "02.png").unlink()
    with pytest.raises(DataError, match="'single' has one item"):
        striate.fit(alone, out=tmp_path / "few", folds=3, **OPTIONS)


def test_folds_hold_groups_together_and_classes_in_proportion():
    rng = np.random.default_rng(0)
    strata, groups = rng.integers(0, 4, 400), np.repeat(np.arange(200), 2)
    strata = strata[groups]  # of one group, one class
    numbers = fold_numbers(strata, groups, 5, seed=1)
    assert all(len(set(numbers[groups == group])) == 1 for group in range(200))
    counts = np.array([np.bincount(strata[numbers == fold], minlength=4) for fold in range(5)])
    assert np.ptp(counts, axis=0).max() <= 2
    splits = learning_splits(strata, groups, numbers == 2, seed=1)
    assert set(splits[numbers == 2]) == {"test"} and set(splits[numbers != 2]) == {"train", "val"}
    assert all(len(set(splits[groups == group])) == 1 for group in range(200))


def test_intervals_are_widened_within_their_bounds():
    figure = Estimate(value=0.9, ci95=(0.8, 0.95))
    assert widened(figure, 2.0, 0.0, 1.0).ci95 == pytest.approx((0.7, 1.0))
    assert widened(Estimate(value=None, reason="none"), 2.0, 0.0, 1.0).ci95 is None
    assert fold_widening(2) == pytest.approx(np.sqrt(3))


def test_widened_intervals_hold_the_error_of_the_final_model():
    """At least 93 of 100, where those of independent items hold fewer than 90 (ridge classifiers)."""
    rng = np.random.default_rng(0)
    num_items, num_features, num_folds, trials = 200, 50, 5, 150
    centre = np.zeros(num_features)
    centre[0] = 0.6
    held = np.zeros((trials, 2))
    for trial in range(trials):
        labels = np.repeat([-1.0, 1.0], num_items // 2)
        x = rng.normal(size=(num_items, num_features)) + labels[:, None] * centre
        fold = rng.permutation(num_items) % num_folds

        def fitted(kept, x=x, labels=labels):
            products = x[kept].T @ x[kept] + np.eye(num_features)
            return np.linalg.solve(products, x[kept].T @ labels[kept])

        wrong = np.empty(num_items)
        for k in range(num_folds):
            inside = fold == k
            wrong[inside] = np.sign(x[inside] @ fitted(~inside)) != labels[inside]
        final = fitted(np.ones(num_items, bool))
        from scipy.stats import norm

        error = norm.cdf(-(final @ centre) / np.linalg.norm(final))
        from striate.metrics.intervals import share_estimate

        plain = share_estimate(float(wrong.mean()), np.arange(num_items))
        for column, figure in enumerate(
            (plain, widened(plain, fold_widening(num_folds), 0.0, 1.0))
        ):
            low, high = figure.ci95
            held[trial, column] = low <= error <= high
    assert held[:, 0].mean() < 0.92
    assert held[:, 1].mean() >= 0.93
