"""What a fit asks of its task, against scikit-learn and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_absolute_error

from striate.errors import DataError
from striate.metrics import NumberCalibration
from striate.tasks import Classification, Regression, task_of

SPLITS = np.array(["train"] * 20 + ["val"] * 12 + ["test"] * 4)


def dataset(labels=None, targets=None):
    return SimpleNamespace(
        name="made up",
        classes=() if labels is None else ("a", "b", "c"),
        labels=np.zeros(36, np.int64) if labels is None else labels,
        targets=targets,
        splits=SPLITS,
        duplicate_groups=np.arange(36),
        items=[SimpleNamespace(id=str(n)) for n in range(36)],
        indices=lambda part: np.flatnonzero(part == SPLITS),
        ids=lambda indices: [str(n) for n in indices],
    )


@pytest.fixture
def classes():
    return Classification(dataset(np.arange(36) % 3))


@pytest.fixture
def numbers():
    return Regression(dataset(targets=np.linspace(-5, 30, 36) ** 2))


def test_the_task_follows_from_the_data(classes, numbers):
    assert isinstance(task_of(classes.dataset), Classification)
    assert isinstance(task_of(numbers.dataset), Regression)
    assert (classes.num_outputs, numbers.num_outputs) == (3, 1)


def test_classes_have_log_loss_and_ignorance(classes):
    indices = classes.dataset.indices("val")
    outputs = torch.randn(len(indices), 3, generator=torch.Generator().manual_seed(0))
    labels = classes.dataset.labels[indices]
    expected = log_loss(labels, outputs.double().softmax(1).numpy())
    assert classes.uncalibrated_loss(outputs, indices) == pytest.approx(expected, rel=1e-6)
    assert classes.ignorance(indices) == pytest.approx(np.log(3), rel=1e-9)
    assert classes.class_counts().tolist() == [7, 7, 6]


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
    calibration, loss = numbers.calibrated(perfect, indices)
    assert loss == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(
        calibration.numbers(perfect.numpy()), numbers.dataset.targets[indices], rtol=1e-5
    )
    assert calibration.interval.half_width == pytest.approx(0, abs=1e-3)
    off = numbers.epoch_metrics(perfect + 0.5, indices)
    truth = numbers.dataset.targets[indices]
    shifted = calibration.numbers((perfect + 0.5).numpy())
    assert off["mae"] == pytest.approx(mean_absolute_error(truth, shifted), rel=1e-6)
    assert off["squared_error"] == pytest.approx(0.25, rel=1e-4)


def test_rows_of_numbers_hold_the_interval(numbers):
    indices = numbers.dataset.indices("val")
    outputs = numbers.training_targets(indices) + 0.1
    calibration, _ = numbers.calibrated(outputs, indices)
    assert list(numbers.prediction_columns()) == ["target", "prediction", "low", "high"]
    for cells in numbers.prediction_rows(outputs, calibration, indices):
        _, prediction, low, high = map(float, cells)
        assert (low + high) / 2 == pytest.approx(prediction, rel=1e-6)
    plain = NumberCalibration(mean=1.0, std=2.0)
    assert next(iter(numbers.prediction_rows(outputs, plain, indices)))[2:] == ["", ""]


def test_targets_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match=r"made up: the training targets are all 2"):
        Regression(dataset(targets=np.full(36, 2.0)))
