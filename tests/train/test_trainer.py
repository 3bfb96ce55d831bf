"""The trainer: learning, and diverging (faults 67, 68 and 70)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.train.trainers import (
    PLAN,
    assert_bitwise_equal,
    pace,
    train,
    trainer_of,
    weights,
)
from torch import nn

from striate.errors import DivergedError, UnknownNameError
from striate.nn.parameters import ParameterGroup, plain_groups
from striate.train.plan import TrainPlan


def test_it_learns_and_keeps_the_best_epoch(make_network, batches, validate) -> None:
    network = make_network()
    rows = []
    plan = TrainPlan(epochs=12, learning_rate=5e-2, ema_decay=None, warmup_epochs=0.5)
    result = train(network, batches, validate, plan, on_epoch=rows.append)
    assert rows == list(result.history)
    values = [row.metrics["log_loss"] for row in rows]
    assert result.best_value == min(values) < 0.7 * values[0]
    assert result.best_epoch == values.index(min(values)) + 1
    assert validate(network)["log_loss"] == result.best_value
    assert (result.stopped, result.steps, result.rollbacks) == (None, 48, 0)


def test_the_epoch_of_the_least_metric_is_kept_and_nan_is_not(make_network, batches) -> None:
    scores = iter([0.3, math.nan, 0.1, 0.5])
    plan = TrainPlan(epochs=4, metric="squared_error")
    result = train(make_network(), batches, lambda network: {"squared_error": next(scores)}, plan)
    assert (result.best_epoch, result.best_value) == (3, 0.1)


class Poisoned:
    """Batches whose inputs are spoilt at some step of the run, a number of times."""

    def __init__(self, batches, step: int, times: int, value: float = math.nan) -> None:
        self.batches, self.step, self.times, self.value = batches, step, times, value
        self.steps_per_epoch = batches.steps_per_epoch
        self.ids = batches.ids

    def epoch(self, epoch: int, start_step: int = 0):
        for number, (inputs, targets) in enumerate(
            self.batches.epoch(epoch, start_step), epoch * self.steps_per_epoch + start_step
        ):
            if number == self.step and self.times > 0:
                self.times -= 1
                inputs = torch.full_like(inputs, self.value)
            yield inputs, targets


@pytest.mark.parametrize("step", [0, 3, 6, 11])
def test_fault_67_after_a_nan_training_goes_back_at_half_the_rate(
    make_network, batches, validate, store, progress, told, step: int
) -> None:
    network = make_network()
    poisoned = Poisoned(batches, step=step, times=2)
    result = train(network, poisoned, validate, PLAN, checkpoints=store, progress=progress)
    assert result.rollbacks == 2
    assert len(result.history) == 3
    assert result.history[-1].learning_rate == pytest.approx(
        PLAN.learning_rate / 4 * math.cos(math.pi / 2 * 7 / 8) ** 2
    )
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert f"loss nan, gradient norm nan at step {step % 4 + 1} of epoch" in told.getvalue()


def test_fault_67_a_nan_that_stays_is_a_divergence(make_network, batches, validate, store) -> None:
    poisoned = Poisoned(batches, step=6, times=99)
    with pytest.raises(DivergedError) as caught:
        train(make_network(), poisoned, validate, PLAN, checkpoints=store)
    message = str(caught.value)
    assert "training diverged at step 3 of epoch 2 (learning rate 0.00213)" in message
    assert all(name in message for name in batches.ids(1, 2))
    state = store.load_latest()
    assert state is not None
    assert state.first_not_finite() is None
    assert state.values["position"]["epoch"] == 1


def test_without_a_store_training_goes_back_to_memory(make_network, batches, validate) -> None:
    result = train(make_network(), Poisoned(batches, step=6, times=1), validate, PLAN)
    assert (result.rollbacks, len(result.history)) == (1, 3)


def test_fault_68_a_learning_rate_of_a_million_is_a_divergence(
    make_network, batches, validate
) -> None:
    plan = TrainPlan(epochs=5, learning_rate=1e6, clip_norm=None, ema_decay=None)
    with pytest.raises(
        DivergedError,
        match=r"at step \d of epoch 1 \(learning rate 6.25e\+04\): the loss rose from 1\.",
    ):
        train(make_network(), batches, validate, plan)


def test_groups_scale_the_rate(make_network, batches, validate) -> None:
    """AdamW's first step moves each weight by the rate, whatever the gradient."""
    network = make_network()
    before = weights(network)
    groups = [
        ParameterGroup(name="slow", parameters=(network[0].bias,), rate_scale=0.1),
        ParameterGroup(name="fast", parameters=(network[6].bias,), rate_scale=3.0),
    ]
    plan = TrainPlan(epochs=1, learning_rate=1e-2, warmup_epochs=0, ema_decay=None)
    train(network, batches, validate, plan, groups, pace=pace(lambda: 0.0))
    moved = (network[6].bias - before["6.bias"]).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 3e-2), rtol=1e-3, atol=0)
    assert (network[0].bias - before["0.bias"]).abs().max() <= 1.01e-3
    assert torch.equal(network[0].weight, before["0.weight"])


def test_weights_decay_and_biases_do_not(make_network) -> None:
    network = make_network()
    network[0].requires_grad_(False)
    decayed, others = plain_groups(network, weight_decay=0.3)
    assert (decayed.weight_decay, others.weight_decay) == (0.3, 0.0)
    assert [p.shape for p in decayed.parameters] == [(3, 8)]
    assert [p.shape for p in others.parameters] == [(8,), (8,), (3,)]


def test_fault_70_a_batch_may_be_one_item(make_network, make_batches, validate) -> None:
    assert train(make_network(), make_batches(batch_size=1), validate, PLAN).steps == 66


def test_an_unknown_metric_names_those_there_are(make_network, batches, validate) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'log_los'; did you mean 'log_loss'"):
        train(make_network(), batches, validate, TrainPlan(epochs=1, metric="log_los"))


def test_the_callers_random_numbers_stay(make_network, batches, validate) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    train(make_network(), batches, validate, TrainPlan(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_measuring_the_rate_leaves_no_trace(make_network, batches, validate) -> None:
    straight, measured = make_network(), make_network()
    assert trainer_of(measured, batches, validate, PLAN).measure_rate() > 0
    assert_bitwise_equal(straight, measured)
    train(straight, batches, validate, PLAN)
    train(measured, batches, validate, PLAN)
    assert_bitwise_equal(straight, measured)


@pytest.mark.parametrize("strided", [False, True])
def test_a_network_is_trained_in_the_layout_whose_gradients_are_right(
    strided: bool, batches, validate
) -> None:
    wide, strided_one = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 1, stride=2)
    rest = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    network = nn.Sequential(wide, *([strided_one] if strided else []), *rest)
    seen: list[torch.Tensor] = []
    wide.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    train(network, batches, validate, replace(PLAN, epochs=1, ema_decay=0.0))
    assert wide.weight.is_contiguous() == strided
    assert wide.weight.is_contiguous(memory_format=torch.channels_last) != strided
    assert seen[0].is_contiguous() == strided
    # torch's fused Adam would mix up the numbers of a gradient of another layout.
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.stride() == parameter.stride()
