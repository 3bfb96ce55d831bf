"""The kernel machine of a fit: what is tried, what is kept, and for numbers as for classes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.fitting import kernel
from striate.fitting.kernel import kernel_cross_outputs, kernel_probe_of
from striate.fitting.steps import Ledger
from striate.run.folder import RunFolder
from striate.tasks import Classification, Regression

NUM_ITEMS = 120
SPLITS = np.array(["train"] * 80 + ["val"] * 20 + ["test"] * 20)
RADII = 1 + np.arange(NUM_ITEMS) % 3


@pytest.fixture
def features():
    """Points on rings of three sizes: how large the ring is, no linear layer can tell."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(NUM_ITEMS, 2, generator=generator)
    return points / points.norm(dim=1, keepdim=True) * torch.from_numpy(RADII)[:, None]


def task(kind):
    numbers = kind is Regression
    dataset = SimpleNamespace(
        name="rings",
        classes=() if numbers else ("small", "middle", "large"),
        labels=RADII - 1,
        targets=RADII.astype(np.float64) if numbers else None,
        splits=SPLITS,
        duplicate_groups=np.arange(NUM_ITEMS),
        items=[SimpleNamespace(id=str(n)) for n in range(NUM_ITEMS)],
        indices=lambda part: np.flatnonzero(part == SPLITS),
    )
    return kind(dataset)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(RunFolder.create(tmp_path / "run"), {}, resume=False)


@pytest.mark.parametrize("kind", [Classification, Regression])
def test_what_no_line_tells_apart_is_learnt_and_kept(kind, features, ledger):
    rings = task(kind)
    train, test = rings.dataset.indices("train"), rings.dataset.indices("test")
    probe = kernel_probe_of(rings, features, train, seed=0, ledger=ledger, topic="kernel")
    loss = rings.uncalibrated_loss(probe.outputs(features[test]), test)
    assert loss < 0.35 * rings.ignorance(test)
    again = kernel_probe_of(rings, features, train, seed=0, ledger=ledger, topic="kernel")
    assert torch.equal(again.outputs(features), probe.outputs(features))
    assert (again.sharpness, again.strength) == (probe.sharpness, probe.strength)


def test_a_machine_like_another_shares_its_settings_alone(features, ledger):
    rings = task(Classification)
    train = rings.dataset.indices("train")
    learnt = np.flatnonzero(SPLITS != "test")
    probe = kernel_probe_of(rings, features, train, seed=0, ledger=ledger, topic="kernel")
    final = kernel_probe_of(
        rings, features, learnt, seed=0, ledger=ledger, topic="final kernel", like=probe
    )
    assert (final.sharpness, final.strength) == (probe.sharpness, probe.strength)
    assert (len(probe.head.landmarks), len(final.head.landmarks)) == (80, 100)


def test_cross_outputs_judge_as_new_items_would(features):
    """They are of machines that did not see the item: its own label moves nothing."""
    like = SimpleNamespace(sharpness=1.0, strength=30.0)
    rings = task(Classification)
    train = rings.dataset.indices("train")
    outputs, covered = kernel_cross_outputs(rings, features, train, like, seed=0)
    assert covered.tolist() == train.tolist()
    accuracy = (outputs.argmax(1).numpy() == rings.dataset.labels[covered]).mean()
    assert accuracy > 0.85
    noise = task(Classification)
    noise.dataset.labels = np.random.default_rng(0).permutation(noise.dataset.labels)
    outputs, covered = kernel_cross_outputs(noise, features, train, like, seed=0)
    assert (outputs.argmax(1).numpy() == noise.dataset.labels[covered]).mean() < 0.55


def test_where_a_fit_takes_long_less_is_tried(features, ledger, monkeypatch):
    rings = task(Classification)
    train = rings.dataset.indices("train")
    monkeypatch.setattr(kernel, "_LONG", 1000)
    monkeypatch.setattr(kernel, "_LONGEST", 80 * 20 * 3)
    tried = []
    monkeypatch.setattr(
        Classification,
        "fit_probe",
        lambda self, X, indices, config, fit=Classification.fit_probe: (
            tried.append((X.shape[1], config.strengths)),
            fit(self, X, indices, config),
        )[1],
    )
    kernel_probe_of(rings, features, train, seed=0, ledger=ledger, topic="kernel")
    assert tried == [(20, kernel.FEW_STRENGTHS)]
