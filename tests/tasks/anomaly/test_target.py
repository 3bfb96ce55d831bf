"""Which items are good, where odd ones go, and which task some items are for."""

import numpy as np
import pytest
import torch

from striate.data.source import Item, Listing, Source
from striate.data.splits import complete_splits
from striate.errors import DataError, UnknownNameError
from striate.tasks import task_named, task_of
from striate.tasks.anomaly.good_items import good_alone
from striate.tasks.anomaly.metrics import AlarmThreshold
from striate.tasks.anomaly.scoring import AnomalyCalibration
from striate.tasks.anomaly.target import AnomalyTarget

THRESHOLD = AlarmThreshold(distance=2.0, share=0.05, low=0.01, high=0.1, num_items=100)


class Listed(Source):
    def __init__(self, items):
        self.name, self.kind, self.listing = "made", "image", Listing(items=tuple(items))

    def read(self, item):
        raise NotImplementedError


def items(split=None, **counts):
    return [
        Item(id=f"{name}{number}", label=name, split=split)
        for name, count in counts.items()
        for number in range(count)
    ]


def test_items_of_one_class_are_for_anomalies_unless_a_method_is_named():
    assert task_of(items(good=5)).name == "anomaly"
    assert task_of(items(good=5), "probe").name == "classification"
    assert task_of(items(good=5, bad=5)).name == "classification"
    assert task_of(items(good=5, bad=5), "oneclass").name == "anomaly"
    # As in MVTec AD: the test part alone has more classes.
    mixed = items("train", good=5) + items("test", good=2, scratch=2)
    assert task_of(mixed).name == "anomaly"


def test_of_several_classes_the_good_one_must_be_named():
    several = items(good=5, bad=5)
    with pytest.raises(DataError, match=r"which of 2 classes is the good one.*good="):
        task_named("anomaly").check_learnable(several, "made")
    with pytest.raises(UnknownNameError, match=r"goood.*did you mean 'good'"):
        good_alone(Listed(several), "goood")
    with pytest.raises(DataError, match="no item has a label"):
        good_alone(Listed([Item(id="a")]), "good")


def test_odd_items_are_tested_and_good_ones_are_in_every_part():
    listed = good_alone(Listed(items(good=60, bad=9)), "good").listing.items
    target = AnomalyTarget.of(listed, "made")
    splits = complete_splits(listed, target, np.arange(69), seed=0)
    assert set(splits[target.values]) == {"test"}
    counts = {
        part: int((splits[~target.values] == part).sum()) for part in ("train", "val", "test")
    }
    assert counts == {"train": 42, "val": 9, "test": 9}
    assert not target.split_notes(listed, splits)


def test_a_test_part_that_the_user_gave_with_good_items_stays():
    given = items("train", good=30) + items("test", good=7, bad=3)
    target = AnomalyTarget.of(given, "made")
    splits = complete_splits(given, target, np.arange(40), seed=0)
    assert (splits[30:] == "test").all() and "test" not in splits[:30]
    assert "val" in splits[:30]


def test_odd_items_outside_of_the_test_are_told():
    given = items("train", good=30) + items("val", good=5, bad=3)
    target = AnomalyTarget.of(given, "made")
    (unused, none) = target.split_notes(given, np.array([one.split for one in given]))
    assert unused.ids == ("bad0", "bad1", "bad2") and none.code == "no-odd-items"


def test_a_verdict_is_a_score_above_one():
    calibration = AnomalyCalibration(good="fine", threshold=THRESHOLD)
    task, outputs = task_named("anomaly"), torch.tensor([[1.0], [2.0], [3.0]])
    first, at, last = task.predictions(["a", "b", "c"], outputs, calibration, ())
    assert (first.label, at.label, last.label) == (*["like the good ones"] * 2, "odd")
    assert (first.score, last.score) == (0.5, 1.5)
    assert last.as_text() == "c: odd (score 1.50; odd above 1)"
    assert last.to_json() == {"item": "c", "label": "odd", "score": 1.5}
    assert task.cells(last) == ["odd", 1.5]
    assert torch.allclose(calibration.module()(outputs), torch.tensor([0.5, 1.0, 1.5]))
    again = task.calibration(calibration.to_json())
    assert again == calibration
    found = calibration.outputs_of(calibration.answers(outputs.numpy()))
    assert np.allclose(found, outputs.numpy())


def test_two_detectors_are_compared_on_the_same_items():
    task = task_named("anomaly")
    truth = ["odd"] * 10 + ["like the good ones"] * 10
    first = [{"label": one, "score": str(k % 7 / 4)} for k, one in enumerate(truth)]
    second = [{"label": one, "score": str(1.5 if one == "odd" else 0.5)} for one in truth]
    found = task.compare(first, second, ())
    assert found.differences["roc_auc"].value > 0.3
    assert (found.first_better, found.second_better > 0) == (0, True)
