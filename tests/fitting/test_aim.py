"""A fit that is told how to decide: from the command to the run that predicts."""

import numpy as np
import pytest

import striate
from striate.errors import ArgumentError, OptionError, UnknownNameError


def faint(path, seed=0):
    """Items of two classes that overlap, as an array file: series of 40 samples."""
    rng = np.random.default_rng(seed)
    labels = np.arange(240) % 2
    series = rng.normal(size=(240, 1, 40)).astype(np.float32)
    series[:, 0, 10:20] += labels[:, None] * rng.normal(0.7, 0.4, 240)[:, None]
    np.savez(path, X=series, y=np.array(["good", "bad"])[labels])
    return path


@pytest.fixture(scope="module")
def aimed(tmp_path_factory, own_cache):
    folder = tmp_path_factory.mktemp("aimed")
    return striate.fit(
        faint(folder / "a.npz"),
        out=folder / "run",
        method="probe",
        error_costs={"bad": 3},
        cost_unknown=0.5,
    )


def test_the_run_decides_as_it_was_told(aimed, tmp_path):
    document = aimed.record.calibration["decision"]
    assert document["weights"] == [3, 1]
    assert document["cost_unknown"] == 0.5
    assert document["promised"]["num_items"] > 100
    assert aimed.record.config["error_costs"] == {"bad": 3}
    found = aimed.predict(np.load(faint(tmp_path / "b.npz", 1))["X"])
    for prediction in found:
        bad, good = prediction.probabilities
        assert prediction.label == ("bad" if 3 * bad >= good else "good")
        assert prediction.undecided == (min(3 * bad, good) > 0.5)
    assert len({(p.label, p.undecided) for p in found}) >= 3
    rows = aimed.folder.read_csv("predictions.csv")
    undecided = [row["undecided"] == "true" for row in rows if row["split"] == "test"]
    answered = aimed.report.decision.test.answered.value
    assert np.mean(undecided) == pytest.approx(1 - answered)


def test_new_data_are_evaluated_at_the_runs_decision(aimed, tmp_path):
    path = faint(tmp_path / "b.npz", 1)
    told = aimed.evaluate(path).metrics["accuracy"].value
    labels = np.load(path)["y"]
    answers = [prediction.label for prediction in aimed.predict(np.load(path)["X"])]
    assert told == pytest.approx((np.array(answers) == labels).mean())


def test_what_is_of_no_class_is_refused_before_items_are_read(tmp_path):
    path = faint(tmp_path / "a.npz")
    with pytest.raises(UnknownNameError, match=r"target_recall.*'bat'.*'bad'"):
        striate.fit(path, out=tmp_path / "run", target_recall={"bat": 0.9})
    numbers = tmp_path / "n.npz"
    np.savez(numbers, X=np.load(path)["X"], y=np.linspace(0, 1, 240))
    with pytest.raises(OptionError, match=r"cost_unknown=0\.1.*one class of several"):
        striate.fit(numbers, out=tmp_path / "run", cost_unknown=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_recall": {"a": 95}}, "above 0 and below 1"),
        ({"error_costs": {"a": "much"}}, "a number"),
        ({"cost_unknown": 2}, "between 0 and the cost of an error, 1"),
    ],
)
def test_values_that_are_not_allowed(options, message):
    with pytest.raises(ArgumentError, match=message):
        striate.fit("no-such-folder", **options)
