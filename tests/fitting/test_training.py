"""Planning of a training, without training anything."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.fitting import training
from striate.fitting.candidate import Proposal, seconds_to_refit
from striate.nn.parameters import plain_groups
from striate.train.history import TrainResult
from striate.train.plan import affordable_epochs
from striate.train.strategy import Strategy

SPLITS = np.array(["train"] * 80 + ["val"] * 50 + ["test"] * 10)


@pytest.fixture
def planned(objective_of, tmp_path, monkeypatch):
    """The plan that a fit makes in so much time, at a rate that is measured."""

    def make(seconds, rate, epochs=None):
        plans = []

        class Trainer:
            def __init__(self, network, plan, *others, **options):
                plans.append(plan)

            def measure_rate(self):
                return pytest.fail("measured") if rate is None else rate

            def fit(self):
                return TrainResult(
                    history=(), best_epoch=0, best_value=0, steps=0, rollbacks=0, stopped=None
                )

        monkeypatch.setattr(training, "Trainer", Trainer)
        monkeypatch.setattr(training, "monotonic", lambda: 0.0)
        network = torch.nn.Linear(2, 3)
        batches = SimpleNamespace(steps_per_epoch=7, batch_size=32)
        batches.of_process = lambda rank, count: batches
        made = training.Training(
            trainee=network,
            batches=batches,
            validation=lambda: iter(()),
            groups=plain_groups(network, 0.0),
            learning_rate=1e-3,
            max_epochs=40,
        )
        objective = objective_of(SPLITS, labels=np.arange(len(SPLITS)) % 3)
        context = SimpleNamespace(
            objective=objective,
            dataset=objective.dataset,
            options=SimpleNamespace(epochs=epochs, seed=5),
            folder=SimpleNamespace(path=tmp_path),
            progress=SimpleNamespace(say=lambda text: None),
            stop=lambda: False,
            to_beat=None,
            strategy=Strategy(),
            tell=lambda choice: None,
            steps=SimpleNamespace(step=lambda name, make: make(), timed=lambda phase, work: work()),
        )
        training.run_training(context, made, seconds)
        assert context.history == []
        return plans[-1]

    return make


@pytest.mark.parametrize("seconds", [0.5, 30.0, 60.0, 90.0])
def test_epochs_follow_from_the_time_and_the_measured_rate(planned, seconds):
    validation = 50 / (training.VALIDATION_SPEED_UP * 40)
    expected = affordable_epochs(seconds, 40.0, 7 * 32, seconds_per_validation=validation)
    assert planned(seconds, 40.0).epochs == expected
    assert expected == max(1, int(seconds / (5.6 + 0.5)))


def test_more_time_never_means_more_than_the_largest_number_of_epochs(planned):
    assert planned(3600, 1e6).epochs == 40


def test_epochs_that_the_user_chose_need_no_measurement(planned):
    plan = planned(1.0, None, epochs=3)
    assert (plan.epochs, plan.seed, plan.batch_size, plan.learning_rate) == (3, 5, 32, 1e-3)


@pytest.mark.parametrize(("seconds", "learnt_from"), [(3.0, True), (40.0, True), (41.0, False)])
def test_the_result_learns_from_validation_items_too_where_the_time_allows(seconds, learnt_from):
    """40 seconds are left for it; what takes less than five is done anyway."""
    told = []
    context = SimpleNamespace(
        seconds_to_train=lambda: 40.0 if seconds > 5 else 0.0,
        steps=SimpleNamespace(step=lambda name, make: make()),
        tell=told.append,
    )
    proposal = Proposal(
        method="probe",
        name="linear probe",
        outputs=torch.zeros(1, 2),
        calibration=None,
        loss=0.5,
        candidate=lambda: "as judged",
        refit=lambda: "fitted again",
        refit_seconds=seconds,
    )
    assert proposal.finish(context) == ("fitted again" if learnt_from else "as judged")
    assert [choice.choice for choice in told] == ([] if learnt_from else ["not learnt from"])


def test_fitting_again_takes_as_long_as_the_items_are_more():
    assert seconds_to_refit(4.0, 100, 150) == pytest.approx(9.0)
