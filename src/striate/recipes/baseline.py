"""Frozen features and the linear probe on them: a baseline within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.symmetry import apply_symmetry
from striate.errors import StoppedError
from striate.models import Network
from striate.models.kernel_machine import ScaleFeatures
from striate.progress import Progress
from striate.recipes.ledger import Ledger
from striate.recipes.tasks import Task
from striate.transfer.features import extract
from striate.transfer.probe import LinearProbe

READ: Final = 64
"""Items read from the store at a time."""

TRANSFORMED: Final = {"mirror": 1, "upside down": 2, "transposed": 4}
"""The symmetries that generate all eight, by what they do to an image."""

MOST_NUMBERS: Final = 500_000_000
"""Features of all items together, at most: 2 GB."""

_LOOKS: Final = 256
"""Validation items that are looked at transformed."""


def crops(
    dataset: ImageDataset,
    indices: NDArray[np.int64],
    size: int,
    symmetry: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Tensor]:
    """Batches of the items' central squares, uint8, under a symmetry.

    Raises:
        StoppedError: `stop` said so.
    """
    for start in range(0, len(indices), READ):
        if stop is not None and stop():
            raise StoppedError
        pixels = dataset.pixels.center_crops(indices[start : start + READ], size)
        yield apply_symmetry(pixels, symmetry)


def features_of(
    network: Network,
    dataset: ImageDataset,
    size: int,
    ledger: Ledger,
    progress: Progress,
    stop: Callable[[], bool] | None,
) -> Tensor:
    """(items, features) frozen features of every item.

    Those of every scale where they are not too many to keep; the last are the pooled ones.
    """

    def make() -> dict[str, Tensor]:
        everything = np.arange(len(dataset.items))
        scales = ScaleFeatures(network)
        few = scales.num_features * len(everything) <= MOST_NUMBERS
        with progress.track("features", len(everything), "items") as tracker:
            batches = crops(dataset, everything, size, stop=stop)
            features = scales if few else None
            return {"features": extract(network, batches, features=features, tracker=tracker)}

    return ledger.tensors("features", make)["features"]


def has_all_scales(network: Network, features: Tensor) -> bool:
    """Whether a network's features are of every scale, or the items were too many for that."""
    return features.shape[1] == ScaleFeatures(network).num_features


def probe_of(
    task: Task,
    features: Tensor,
    indices: NDArray[np.int64],
    seed: int,
    ledger: Ledger,
    topic: str = "probe",
) -> LinearProbe:
    """A probe fitted to some items, its strength chosen by cross-validation in them."""

    def make() -> dict[str, Tensor]:
        probe = task.fit_probe(features, indices, task.probe_config(seed))
        strength = torch.tensor(probe.strength, dtype=torch.float64)
        return {"weight": probe.weight, "bias": probe.bias, "strength": strength}

    stored = ledger.tensors(topic, make)
    return LinearProbe(
        weight=stored["weight"],
        bias=stored["bias"],
        strength=stored["strength"].item(),
        scores={},
    )


def probe_cross_outputs(
    task: Task, features: Tensor, indices: NDArray[np.int64], probe: LinearProbe, seed: int
) -> tuple[Tensor, NDArray[np.int64]]:
    """What probes of one's strength say of items that each was not fitted to, and of which items."""
    config = replace(task.probe_config(seed), strengths=(probe.strength,))
    return task.cross_outputs(features, indices, config)


def transformed_losses(
    network: Network,
    probe: LinearProbe,
    features: Tensor,
    task: Task,
    dataset: ImageDataset,
    size: int,
    stop: Callable[[], bool] | None,
) -> tuple[dict[str, float], float]:
    """The probe's loss on some validation items as they are and transformed, and of knowing nothing."""
    looks = dataset.indices("val")[:: max(1, len(dataset.indices("val")) // _LOOKS)]
    losses = {"identity": task.uncalibrated_loss(probe.logits(features[looks]), looks)}
    for name, symmetry in TRANSFORMED.items():
        batches = crops(dataset, looks, size, symmetry, stop)
        seen = extract(network, batches)
        losses[name] = task.uncalibrated_loss(probe.logits(seen), looks)
    return losses, task.ignorance(looks)
