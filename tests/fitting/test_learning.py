"""The learning curve of a fit: from training and validation items alone, within its time."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.fitting.check.learning import MIN_ITEMS, learning_curve


@pytest.fixture
def fitted(objective_of):
    """A function: a fit of items of two classes whose features tell them a little."""

    def make(num_items, num_features=20):
        rng = np.random.default_rng(0)
        labels = np.arange(num_items) % 2
        splits = np.array(["train", "val", "test", "train", "train"])[np.arange(num_items) // 2 % 5]
        objective = objective_of(splits, labels=labels)
        features = rng.normal(size=(num_items, num_features)) + 0.6 * (2 * labels[:, None] - 1) * (
            np.arange(num_features) < 2
        )
        features[splits == "test"] = np.nan
        context = SimpleNamespace(
            dataset=objective.dataset, objective=objective, options=SimpleNamespace(seed=0)
        )
        baseline = SimpleNamespace(
            pooled=torch.from_numpy(features).float(),
            known=lambda indices: indices,
            probe=SimpleNamespace(C=0.01),
            config=lambda: objective.probe_config(0),
        )
        return context, baseline, int((splits != "test").sum())

    return make


def test_the_test_items_take_no_part(fitted):
    context, baseline, num_learnt = fitted(300)
    curve = learning_curve(context, baseline, math.inf)
    assert curve.num_items == num_learnt and len(curve.sizes) == 5
    assert curve.sizes[0] >= 20 and curve.sizes[-1] <= 0.85 * num_learnt
    errors = [error.value for error in curve.errors]
    assert all(0 < error < 0.5 for error in errors) and errors[-1] < errors[0]
    low, high = curve.gain.ci95
    assert low <= curve.gain.value <= high
    assert curve.error_name == "share of wrong answers"


def test_few_items_and_little_time_have_no_curve(fitted):
    context, baseline, _ = fitted(300)
    assert learning_curve(context, baseline, 0.0) is None
    context, baseline, num_learnt = fitted(MIN_ITEMS)
    assert num_learnt < MIN_ITEMS and learning_curve(context, baseline, math.inf) is None
