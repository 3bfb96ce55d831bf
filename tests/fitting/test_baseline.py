"""The first baseline: told in time, of the items that have features by then and of no others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from striate.fitting.baseline.baseline import FIRST_BASELINE_SECONDS, Baseline
from striate.fitting.baseline.feature_pass import share_of
from striate.train.strategy import Strategy

NUM_ITEMS, NUM_POOLED = 90, 4
SPLITS = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 10)
LABELS = np.arange(NUM_ITEMS) % 2
ORDER = np.concatenate([np.arange(60, 80), np.arange(60), np.arange(80, 90)])


@pytest.fixture
def context(objective_of):
    objective = objective_of(SPLITS, labels=np.array(["even", "odd"])[LABELS])
    options = SimpleNamespace(seed=0, model="made")
    return SimpleNamespace(
        objective=objective, dataset=objective.dataset, options=options, first_baseline=None
    )


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


def told_at(context, features, moments, counts):
    """What is told by looks at these moments, when so many items have features."""
    told, clock = [], iter(moments)
    context.seconds = lambda: next(clock)
    context.tell_validation = lambda name, model, outputs: told.append((model, outputs))
    baseline = Baseline(context)
    baseline.network = SimpleNamespace(num_features=NUM_POOLED)
    look = baseline._early_probe()
    for num_known in counts:
        look(*known_features(features, num_known))
    return told


def test_it_is_told_once_and_of_the_known_items_alone(context, features):
    due = FIRST_BASELINE_SECONDS
    moments = [due - 1, due + 1, due + 2, 10 * due]
    ((model, outputs),) = told_at(context, features, moments, (40, 50, 60, 70))
    assert model == "linear probe on the first 50 of 90 items"
    pooled = features[:, -NUM_POOLED:].double().numpy()
    mean, deviation = pooled[:30].mean(0), pooled[:30].std(0)
    standard = (pooled - mean) / deviation
    # The middle of the eight values is 1e-2; scikit-learn's C weighs the sum of the losses.
    C = context.objective.probe_config(0).Cs[4]
    rival = LogisticRegression(C=C, tol=1e-8, max_iter=1000)
    rival.fit(standard[:30], LABELS[:30])
    expected = rival.decision_function(standard[60:80])
    margin = (outputs[:, 1] - outputs[:, 0]).numpy()
    np.testing.assert_allclose(margin, expected, rtol=1e-3, atol=1e-3)


def test_it_waits_for_every_class(context, features):
    due = FIRST_BASELINE_SECONDS
    # The first training item alone has one class.
    told = told_at(context, features, [due, due + 1, 2 * due], (21, 60, 61))
    ((model, _),) = told
    assert model == "linear probe on the first 61 of 90 items"


@pytest.mark.parametrize("num_processes", [1, 2, 4])
@pytest.mark.parametrize(("count", "batch_size"), [(90, 32), (64, 32), (20, 32), (9, None)])
def test_processes_share_items_out_in_the_batches_of_one(num_processes, count, batch_size):
    items = np.random.default_rng(0).permutation(count)
    batches = []
    for rank in range(num_processes):
        strategy = Strategy()
        strategy.rank, strategy.num_processes = rank, num_processes
        own, size = share_of(items, batch_size, strategy), batch_size or count
        batches += [own[start : start + size].tolist() for start in range(0, len(own), size)]
    size = batch_size or count
    whole = [items[start : start + size].tolist() for start in range(0, count, size)]
    assert sorted(batches) == sorted(whole)
