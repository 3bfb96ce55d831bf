"""The first baseline: told in time, of the items that have features by then and of no others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from striate.fitting.baseline import EARLY, early_baseline
from striate.tasks import Classification

NUM_ITEMS, NUM_POOLED = 90, 4
SPLITS = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 10)
LABELS = np.arange(NUM_ITEMS) % 2
ORDER = np.concatenate([np.arange(60, 80), np.arange(60), np.arange(80, 90)])


@pytest.fixture
def task():
    dataset = SimpleNamespace(
        classes=("even", "odd"),
        labels=LABELS,
        splits=SPLITS,
        duplicate_groups=np.arange(NUM_ITEMS),
        indices=lambda part: np.flatnonzero(part == SPLITS),
    )
    return Classification(dataset)


@pytest.fixture
def features():
    """More of each item than the pooled features, which alone tell the classes apart."""
    drawn = torch.randn(NUM_ITEMS, 3 + NUM_POOLED, generator=torch.Generator().manual_seed(0))
    drawn[:, 3] += torch.from_numpy(LABELS)
    return drawn


def known_features(features, num_known):
    """Those of the first items in the order of computing; the rest would spoil any result."""
    known = torch.full_like(features, torch.nan)
    known[ORDER[:num_known]] = features[ORDER[:num_known]]
    return known, ORDER[:num_known]


def test_it_is_told_once_and_of_the_known_items_alone(task, features):
    told, clock = [], iter([EARLY - 1, EARLY + 1, EARLY + 2, 10 * EARLY])
    look = early_baseline(
        task, NUM_POOLED, seed=0, seconds=lambda: next(clock), tell=lambda *said: told.append(said)
    )
    for num_known in (40, 50, 60, 70):
        look(*known_features(features, num_known))
    ((model, outputs),) = told
    assert model == "linear probe on the first 50 of 90 items"
    pooled = features[:, -NUM_POOLED:].double().numpy()
    mean, deviation = pooled[:30].mean(0), pooled[:30].std(0)
    standard = (pooled - mean) / deviation
    # The middle of the eight strengths is 1e-2; scikit-learn's C weighs the sum of the losses.
    strength = task.probe_config(0).strengths[4]
    rival = LogisticRegression(C=strength, tol=1e-8, max_iter=1000)
    rival.fit(standard[:30], LABELS[:30])
    expected = rival.decision_function(standard[60:80])
    margin = (outputs[:, 1] - outputs[:, 0]).numpy()
    np.testing.assert_allclose(margin, expected, rtol=1e-3, atol=1e-3)


def test_it_waits_for_every_class(task, features):
    told, clock = [], iter([EARLY, EARLY + 1, 2 * EARLY])
    look = early_baseline(
        task, NUM_POOLED, seed=0, seconds=lambda: next(clock), tell=lambda *said: told.append(said)
    )
    for num_known in (21, 60, 61):  # the first training item alone has one class
        look(*known_features(features, num_known))
    ((model, _),) = told
    assert model == "linear probe on the first 61 of 90 items"
