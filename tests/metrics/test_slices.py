"""Where a model is worst: planted slices are found, and nothing is named where nothing is."""

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact

from striate.metrics.slices import MIN_ITEMS, Slices, worst_slices

NUM_ITEMS = 400


def columns(rng, num_items=NUM_ITEMS):
    """Words and numbers that say nothing of the errors."""
    site = rng.choice(["north", "south", "east", "west"], num_items)
    camera = rng.choice(["a", "b", ""], num_items, p=[0.7, 0.2, 0.1])
    return {
        "site": site.tolist(),
        "camera": camera.tolist(),
        "brightness": rng.random(num_items),
        "width": rng.choice([64.0, 128.0], num_items),
        "date": np.where(rng.random(num_items) < 0.1, np.nan, rng.normal(size=num_items)),
    }


def test_a_planted_slice_is_found():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        known = columns(rng)
        dark = known["brightness"] < 0.25
        errors = (rng.random(NUM_ITEMS) < np.where(dark, 0.4, 0.1)).astype(float)
        told = worst_slices(errors, known, num_exchanges=300, seed=seed)
        if told.found:
            worst = told.found[0]
            found += worst.column == "brightness" and worst.value.startswith("up to")
            assert worst.interval[0] <= worst.error <= worst.interval[1]
            assert worst.error > worst.others and worst.p_value <= 0.05
    assert found >= 38


@pytest.mark.parametrize("kind", ["wrong or right", "sizes of errors"])
def test_nothing_is_named_on_noise_in_95_of_100_trials(kind):
    named = 0
    for seed in range(200):
        rng = np.random.default_rng(1000 + seed)
        errors = (
            (rng.random(NUM_ITEMS) < 0.15).astype(float)
            if kind == "wrong or right"
            else rng.exponential(size=NUM_ITEMS)
        )
        told = worst_slices(errors, columns(rng), num_exchanges=200, seed=seed)
        assert told.num_tried == 4 + 2 + 4 + 2 + 4
        named += bool(told.found)
    assert named <= 18  # 5 % of 200, and what chance adds to it (binomial, 99 %)


def test_the_chance_is_that_of_fishers_test_where_one_slice_is_tried():
    rng = np.random.default_rng(3)
    inside = np.arange(200) < 60
    errors = (rng.random(200) < np.where(inside, 0.3, 0.15)).astype(float)
    told = worst_slices(
        errors,
        {"site": np.where(inside, "north", "").tolist()},
        num_exchanges=5000,
    )
    table = [
        [errors[inside].sum(), (1 - errors[inside]).sum()],
        [errors[~inside].sum(), (1 - errors[~inside]).sum()],
    ]
    expected = fisher_exact(table, alternative="greater").pvalue
    (worst,) = told.found
    assert worst.p_value == pytest.approx(expected, abs=0.01)
    low, high = binomtest(int(errors[inside].sum()), 60).proportion_ci(method="wilson")
    assert worst.interval == pytest.approx((low, high), abs=1e-9)
    assert (worst.num_items, worst.value) == (60, "north")


def test_copies_count_once():
    rng = np.random.default_rng(0)
    errors = (rng.random(100) < 0.2).astype(float)
    known = {"site": (["north"] * 30 + ["south"] * 70)}
    alone = worst_slices(errors, known)
    repeated = np.concatenate([np.arange(100), np.repeat(0, 50)])
    errors[0] = 1.0
    many = worst_slices(
        errors[repeated],
        {"site": [known["site"][i] for i in repeated]},
        groups=repeated,
    )
    once = worst_slices(errors, known)
    assert many == once and alone.num_tried == once.num_tried == 2


def test_what_cannot_be_told_is_not():
    assert worst_slices(np.zeros(100), {"site": ["a"] * 50 + ["b"] * 50}) == Slices(num_tried=2)
    few = ["a"] * (MIN_ITEMS - 1) + ["b"] * 50
    assert worst_slices(np.ones(len(few)), {"site": few}).num_tried == 0
    assert worst_slices(np.ones(0), {}) == Slices()
    numbers = [f"{value:.3f}" for value in np.linspace(0, 1, 200)]
    told = worst_slices((np.arange(200) < 50) * 1.0, {"age": numbers})
    assert told.found[0].value == "up to 0.250" and told.num_tried == 4
