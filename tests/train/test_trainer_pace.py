"""How many epochs the trainer takes: deadlines, slower machines, no gain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.train.trainers import (
    PLAN,
    pace,
    train,
)

from striate.train import trainer


def test_the_deadline_stops_at_the_end_of_a_step(
    make_network, batches, validate, store, progress, told
) -> None:
    ticks = iter(range(1, 100))  # one a look: after each step, and at the end of an epoch
    network = make_network()
    result = train(
        network,
        batches,
        validate,
        PLAN,
        checkpoints=store,
        progress=progress,
        pace=pace(lambda: 7 - next(ticks)),
    )
    assert (result.stopped, result.steps, result.best_epoch) == ("deadline", 6, 1)
    assert "time is up after step 6 of 12; the best epoch so far is kept" in told.getvalue()
    assert validate(network)["log_loss"] == result.best_value


def test_a_slower_machine_gets_fewer_epochs(
    make_network, batches, validate, store, progress, told, monkeypatch
) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr(trainer, "perf_counter", lambda: float(next(seconds)))
    left = 8.0  # an epoch takes 6 s on the other clock
    result = train(
        make_network(),
        batches,
        validate,
        PLAN,
        checkpoints=store,
        progress=progress,
        pace=pace(lambda: left, 2),
    )
    assert "the time allows 1 more epoch, not 2" in told.getvalue()
    assert (result.stopped, result.steps, len(result.history)) == (None, 8, 2)
    rates = [row.learning_rate for row in result.history]
    full = train(make_network(), batches, validate, PLAN)
    assert rates[0] == full.history[0].learning_rate
    assert rates[1] < full.history[1].learning_rate  # compressed: on its way to zero
    again = train(
        make_network(), batches, validate, PLAN, checkpoints=store, pace=pace(lambda: left, 2)
    )
    assert again.steps == 8  # a resumed run knows that it was shortened


def test_a_plan_of_one_epoch_grows_where_there_is_time(
    make_network, batches, validate, store, progress, told
) -> None:
    plan = replace(PLAN, epochs=1)
    result = train(
        make_network(), batches, validate, plan, progress=progress, pace=pace(lambda: 1e6, 12)
    )
    assert (len(result.history), result.stopped) == (12, None)
    assert "the time allows 11 more epochs, not 0" in told.getvalue()
    rates = [row.learning_rate for row in result.history]
    assert rates[0] == pytest.approx(plan.learning_rate / 4)  # it came down, and goes up again
    assert max(rates) <= plan.learning_rate
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.05 * rates[1]


def test_the_weights_of_the_beginning_are_kept_where_no_epoch_is_better(
    make_network, batches
) -> None:
    scores = iter([0.2, 0.3, 0.25, 0.21])
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = train(
        network, batches, lambda network: {"log_loss": next(scores)}, PLAN, keep_start=True
    )
    assert (result.best_epoch, result.best_value, len(result.history)) == (0, 0.2, 3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_validation_that_gets_no_better_ends_the_training_at_a_rate_of_zero(
    make_network, batches, progress, told
) -> None:
    scores = iter([0.5, 0.4, *[0.45] * 100])
    result = train(
        make_network(),
        batches,
        lambda network: {"log_loss": next(scores)},
        replace(PLAN, epochs=40),
        progress=progress,
        pace=pace(lambda: 1e6, 40),
    )
    # Ten epochs without gain after the second, and five over which the rate goes to zero.
    assert (len(result.history), result.best_epoch, result.stopped) == (17, 2, None)
    assert "validation is no better since epoch 2: 5 more epochs, not 28" in told.getvalue()
    assert result.history[-1].learning_rate < 0.1 * result.history[11].learning_rate


def test_a_training_that_cannot_win_is_given_up(make_network, batches, progress, told) -> None:
    def values():
        return iter([1 - 0.01 * i for i in range(41)])

    def trained(to_beat):
        scores = values()
        return train(
            make_network(),
            batches,
            lambda network: {"log_loss": next(scores)},
            replace(PLAN, epochs=40),
            progress=progress,
            pace=pace(lambda: 1e6, 40, to_beat=to_beat),
        )

    assert len(trained(0.65).history) == 40
    assert len(trained(0.3).history) == 20
    assert "given up after epoch 20 of 40: validation 0.8100" in told.getvalue()


def test_a_deadline_within_the_first_epoch_leaves_weights(make_network, batches, validate) -> None:
    result = train(make_network(), batches, validate, PLAN, pace=pace(lambda: 0.0))
    assert (result.stopped, result.steps, result.history) == ("deadline", 1, ())
    assert math.isfinite(result.best_value)
