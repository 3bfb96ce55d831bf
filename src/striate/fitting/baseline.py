"""Frozen features and the linear probe on them: a baseline within seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.randomness import epoch_order
from striate.errors import StoppedError
from striate.fitting.steps import Ledger
from striate.kinds.image.symmetry import apply_symmetry
from striate.models import Network
from striate.models.kernel_machine import ScaleFeatures
from striate.progress import Progress
from striate.tasks import Task
from striate.transfer.features import extract, extract_parts
from striate.transfer.probe import LinearProbe

READ: Final = 64
"""Items read from the store at a time."""

TRANSFORMED: Final = {"mirror": 1, "upside down": 2, "transposed": 4}
"""The symmetries that generate all eight, by what they do to an image."""

MOST_NUMBERS: Final = 500_000_000
"""Features of all items together, at most: 2 GB."""

EARLY: Final = 45.0
"""Seconds after which a first baseline is told where the features of all items take longer."""

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
    *,
    seed: int,
    look: Callable[[Tensor, NDArray[np.int64]], None],
) -> Tensor:
    """(items, features) frozen features of every item.

    Those of every scale where they are not too many to keep; the last are the pooled ones. First
    come the validation items, then those of training at random: what is known can be judged early.

    Args:
        network: pretrained.
        dataset: of the items.
        size: of the central squares, pixels a side.
        ledger: keeps the result.
        progress: is told of the work.
        stop: says whether to stop.
        seed: of the order.
        look: is shown, again and again, the features and which items have theirs by now.
    """

    def make() -> dict[str, Tensor]:
        train = dataset.indices("train")
        train = train[epoch_order(seed, 0, len(train))]
        order = np.concatenate([dataset.indices("val"), train, dataset.indices("test")])
        scales = ScaleFeatures(network)
        few = scales.num_features * len(order) <= MOST_NUMBERS
        width = scales.num_features if few else network.num_features
        features = torch.empty(len(order), width)
        batches = crops(dataset, order, size, stop=stop)
        done = 0
        with progress.track("features", len(order), "items") as tracker:
            for part in extract_parts(network, batches, features=scales if few else None):
                features[order[done : done + len(part)]] = part
                done += len(part)
                tracker.advance(len(part))
                look(features, order[:done])
        return {"features": features}

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


def early_baseline(
    task: Task,
    num_pooled: int,
    *,
    seed: int,
    seconds: Callable[[], float],
    tell: Callable[[str, Tensor], None],
) -> Callable[[Tensor, NDArray[np.int64]], None]:
    """Tells once how a probe of middling strength does on the items so far: for `features_of`.

    Args:
        task: what to learn.
        num_pooled: the last of an item's features, which the probe takes.
        seed: of the fit.
        seconds: since the fit began.
        tell: is given the probe's description and its outputs for the validation items, which are
            the first to have features.
    """
    train, val = task.dataset.indices("train"), task.dataset.indices("val")
    due = EARLY

    def look(features: Tensor, known: NDArray[np.int64]) -> None:
        nonlocal due
        if seconds() < due:
            return
        learnt = np.intersect1d(known, train)
        if not task.can_learn(learnt):
            due += EARLY
            return
        due = math.inf
        pooled = features[:, -num_pooled:]
        config = task.probe_config(seed)
        middle = config.strengths[len(config.strengths) // 2]
        probe = task.fit_probe(pooled, learnt, replace(config, strengths=(middle,)))
        share = f"linear probe on the first {len(known)} of {len(features)} items"
        tell(share, probe.logits(pooled[val]))

    return look


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
