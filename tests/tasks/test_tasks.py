"""What a fit asks of its task, against scikit-learn and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_absolute_error

from striate.data.source import Item
from striate.errors import ArgumentError, DataError, UnknownNameError
from striate.registry import load_package
from striate.tasks import TASKS, task_named, task_of
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.regression.scoring import NumberCalibration

SPLITS = np.array(["train"] * 20 + ["val"] * 12 + ["test"] * 4)


def objective(*items):
    task = task_of(items)
    target = task.encode(items, "made up")
    dataset = SimpleNamespace(
        name="made up",
        classes=target.classes,
        target=target,
        splits=SPLITS,
        duplicate_groups=np.arange(36),
        items=items,
        indices=lambda part: np.flatnonzero(part == SPLITS),
        ids=lambda indices: [items[n].id for n in indices],
    )
    return task.objective(dataset)


@pytest.fixture
def classes():
    return objective(*(Item(id=str(n), label="abc"[n % 3]) for n in range(36)))


@pytest.fixture
def numbers():
    values = np.linspace(-5, 30, 36) ** 2
    extra = {"unit": "mm"}
    return objective(*(Item(id=str(n), target=float(v), extra=extra) for n, v in enumerate(values)))


def test_the_task_follows_from_the_items(classes, numbers):
    assert task_of(classes.dataset.items) is task_named("classification")
    assert task_of(numbers.dataset.items) is task_named("regression")
    assert (classes.num_outputs, numbers.num_outputs) == (3, 1)
    with pytest.raises(DataError, match="different tasks: 3 for classification, 1 for regression"):
        task_of([Item(id="n", target=1.0), *(Item(id=str(n), label="a") for n in range(3))])
    with pytest.raises(DataError, match="no item has an answer to learn from"):
        task_of([Item(id="n")])
    with pytest.raises(UnknownNameError, match="did you mean 'regression'"):
        task_named("regresion")


def test_every_task_is_registered_under_its_name_with_a_page():
    load_package("striate.tasks")
    for name, task in TASKS.items():
        assert task.name == name
        assert task.template.is_file()
        assert task.report_type.model_fields["task_kind"].default == name


def test_classes_have_log_loss_and_null_loss(classes):
    indices = classes.dataset.indices("val")
    outputs = torch.randn(len(indices), 3, generator=torch.Generator().manual_seed(0))
    labels = classes.values[indices]
    expected = log_loss(labels, outputs.double().softmax(1).numpy())
    as_they_are = ClassCalibration(temperature=1.0, bias=(0.0, 0.0, 0.0))
    losses = classes.item_losses(outputs, as_they_are, indices)
    assert losses.mean() == pytest.approx(expected, rel=1e-6)
    assert classes.null_loss(indices) == pytest.approx(np.log(3), rel=1e-9)
    assert classes.constant().tolist() == [7 / 20, 7 / 20, 6 / 20]


@pytest.mark.parametrize(("counts", "balanced"), [([15, 5], False), ([16, 4], True)])
def test_the_loss_weighs_classes_alike_from_three_to_one(counts, balanced):
    names = np.repeat(["a", "b"], counts).tolist() + ["a", "b"] * 8
    loss = objective(*(Item(id=str(n), label=name) for n, name in enumerate(names))).loss()
    assert loss.label_smoothing == 0.05
    assert (loss.class_weights is not None) == balanced
    if balanced:
        np.testing.assert_allclose(loss.class_weights, [20 / 32, 20 / 8])


def test_numbers_are_standardized_by_the_training_items_alone(numbers):
    train = numbers.training_targets(numbers.dataset.indices("train"))
    assert train.shape == (20, 1)
    assert train.mean().item() == pytest.approx(0, abs=1e-6)
    assert train.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    held = numbers.training_targets(numbers.dataset.indices("val"))
    assert held.mean().item() > 2  # later targets are larger: nothing of them leaked


def test_numbers_come_back_in_their_unit(numbers):
    indices = numbers.dataset.indices("val")
    perfect = numbers.training_targets(indices)
    calibration, loss = numbers.calibrate(perfect, indices)
    assert loss == pytest.approx(0, abs=1e-10)
    truth = numbers.values[indices]
    np.testing.assert_allclose(calibration.answers(perfect.numpy()), truth, rtol=1e-5)
    assert calibration.interval.half_width == pytest.approx(0, abs=1e-3)
    assert calibration.unit == "mm"
    off = numbers.epoch_metrics(perfect + 0.5, indices)
    shifted = calibration.answers((perfect + 0.5).numpy())
    assert off["mae"] == pytest.approx(mean_absolute_error(truth, shifted), rel=1e-6)
    assert off["squared_error"] == pytest.approx(0.25, rel=1e-4)
    assert numbers.composition()[1] == "from 0 to 900 mm"


def test_the_unit_is_known_where_all_items_agree(numbers):
    items = list(numbers.dataset.items)
    items[0] = Item(id="0", target=1.0, extra={"unit": "cm"})
    other = objective(*items)
    assert other.calibrate(torch.zeros(12, 1), np.arange(20, 32))[0].unit == ""


def test_targets_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match=r"made up: the training targets are all 2"):
        objective(*(Item(id=str(n), target=2.0) for n in range(36)))


CALIBRATIONS = [
    ("classification", ClassCalibration(temperature=0.3, bias=(0.1, -0.2, 0.0))),
    ("classification", ClassCalibration()),
    ("regression", NumberCalibration(mean=-3.0, std=250.0, unit="mm")),
]


@pytest.mark.parametrize(("name", "calibration"), CALIBRATIONS)
def test_a_calibration_survives_json_and_is_the_same_as_a_module(name, calibration):
    assert task_named(name).calibration(calibration.to_json()) == calibration
    width = 3 if name == "classification" else 1
    outputs = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
    found = calibration.module()(outputs)
    np.testing.assert_allclose(found, calibration.answers(outputs.numpy()), rtol=1e-5, atol=1e-6)
    sizes = [tuple(entry["shape"][1:]) for entry in calibration.outputs(("a", "b", "c"))]
    assert sizes == [tuple(outputs.shape[1:]), tuple(found.shape[1:])]


def test_an_interval_survives_json(numbers):
    calibration, _ = numbers.calibrate(torch.zeros(12, 1), numbers.dataset.indices("val"))
    assert calibration.interval is not None
    assert task_named("regression").calibration(calibration.to_json()) == calibration


def test_a_prediction_of_classes():
    task, names = task_named("classification"), ("a", "b", "c")
    outputs = torch.tensor([[0.5, 0.25, 0.25]]).log()
    (found,) = task.predictions(["x"], outputs, ClassCalibration(bias=(0.0, 1.0, 0.0)), names)
    assert (found.item, found.id, found.label, found.output) == ("x", "x", "b", 1)
    assert found.confidence == found.probabilities.max() == found.top(1)[0][1]
    assert found.as_text(2) == f"x: b {found.confidence:.1%}, a {found.probabilities[0]:.1%}"
    document = found.to_json()
    assert set(document) == {"item", "label", "confidence", "probabilities"}
    assert list(document["probabilities"]) == list(names)
    cells = dict(zip(task.columns(names), task.cells(found), strict=True))
    assert cells["prediction"] == "b" and (cells["unknown"], cells["set"]) == ("", "")
    assert float(cells["p_b"]) == float(cells["confidence"])
    assert task.output_named("c", names) == 2
    with pytest.raises(UnknownNameError, match="class 'd'"):
        task.output_named("d", names)


def test_a_prediction_of_a_number(numbers):
    task, indices = task_named("regression"), numbers.dataset.indices("val")
    outputs = numbers.training_targets(indices) + 0.1
    calibration, _ = numbers.calibrate(outputs, indices)
    first = task.predictions(numbers.dataset.ids(indices), outputs, calibration, ())[0]
    assert (first.output, first.label, first.probabilities) == (0, None, None)
    assert first.as_text().startswith("20: ") and first.as_text().endswith(" mm")
    assert set(first.to_json()) == {"item", "value", "interval", "unit"}
    assert task.columns(()) == ["prediction", "low", "high", "unknown", "novelty"]
    prediction, low, high, *novelty = task.cells(first)
    assert novelty == ["", ""]
    assert (low + high) / 2 == pytest.approx(prediction, rel=1e-6)
    plain = NumberCalibration(mean=1.0, std=2.0)
    (without,) = task.predictions(["x"], torch.tensor([[0.75]]), plain, ())
    assert task.cells(without)[:3] == [2.5, "", ""] and without.answer() == "2.50"
    with pytest.raises(ArgumentError, match="`target='b'`: the run predicts a number"):
        task.output_named("b", ())


def test_classes_that_outputs_do_not_tell_apart_are_named(classes):
    indices = np.arange(len(classes.values))
    sharp = torch.eye(3)[torch.from_numpy(classes.values)] * 4
    assert classes.not_told_apart(sharp, indices) == ""
    confused = sharp.clone()
    confused[:, 0] = confused[:, 1] = sharp[:, 0] + sharp[:, 1]
    names = classes.dataset.classes
    assert classes.not_told_apart(confused, indices) == f"{names[0]!r} and {names[1]!r}"
    one = indices[classes.values == 0]
    assert classes.not_told_apart(sharp[one], one) == ""
    assert classes.membership(indices).sum(0).tolist() == np.bincount(classes.values).tolist()


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("classification", {"label": "a", "prediction": "a"}, ("a", "a", 0)),
        ("classification", {"label": "a", "prediction": "b"}, ("a", "b", 1)),
        ("multilabel", {"labels": "a|b", "prediction": "b|a"}, ("a|b", "b|a", 0)),
        ("multilabel", {"labels": "a|b", "prediction": "b|c"}, ("a|b", "b|c", 2)),
        ("multilabel", {"labels": "", "prediction": "c"}, ("", "c", 1)),
        ("regression", {"target": "2.5", "prediction": "-1"}, (2.5, -1.0, 3.5)),
    ],
)
def test_a_row_of_predictions_is_judged(name, row, expected):
    found = task_named(name).judged(row)
    assert (found.truth, found.answer, found.error) == expected
