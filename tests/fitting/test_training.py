"""Planning of a training, without training anything."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.fitting import training
from striate.nn.parameters import plain_groups
from striate.train.plan import TrainPlan, affordable_epochs


def task(counts):
    """Just what a plan asks of a task."""
    return SimpleNamespace(
        loss="cross_entropy",
        metrics=("log_loss", "accuracy"),
        class_counts=lambda: None if counts is None else torch.tensor(counts),
    )


@pytest.fixture
def made():
    network = torch.nn.Linear(2, 3)
    return training.Training(
        trainee=network,
        task=task([100, 60, 40]),
        learning_rate=1e-3,
        batches=SimpleNamespace(steps_per_epoch=7),
        validation=lambda: iter(()),
        validated=np.arange(50),
        groups=plain_groups(network, 0.0),
        batch_size=32,
        max_epochs=40,
    )


def plan(made, **options):
    defaults = {"epochs": None, "seconds": 60.0, "seed": 5}
    return training.plan_training(made, **{**defaults, **options})


@pytest.mark.parametrize("seconds", [0.5, 30.0, 60.0, 90.0])
def test_epochs_follow_from_the_time_and_the_measured_rate(made, seconds, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *args, **options: 40.0)
    validation = 50 / (training.VALIDATION_SPEED_UP * 40)
    expected = affordable_epochs(seconds, 40.0, 7 * 32, seconds_per_validation=validation)
    assert plan(made, seconds=seconds).epochs == expected
    assert expected == max(1, int(seconds / (5.6 + 0.5)))


def test_more_time_never_means_more_than_the_most_epochs(made, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *args, **options: 1e6)
    assert plan(made, seconds=3600).epochs == 40


def test_epochs_that_are_asked_for_need_no_measurement(made, monkeypatch):
    monkeypatch.setattr(training, "measure_rate", lambda *args, **options: pytest.fail("measured"))
    asked = plan(made, epochs=3, seconds=1.0)
    assert (asked.epochs, asked.seed, asked.batch_size, asked.learning_rate) == (3, 5, 32, 1e-3)


@pytest.mark.parametrize(
    ("counts", "weights"), [([90, 30], None), ([91, 30], "balanced"), (None, None)]
)
def test_classes_are_balanced_from_three_to_one(made, counts, weights):
    uneven = replace(made, task=task(counts))
    assert plan(uneven, epochs=1).class_weights == weights


def test_a_plan_survives_the_ledger(made):
    planned = plan(made, epochs=2)
    assert TrainPlan(**planned.to_json()) == planned
