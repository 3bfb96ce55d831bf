"""Planning of a training, and which blocks stay frozen, without training anything."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.models import create_model
from striate.nn.parameters import plain_groups
from striate.recipes import finetune
from striate.train.plan import TrainPlan, affordable_epochs


@pytest.fixture
def training():
    network = torch.nn.Linear(2, 3)
    return finetune.Training(
        trainee=network,
        learning_rate=1e-3,
        batches=SimpleNamespace(steps_per_epoch=7),
        validation=lambda: iter(()),
        labels=np.zeros(50, np.int64),
        groups=plain_groups(network, 0.0),
        class_counts=torch.tensor([100, 60, 40]),
    )


def plan(training, **options):
    defaults = {"epochs": None, "seconds": 60.0, "batch_size": 32, "seed": 5}
    return finetune.plan_training(training, **{**defaults, **options})


@pytest.mark.parametrize("seconds", [0.5, 30.0, 60.0, 90.0])
def test_epochs_follow_from_the_time_and_the_measured_rate(training, seconds, monkeypatch):
    monkeypatch.setattr(finetune, "measure_rate", lambda *args, **options: 40.0)
    validation = 50 / (finetune.VALIDATION_SPEED_UP * 40)
    expected = affordable_epochs(seconds, 40.0, 200, seconds_per_validation=validation)
    assert plan(training, seconds=seconds).epochs == expected
    assert expected == max(1, int(seconds / (5.0 + 0.5)))


def test_more_time_never_means_more_than_the_most_epochs(training, monkeypatch):
    monkeypatch.setattr(finetune, "measure_rate", lambda *args, **options: 1e6)
    assert plan(training, seconds=3600).epochs == finetune.MAX_EPOCHS


def test_epochs_that_are_asked_for_need_no_measurement(training, monkeypatch):
    monkeypatch.setattr(finetune, "measure_rate", lambda *args, **options: pytest.fail("measured"))
    made = plan(training, epochs=3, seconds=1.0)
    assert (made.epochs, made.seed, made.batch_size, made.learning_rate) == (3, 5, 32, 1e-3)


@pytest.mark.parametrize(("counts", "weights"), [([90, 30], None), ([91, 30], "balanced")])
def test_classes_are_balanced_from_three_to_one(training, counts, weights):
    uneven = replace(training, class_counts=torch.tensor(counts))
    assert plan(uneven, epochs=1).class_weights == weights


def test_a_plan_survives_the_ledger(training):
    made = plan(training, epochs=2)
    assert TrainPlan(**made.to_json()) == made


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_blocks_on_fine_maps_stay_frozen_and_some_do_not(name):
    network = create_model(name, num_classes=2).eval()
    count = finetune.frozen_blocks(network, 64)
    assert 0 < count < len(network.blocks())
    maps = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        for index, (_, module) in enumerate(network.blocks()):
            maps = module(maps)
            assert (index < count) == (64 / maps.shape[-1] <= finetune.FROZEN_STRIDE)
