from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.train.schedule import warmup_cosine


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
