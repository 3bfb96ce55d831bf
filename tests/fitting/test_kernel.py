"""The kernel machine of a fit: what is tried, what is kept, and for numbers as for classes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.fitting.methods import kernel
from striate.fitting.methods.kernel import fitted_kernel, kernel_cross_outputs
from striate.fitting.steps import Steps
from striate.kinds.kind import KernelGrid
from striate.run.folder import RunFolder

NUM_ITEMS = 120
SPLITS = np.array(["train"] * 80 + ["val"] * 20 + ["test"] * 20)
RADII = 1 + np.arange(NUM_ITEMS) % 3
TRAIN, TEST = np.flatnonzero(SPLITS == "train"), np.flatnonzero(SPLITS == "test")


@pytest.fixture
def features():
    """Points on rings of three sizes: how large the ring is, no linear layer can tell."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(NUM_ITEMS, 2, generator=generator)
    return points / points.norm(dim=1, keepdim=True) * torch.from_numpy(RADII)[:, None]


@pytest.fixture
def context(tmp_path, objective_of):
    """What a method needs of a fit, for classes or for numbers."""

    made = []

    def make(labels=None, targets=None):
        made.append(1)
        folder = RunFolder.create(tmp_path / f"run-{len(made)}")
        return SimpleNamespace(
            objective=objective_of(SPLITS, labels=labels, targets=targets),
            options=SimpleNamespace(seed=0),
            defaults=SimpleNamespace(kernels=()),
            steps=Steps(folder, {}, resume=False),
        )

    return make


NAMES = np.array(["small", "middle", "large"])[RADII - 1]


@pytest.mark.parametrize(
    "answers", [{"labels": NAMES}, {"targets": RADII.astype(float)}], ids=["classes", "numbers"]
)
def test_what_no_line_tells_apart_is_learnt_and_kept(answers, features, context):
    rings = context(**answers)
    fitted = fitted_kernel(rings, features, TRAIN, "kernel")
    loss = rings.objective.calibrate(fitted.outputs(features[TEST]), TEST)[1]
    assert loss < 0.35 * rings.objective.null_loss(TEST)
    again = fitted_kernel(rings, features, TRAIN, "kernel")
    assert torch.equal(again.outputs(features), fitted.outputs(features))
    assert (again.gamma, again.C) == (fitted.gamma, fitted.C)


@pytest.mark.parametrize(
    "answers", [{"labels": NAMES}, {"targets": RADII.astype(float)}], ids=["classes", "numbers"]
)
def test_among_kernels_the_one_that_leaves_out_the_noise_is_found(answers, features, context):
    rings = context(**answers)
    rings.defaults.kernels = (
        KernelGrid(kernel="laplacian", gammas=(1.0,)),
        KernelGrid(kernel="gaussian", gammas=(0.5, 1.0), num_compared=2),
    )
    noise = torch.randn(NUM_ITEMS, 60, generator=torch.Generator().manual_seed(1))
    noisy = torch.cat([features, noise], 1)
    fitted = fitted_kernel(rings, noisy, TRAIN, "kernel")
    assert (fitted.head.kernel, len(fitted.head.shift)) == ("gaussian", 2)
    assert torch.equal(fitted.outputs(noisy), fitted.outputs(features))
    learnt = np.flatnonzero(SPLITS != "test")
    final = fitted_kernel(rings, noisy, learnt, "final-kernel", like=fitted)
    assert (final.gamma, final.C, len(final.head.shift)) == (fitted.gamma, fitted.C, 2)
    outputs, covered = kernel_cross_outputs(rings, noisy, TRAIN, fitted)
    assert rings.objective.calibrate(outputs, covered)[1] < 0.5 * rings.objective.null_loss(TRAIN)


@pytest.mark.parametrize("better", ["squares", "likelihood"])
def test_the_layer_of_classes_is_what_cross_validation_prefers(
    better, features, context, monkeypatch
):
    rings = context(labels=NAMES)
    rings.defaults.kernels = tuple(
        KernelGrid(kernel=name, gammas=(1.0,)) for name in ("gaussian", "laplacian")
    )
    # A layer that is held back too much, or hardly at all, is the worse one.
    monkeypatch.setattr(kernel, "SEARCH_CS", (30.0, 100.0) if better == "squares" else (1e-6, 2e-6))
    monkeypatch.setattr(kernel, "LAYER_CS", (1e-6, 2e-6) if better == "squares" else (10.0, 30.0))
    fitted = fitted_kernel(rings, features, TRAIN, "kernel")
    assert fitted.squared == (better == "squares")
    again = fitted_kernel(rings, features, TRAIN, "final-kernel", like=fitted)
    assert again.squared == fitted.squared
    torch.testing.assert_close(again.outputs(features), fitted.outputs(features))


def test_a_machine_like_another_shares_its_settings_alone(features, context):
    rings = context(labels=NAMES)
    fitted = fitted_kernel(rings, features, TRAIN, "kernel")
    learnt = np.flatnonzero(SPLITS != "test")
    final = fitted_kernel(rings, features, learnt, "final-kernel", like=fitted)
    assert (final.gamma, final.C) == (fitted.gamma, fitted.C)
    assert (len(fitted.head.landmarks), len(final.head.landmarks)) == (80, 100)


def test_cross_outputs_judge_as_new_items_would(features, context):
    """They are of machines that did not see the item: its own label moves nothing."""
    head = SimpleNamespace(kernel="gaussian", shift=torch.zeros(2))
    like = SimpleNamespace(gamma=1.0, C=30.0, head=head, squared=False)

    def accuracy(rings):
        outputs, covered = kernel_cross_outputs(rings, features, TRAIN, like)
        assert covered.tolist() == TRAIN.tolist()
        return (outputs.argmax(1) == rings.objective.training_targets(covered)).float().mean()

    assert accuracy(context(labels=NAMES)) > 0.85
    shuffled = np.random.default_rng(0).permutation(NAMES)
    assert accuracy(context(labels=shuffled)) < 0.55


def test_where_a_fit_takes_long_less_is_tried(features, context, monkeypatch):
    rings = context(labels=NAMES)
    monkeypatch.setattr(kernel, "_LONG", 1000)
    monkeypatch.setattr(kernel, "_MAX_COST", 80 * 20 * 3)
    tried = []
    fit_probe = rings.objective.fit_probe
    monkeypatch.setattr(
        rings.objective,
        "fit_probe",
        lambda X, indices, config: (
            tried.append((X.shape[1], config.Cs)),
            fit_probe(X, indices, config),
        )[1],
    )
    fitted_kernel(rings, features, TRAIN, "kernel")
    assert tried == [(20, kernel.FEW_CS)]
