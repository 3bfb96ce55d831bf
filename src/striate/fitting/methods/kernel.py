"""A kernel machine on frozen features of every scale."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import OptionError
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import (
    Candidate,
    HeldOut,
    KeptFeatures,
    Proposal,
    featured_items,
    on_features,
    refitted,
    seconds_to_refit,
)
from striate.fitting.context import FitContext
from striate.fitting.method import METHODS, Method, frozen_reasons
from striate.fitting.training import MIN_SECONDS
from striate.kinds.kind import KernelGrid
from striate.metrics.novelty import FeaturedItems
from striate.models import Network
from striate.models.graphs import GraphFeatures
from striate.models.kernel_machine import NAME as KERNEL_MACHINE
from striate.models.kernel_machine import kernel_machine_of
from striate.nn.kernel_head import GAUSSIAN, KERNELS, KernelHead
from striate.tasks.objective import Objective
from striate.transfer.kernel_features import MAX_LANDMARKS, KernelSpace, kernel_spaces
from striate.transfer.probe import LinearProbe, ProbeConfig

USUAL: Final = KernelGrid(kernel=GAUSSIAN, gammas=(0.25, 0.5, 1.0))
"""The kernels that are tried where the kind names none."""

CS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Inverse regularizations that are tried, from the strongest regularization on."""

FEW: Final = KernelGrid(kernel=GAUSSIAN, gammas=(0.5,))
FEW_CS: Final = (10.0, 30.0, 100.0)
"""What is tried where a fit takes long."""

SEARCH_CS: Final = (*CS, 1000.0, 3000.0)
"""What is tried by least squares, where they choose among many kernels."""

LAYER_CS: Final = (1.0, 10.0, 100.0, 1000.0, 10000.0)
"""What is then tried of a logistic regression with the kernel that they chose."""

QUICK_CS: Final = (10.0, 100.0, 1000.0)
"""What is tried where fits are quick, and their features such that most items are unlike."""

_LONG: Final = 6_000_000
"""Items times axes times columns of a layer from which on a fit takes more than a second."""

_MAX_COST: Final = 20_000_000
"""Largest product of items, axes and columns; axes are left out to keep to it."""


_QUICK: Final = 10
"""How many times that cost a quick fit affords."""


@dataclass(frozen=True, kw_only=True)
class FittedKernel:
    """A kernel machine fitted to features.

    Attributes:
        head: From features to outputs.
        C: Its inverse regularization.
        squared: Whether its layer is one of least squares for every task.
    """

    head: KernelHead
    C: float
    squared: bool = False

    @property
    def gamma(self) -> float:
        """Gamma of its Gaussian kernel."""
        return float(self.head.gamma)

    def outputs(self, features: Tensor) -> Tensor:
        """(n, outputs) of some items' features."""
        with torch.no_grad():
            found: Tensor = self.head(features)
        return found


class Kernel(Method):
    """A Gaussian kernel compares an item with training items; see `models.kernel_machine`."""

    name = "kernel"
    description = "a kernel machine on frozen features of every scale"
    uses = frozenset({"model", "weights"})

    def reasons(self, context: FitContext) -> list[str]:
        """It needs features that a kernel suits: of images those of every scale."""
        if not (context.defaults.all_scales or context.defaults.kernels):
            return [f"no features of every scale are known for {context.kind.name}s"]
        return frozen_reasons(context)

    def against(self, context: FitContext, baseline: Baseline) -> str:
        """Features of every scale can be too many, and a trained network may have taken the time."""
        if context.trained and not baseline.knows_all:
            return "it would learn from a part of the items, and a network has learnt from all"
        if context.trained and context.seconds_to_train() < MIN_SECONDS:
            return "no time is left for a kernel machine"
        return "" if baseline.has_all_scales else _too_many(baseline)

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """A machine whose kernel and regularization cross-validation chooses."""
        if not baseline.has_all_scales:
            raise OptionError(
                "method", self.name, why=_too_many(baseline), fix="choose auto or finetune"
            )
        features, machine = baseline.compared, _machine_name(baseline)
        train, val = (
            baseline.known(context.dataset.indices("train")),
            context.dataset.indices("val"),
        )
        learnt = baseline.known(np.flatnonzero(context.dataset.splits != "test"))
        began = time.monotonic()
        fitted = context.steps.timed(
            "train", lambda: fitted_kernel(context, features, train, "kernel")
        )
        seconds = context.steps.step("kernel seconds", lambda: time.monotonic() - began)
        outputs = fitted.outputs(features[val])
        context.tell_validation(
            "kernel machine", f"{fitted.head.kernel} kernel of frozen features", outputs
        )

        everything = baseline.known(np.arange(len(context.dataset.items)))
        kept = KeptFeatures(indices=everything, features=baseline.features)

        def featured() -> FeaturedItems:
            return featured_items(context, learnt, baseline.features[learnt])

        def refit() -> Candidate:
            final = fitted_kernel(context, features, learnt, "final-kernel", like=fitted)
            return refitted(
                context,
                method=self.name,
                model=machine,
                network=machine_of(baseline, final),
                weights=baseline.weights,
                held_out=kernel_cross_outputs(context, features, learnt, fitted),
                featured=featured(),
                kept=kept,
                details={"backbone": baseline.model},
            )

        calibration, loss = context.objective.calibrate(outputs, val)
        return Proposal(
            method=self.name,
            name="kernel machine",
            outputs=outputs,
            calibration=calibration,
            loss=loss,
            candidate=lambda: on_features(
                context,
                method=self.name,
                model=machine,
                network=machine_of(baseline, fitted),
                weights=baseline.weights,
                outputs=outputs,
                calibration=calibration,
                featured=featured(),
                kept=kept,
                details={"backbone": baseline.model},
            ),
            refit=refit,
            refit_seconds=seconds_to_refit(seconds, len(train), len(learnt)),
            cross_outputs=lambda: kernel_cross_outputs(context, features, train, fitted),
        )


def machine_of(baseline: Baseline, fitted: FittedKernel) -> Network:
    """The network that ends in a kernel machine.

    Args:
        baseline: The frozen features.
        fitted: Fitted to them.
    """
    if isinstance(baseline.network, GraphFeatures):
        return baseline.network.with_landmarks(fitted.head)
    machine = kernel_machine_of(
        baseline.network,
        baseline.model,
        num_landmarks=len(fitted.head.landmarks),
        num_classes=fitted.head.linear.out_features,
    )
    machine.head.load_state_dict(fitted.head.state_dict())
    return machine


def fitted_kernel(
    context: FitContext,
    features: Tensor,
    indices: NDArray[np.int64],
    name: str,
    *,
    like: FittedKernel | None = None,
) -> FittedKernel:
    """A kernel machine fitted to some items.

    Args:
        context: The fit.
        features: (items, features) of all items.
        indices: Positions of the items to fit to.
        name: Name of the step whose result this is.
        like: Another machine, whose kernel, gamma and C are taken; by default cross-validation in
            these items chooses them.
    """
    objective = context.objective

    def make() -> dict[str, Tensor]:
        grids, config = _grid(context, len(indices))
        if like is not None:
            grids, config = (_grid_of(like),), _config_of(context, like)
        probe, head, squared = _best(objective, features, indices, grids, config)
        number = KERNELS.names().index(head.kernel)
        chosen = torch.tensor([probe.C, number, squared], dtype=torch.float64)
        return {**head.state_dict(), "choices": chosen}

    stored = context.steps.tensors(name, make)
    C, number, squared = stored.pop("choices").tolist()
    landmarks, weight = stored["landmarks"], stored["linear.weight"]
    kernel = KERNELS.names()[int(number)]
    head = KernelHead(landmarks.shape[1], len(landmarks), len(weight), kernel)
    head.load_state_dict(stored)
    return FittedKernel(head=head.eval(), C=float(C), squared=bool(squared))


def kernel_cross_outputs(
    context: FitContext, features: Tensor, indices: NDArray[np.int64], like: FittedKernel
) -> HeldOut:
    """Outputs of machines like one for items that each was not fitted to.

    The coordinates are those of all the items, which takes no labels.

    Args:
        context: The fit.
        features: (items, features) of all items.
        indices: Positions of the items to go through, fold by fold.
        like: Gives kernel, gamma and C.
    """
    objective, config = context.objective, _config_of(context, like)
    ((compared, space),) = _spaces(objective, features, indices, (_grid_of(like),), config.seed)
    return objective.cross_outputs(space.coordinates(compared), indices, config)


def _best(
    objective: Objective,
    features: Tensor,
    indices: NDArray[np.int64],
    grids: Sequence[KernelGrid],
    config: ProbeConfig,
) -> tuple[LinearProbe, KernelHead, bool]:
    """The machine with the lowest loss on held-out items of a cross-validation, and its head.

    Where least squares chose among kernels, the layer is a logistic regression instead, if that has
    the lower calibrated loss in a cross-validation. Last is whether the layer is of least squares.
    """
    found: list[tuple[float, LinearProbe, Tensor, KernelSpace]] = []
    for compared, space in _spaces(objective, features, indices, grids, config.seed):
        probe = objective.fit_probe(space.coordinates(compared), indices, config)
        found.append((min(probe.scores.values(), default=0.0), probe, compared, space))
    _, probe, compared, space = min(found, key=lambda one: one[0])
    squares_are_usual = objective.probe_config(config.seed).squared
    if not config.squared or squares_are_usual or len(config.Cs) == 1:
        return probe, space.head(probe), config.squared
    coordinates = space.coordinates(compared)
    usual = replace(config, Cs=LAYER_CS, squared=False)
    logistic = objective.fit_probe(coordinates, indices, usual)

    def loss(layer: LinearProbe, how: ProbeConfig) -> float:
        held_out = objective.cross_outputs(coordinates, indices, replace(how, Cs=(layer.C,)))
        return objective.calibrate(*held_out)[1]

    squared = loss(probe, config) <= loss(logistic, usual)
    best = probe if squared else logistic
    return best, space.head(best), squared


def _spaces(
    objective: Objective,
    features: Tensor,
    indices: NDArray[np.int64],
    grids: Sequence[KernelGrid],
    seed: int,
) -> Iterator[tuple[Tensor, KernelSpace]]:
    """The space of every kernel, with the features that it compares."""
    max_axes = _max_axes(objective, len(indices))
    for grid in grids:
        compared = features[:, : grid.num_compared]
        for space in kernel_spaces(
            compared[indices], grid.gammas, max_axes=max_axes, seed=seed, kernel=grid.kernel
        ):
            yield compared, space


def _grid_of(like: FittedKernel) -> KernelGrid:
    """The kernel of a machine alone."""
    head = like.head
    return KernelGrid(kernel=head.kernel, gammas=(like.gamma,), num_compared=len(head.shift))


def _too_many(baseline: Baseline) -> str:
    return f"{len(baseline.features)} items are too many to keep their features of every scale"


def _columns(objective: Objective) -> int:
    """Columns of the layer that is fitted: two classes need one."""
    return 1 if objective.num_outputs <= 2 else objective.num_outputs


def _max_axes(objective: Objective, num_items: int) -> int:
    cost = _MAX_COST * (_QUICK if objective.quick else 1)
    return max(1, min(MAX_LANDMARKS, cost // (num_items * _columns(objective))))


def _grid(context: FitContext, num_items: int) -> tuple[tuple[KernelGrid, ...], ProbeConfig]:
    """Kernels to choose from, and how layers are fitted: few where items or classes are many."""
    objective, kernels, seed = context.objective, context.defaults.kernels, context.options.seed
    plain = ProbeConfig(Cs=CS, standardize=False, seed=seed)
    if kernels:
        return kernels, replace(plain, Cs=SEARCH_CS, squared=True)
    if objective.quick:
        return (FEW,), replace(plain, Cs=QUICK_CS)
    axes = min(num_items, _max_axes(objective, num_items))
    if num_items * axes * _columns(objective) > _LONG:
        return (FEW,), replace(plain, Cs=FEW_CS)
    return (USUAL,), plain


def _config_of(context: FitContext, like: FittedKernel) -> ProbeConfig:
    """How the layer of a machine like one is fitted."""
    seed = context.options.seed
    return ProbeConfig(Cs=(like.C,), standardize=False, seed=seed, squared=like.squared)


def _machine_name(baseline: Baseline) -> str:
    """Name of the network that the machine is."""
    return baseline.model if baseline.network.config.rank == 0 else KERNEL_MACHINE


METHODS.add(Kernel.name, Kernel())
