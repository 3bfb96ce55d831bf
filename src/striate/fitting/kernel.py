"""The kernel machine of a fit: chosen by cross-validation, and as a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.fitting.steps import Ledger
from striate.models import Network
from striate.models.kernel_machine import KernelHead, KernelMachine, kernel_machine_of
from striate.tasks import Task
from striate.transfer.kernel import MAX_LANDMARKS, kernel_spaces
from striate.transfer.probe import LinearProbe, ProbeConfig

SHARPNESSES: Final = (0.25, 0.5, 1.0)
"""Of the kernels tried."""

STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Inverse regularization tried, from the strongest regularization on."""

FEW_SHARPNESSES: Final = (0.5,)
FEW_STRENGTHS: Final = (10.0, 30.0, 100.0)
"""Tried where a fit takes long."""

_LONG: Final = 6_000_000
"""Items times axes times columns of a layer from which on a fit takes more than a second."""

_LONGEST: Final = 20_000_000
"""The same, at most; coordinates are left out to keep to it."""


@dataclass(frozen=True, kw_only=True)
class KernelProbe:
    """A kernel machine fitted to features.

    Attributes:
        head: from features to outputs.
        strength: its inverse regularization.
    """

    head: KernelHead
    strength: float

    @property
    def sharpness(self) -> float:
        """Of its kernel."""
        return float(self.head.sharpness)

    def outputs(self, features: Tensor) -> Tensor:
        """(n, outputs) of some items' features."""
        with torch.no_grad():
            found: Tensor = self.head(features)
        return found

    def machine(self, network: Network, name: str) -> KernelMachine:
        """The network whose features these are, ending in the head.

        Args:
            network: pretrained.
            name: of it, for `create_model`.
        """
        machine = kernel_machine_of(
            network,
            name,
            num_landmarks=len(self.head.landmarks),
            num_classes=self.head.linear.out_features,
        )
        machine.head.load_state_dict(self.head.state_dict())
        return machine


def kernel_probe_of(
    task: Task,
    features: Tensor,
    indices: NDArray[np.int64],
    *,
    seed: int,
    ledger: Ledger,
    topic: str,
    like: KernelProbe | None = None,
) -> KernelProbe:
    """A kernel machine fitted to some items.

    Args:
        task: what to learn.
        features: (items, features) of all items.
        indices: of those to fit to.
        seed: of landmarks and folds.
        ledger: keeps the result.
        topic: under which name.
        like: another, whose kernel and regularization are taken; by default cross-validation in
            these items chooses both.
    """

    def make() -> dict[str, Tensor]:
        sharpnesses, strengths = _grid(task, len(indices))
        if like is not None:
            sharpnesses, strengths = (like.sharpness,), (like.strength,)
        probe, head = _best(task, features, indices, sharpnesses, _config(strengths, seed))
        strength = torch.tensor(probe.strength, dtype=torch.float64)
        return {**head.state_dict(), "strength": strength}

    stored = ledger.tensors(topic, make)
    strength = stored.pop("strength").item()
    landmarks, weight = stored["landmarks"], stored["linear.weight"]
    head = KernelHead(landmarks.shape[1], len(landmarks), len(weight))
    head.load_state_dict(stored)
    return KernelProbe(head=head.eval(), strength=float(strength))


def kernel_cross_outputs(
    task: Task,
    features: Tensor,
    indices: NDArray[np.int64],
    like: KernelProbe,
    *,
    seed: int,
) -> tuple[Tensor, NDArray[np.int64]]:
    """What machines like one say of items that each was not fitted to, and which items these are.

    The coordinates are those of all the items, which takes no labels.

    Args:
        task: what to learn.
        features: (items, features) of all items.
        indices: of those to go through, fold by fold.
        like: gives kernel and regularization.
        seed: of landmarks and folds.
    """
    (space,) = kernel_spaces(
        features[indices], (like.sharpness,), max_axes=_max_axes(task, len(indices)), seed=seed
    )
    coordinates = space.coordinates(features)
    return task.cross_outputs(coordinates, indices, _config((like.strength,), seed))


def _best(
    task: Task,
    features: Tensor,
    indices: NDArray[np.int64],
    sharpnesses: Sequence[float],
    config: ProbeConfig,
) -> tuple[LinearProbe, KernelHead]:
    """The machine with the least loss on held-out items of a cross-validation, and its head."""
    found: list[tuple[float, LinearProbe, KernelHead]] = []
    spaces = kernel_spaces(
        features[indices],
        sharpnesses,
        max_axes=_max_axes(task, len(indices)),
        seed=config.seed,
    )
    for space in spaces:
        probe = task.fit_probe(space.coordinates(features), indices, config)
        loss = min(probe.scores.values(), default=0.0)
        found.append((loss, probe, space.head(probe)))
    _, probe, head = min(found, key=lambda one: one[0])
    return probe, head


def _columns(task: Task) -> int:
    """Of the layer that is fitted: two classes need one."""
    return 1 if task.num_outputs <= 2 else task.num_outputs


def _max_axes(task: Task, num_items: int) -> int:
    return max(1, min(MAX_LANDMARKS, _LONGEST // (num_items * _columns(task))))


def _grid(task: Task, num_items: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Kernels and strengths to choose from: few where there are many items or classes."""
    axes = min(num_items, _max_axes(task, num_items))
    if num_items * axes * _columns(task) > _LONG:
        return FEW_SHARPNESSES, FEW_STRENGTHS
    return SHARPNESSES, STRENGTHS


def _config(strengths: tuple[float, ...], seed: int) -> ProbeConfig:
    return ProbeConfig(strengths=strengths, standardize=False, seed=seed)
