from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import ArgumentError
from striate.train.plan import Schedule, TrainPlan, affordable_epochs, warmup_cosine


@given(st.integers(1, 50), st.integers(0, 20))
def test_closed_form(total: int, warmup: int) -> None:
    rates = [warmup_cosine(s, total_steps=total, warmup_steps=warmup) for s in range(total)]
    for step, rate in enumerate(rates):
        if step < warmup:
            expected = (step + 1) / warmup
        else:
            expected = math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
        assert rate == pytest.approx(expected, abs=1e-12)
    assert all(0 < rate <= 1 for rate in rates)


def test_never_below_zero_after_the_end() -> None:
    assert warmup_cosine(120, total_steps=100, warmup_steps=10) == 0


def test_a_shortened_schedule_ends_where_the_planned_one_does() -> None:
    planned = Schedule(planned_steps=100, warmup_steps=10, total_steps=100)
    short = planned.shortened(40, total_steps=60).shortened(50, total_steps=56)
    assert short.share(50) == pytest.approx(planned.share(70))
    assert short.share(53) == pytest.approx(planned.share(85))
    assert short.share(56) == pytest.approx(0, abs=1e-12)


def test_epochs_that_a_time_affords() -> None:
    assert affordable_epochs(100, 10, 90) == 11
    assert affordable_epochs(100, 10, 90, seconds_per_validation=1) == 10
    assert affordable_epochs(1, 10, 90) == 1


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": 0}, {"ema_decay": 1}, {"clip_norm": 0}]
)
def test_a_plan_out_of_range_is_refused(wrong) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(wrong))}=.*must be"):
        TrainPlan(**{"epochs": 1, **wrong})
