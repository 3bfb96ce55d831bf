"""McNemar's exact test by counting, and differences whose intervals hold the truth."""

from math import comb

import numpy as np
import pytest

from striate.errors import ArgumentError
from striate.metrics.classification import METRICS, metric_values
from striate.metrics.paired import PairedComparison, compare, mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 5), (3, 9), (10, 10), (1, 0), (30, 12)]
)
def test_mcnemar_equals_a_count_of_all_outcomes(only_first, only_second):
    total = only_first + only_second
    chances = [comb(total, k) / 2**total for k in range(total + 1)]
    as_uneven = sum(c for c in chances if c <= chances[only_first] * (1 + 1e-9))
    assert mcnemar(only_first, only_second) == pytest.approx(as_uneven, rel=1e-9)


def test_the_same_classifier_twice(sample):
    probabilities, labels = sample(0, 100, 3)
    told = compare(probabilities, probabilities, labels)
    assert (told.first_better, told.second_better, told.p_value) == (0, 0, 1.0)
    assert all(told.differences[name].value == 0 for name in METRICS)
    assert all(told.differences[name].ci95 is None for name in METRICS)


def test_a_better_classifier_is_seen_and_pairing_narrows_the_interval(sample):
    first, labels = sample(1, 500, 2, signal=0.5)
    logits = np.log(first)
    logits[np.arange(500), labels] += 0.5
    second = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    told = compare(first, second, labels)
    gain = told.differences["accuracy"]
    values = [metric_values(p, labels)["accuracy"][0] for p in (first, second)]
    assert gain.value == pytest.approx(values[1] - values[0])
    assert told.second_better - told.first_better == round(500 * gain.value)
    assert told.p_value < 1e-6
    assert 0 < gain.ci95[0] < gain.value < gain.ci95[1]
    unpaired = 2 * 1.96 * sum(v * (1 - v) / 500 for v in values) ** 0.5
    assert gain.ci95[1] - gain.ci95[0] < 0.8 * unpaired


def test_a_missing_class_leaves_no_roc_auc(sample):
    probabilities, _ = sample(2, 50, 2)
    told = compare(probabilities, probabilities[::-1], np.zeros(50, int))
    assert told.differences["roc_auc"].value is None
    assert told.differences["roc_auc"].reason == "a class has no item here"


def test_other_items_are_refused(sample):
    probabilities, labels = sample(3, 20, 2)
    with pytest.raises(ArgumentError, match="same items"):
        compare(probabilities, probabilities[:19], labels)


def test_who_is_clearly_better_is_said_and_equals_are_not(sample):
    first, labels = sample(1, 500, 2, signal=0.5)
    logits = np.log(first)
    logits[np.arange(500), labels] += 0.5
    second = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    told = compare(first, second, labels)
    assert told.clearly_better == told.as_json()["clearly_better"] == "second"
    assert told.as_lines("a", "b")[-1] == "clearly better: b (at p = 0.01)"
    assert compare(second, first, labels).clearly_better == "first"
    same = compare(first, first, labels)
    assert same.clearly_better is None
    assert same.as_lines("a", "b")[-1] == "neither is clearly better (at p = 0.01)"


@pytest.mark.parametrize(
    ("difference", "least", "most"), [(0.03, 280, 300), (0.0, 0, 9)], ids=["3 points", "none"]
)
def test_a_difference_of_3_points_on_2000_items_is_found_and_none_is_not(difference, least, most):
    """In 300 trials with one alone right on 8 % of the items; 98 % and at most 1 % are expected."""
    rng = np.random.default_rng(0)
    shares = [0.04 - difference / 2, 0.04 + difference / 2, 0.92]
    counts = rng.multinomial(2000, shares, size=300)
    found = sum(
        PairedComparison(
            differences={}, better="", first_better=a, second_better=b, lead=b - a, test="",
            p_value=mcnemar(a, b),
        ).clearly_better is not None
        for a, b, _ in counts.tolist()
    )  # fmt: skip
    assert least <= found <= most
