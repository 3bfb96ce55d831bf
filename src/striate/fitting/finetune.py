"""Fine-tuning: the late blocks learn from stored maps of the early ones, which stay frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.batches import Loader, LoaderConfig
from striate.data.dataset import ImageDataset
from striate.fitting.baseline import crops
from striate.fitting.training import Training
from striate.fitting.variants import data_key, policy_for, variants_of
from striate.models import Network
from striate.nn.fuse import fold_batch_norm, unfold_batch_norm
from striate.nn.parameters import plain_groups
from striate.progress import Progress
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.tasks import Task
from striate.transfer.frozen import FrozenBatches, FrozenPrefix, MapStore, Tail
from striate.transfer.groups import relative_groups

NUM_VARIANTS: Final = 8
"""Augmented variants of each item whose maps are stored, where there is time to make them."""

MAP_BYTES: Final = 8 * 10**9
"""The most that stored maps may take; fewer variants where it is not enough."""

FROZEN_STRIDE: Final = 12
"""Blocks whose maps are finer than one position in so many pixels stay frozen."""

MAX_EPOCHS: Final = 40

VALIDATION_BATCH: Final = 8
"""Items validated together."""

RELATIVE_RATE: Final = 1.2e-3
"""Of fine-tuning: a step changes a tensor by this share of its size, at the schedule's peak."""

HEAD_RATE: Final = 2.5
"""The head's learning rate over `RELATIVE_RATE`; not relative, for the head is fresh."""

RATE_FROM_SCRATCH: Final = 2e-3
DECAY_FROM_SCRATCH: Final = 0.05


def frozen_blocks(network: Network, size: int) -> int:
    """Number of early blocks that stay frozen: those that work on fine maps.

    Args:
        network: of any rank.
        size: side of its input, in pixels.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    config = network.config
    maps = torch.zeros(1, config.in_channels, *[size] * config.rank, device="meta")
    modules = [module for _, module in shadow.blocks()]
    count = 0
    with torch.no_grad():
        for module in modules[:-1]:
            maps = module(maps)
            if maps.shape[-1] * FROZEN_STRIDE < size:
                break
            count += 1
    return count


def tail_training(
    network: Network,
    task: Task,
    dataset: ImageDataset,
    *,
    size: int,
    symmetry: str,
    seed: int,
    batch_size: int,
    num_variants: int,
    folder: RunFolder,
    progress: Progress,
    stop: Callable[[], bool],
) -> Training:
    """Training of the late blocks from stored maps; the maps are computed here.

    Raises:
        StorageError: the maps do not fit on the disk.
        StoppedError: `stop` said so.
    """
    device = next(network.parameters()).device
    cut = frozen_blocks(network, size)
    prefix = FrozenPrefix(network, cut)
    shape = (network.config.in_channels, size, size)
    train_items, val_items = dataset.indices("train"), dataset.indices("val")
    variants = num_variants
    while variants > 1 and prefix.required_bytes(shape, len(train_items) * variants) > MAP_BYTES:
        variants //= 2

    def store(name: str, indices: NDArray[np.int64], num_variants: int) -> MapStore:
        label = f"maps of {cut} frozen blocks, {name}"
        with progress.track(label, len(indices), "items") as tracker:
            return prefix.store(
                variants_of(dataset, indices, size, symmetry, num_variants, seed, stop),
                pixel_shape=shape,
                num_items=len(indices),
                num_views=num_variants,
                data_key=data_key(dataset, indices, size, symmetry, num_variants, seed),
                folder=folder.path / CHECKPOINTS,
                budget_bytes=2 * MAP_BYTES,
                tracker=tracker,
            )

    training_maps = store("training", train_items, variants)
    validation_maps = store("validation", val_items, 1)
    tail = Tail(network, cut)
    # Without batch norms a step takes less time, and their statistics, made from a million
    # photographs, cannot be spoilt by a few small batches.
    example = next(validation_maps.batches(1)).to(device, torch.float32)
    folded = fold_batch_norm(tail, example).requires_grad_(True)
    return Training(
        trainee=folded,
        task=task,
        learning_rate=RELATIVE_RATE,
        batches=FrozenBatches(
            training_maps,
            task.training_targets(train_items),
            dataset.ids(train_items),
            batch_size=batch_size,
            seed=seed,
        ),
        validation=lambda: (maps.float() for maps in validation_maps.batches(VALIDATION_BATCH)),
        validated=val_items,
        groups=relative_groups(folded, folded.get_submodule("head"), head_rate=HEAD_RATE),
        batch_size=batch_size,
        max_epochs=MAX_EPOCHS,
        finish=lambda: unfold_batch_norm(folded, tail, example),
    )


def full_training(
    network: Network,
    task: Task,
    dataset: ImageDataset,
    *,
    size: int,
    symmetry: str,
    seed: int,
    batch_size: int,
    workers: int,
) -> Training:
    """Training of the whole network, from augmented pixels."""
    train_items, val_items = dataset.indices("train"), dataset.indices("val")
    policy = policy_for(symmetry)
    config = LoaderConfig(
        batch_size=batch_size, size=size, policy=policy, seed=seed, workers=workers
    )
    return Training(
        trainee=network,
        task=task,
        learning_rate=RATE_FROM_SCRATCH,
        batches=_PixelBatches(Loader(dataset, train_items, config), network, task),
        validation=lambda: (
            network.preprocessing.normalize(part)
            for batch in crops(dataset, val_items, size)
            for part in torch.split(batch, VALIDATION_BATCH)
        ),
        validated=val_items,
        groups=plain_groups(network, DECAY_FROM_SCRATCH),
        batch_size=batch_size,
        max_epochs=MAX_EPOCHS,
    )


class _PixelBatches:
    """A loader's batches as the training loop wants them: normalized, with targets."""

    def __init__(self, loader: Loader, network: Network, task: Task) -> None:
        self._loader, self._network, self._task = loader, network, task

    @property
    def steps_per_epoch(self) -> int:
        return self._loader.steps_per_epoch

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._loader.epoch(epoch, start_step):
            targets = self._task.training_targets(batch.indices)
            yield self._network.preprocessing.normalize(batch.pixels), targets

    def ids(self, epoch: int, step: int) -> list[str]:
        return self._task.dataset.ids(self._loader.indices_of(epoch, step))
