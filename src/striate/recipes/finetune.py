"""Fine-tuning: the late blocks learn from stored maps of the early ones, which stay frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.dataset import Dataset
from striate.data.loader import Loader, LoaderConfig
from striate.errors import StoppedError
from striate.metrics import fit_calibration, negative_log_likelihood
from striate.models import Network
from striate.nn.fuse import fold_batch_norm, unfold_batch_norm
from striate.nn.layout import channels_last
from striate.nn.parameters import ParameterGroup, plain_groups
from striate.progress import Progress
from striate.recipes.baseline import READ, crops
from striate.recipes.variants import data_key, policy_for, variants_of
from striate.run import CHECKPOINTS, RunFolder
from striate.train.checkpoint import CheckpointStore
from striate.train.loop import Batches, EpochRow, TrainResult, measure_rate, train
from striate.train.plan import Deadline, TrainPlan, affordable_epochs
from striate.transfer.frozen import FrozenBatches, FrozenPrefix, MapStore, Tail
from striate.transfer.groups import relative_groups

NUM_VARIANTS: Final = 8
"""Augmented variants of each item whose maps are stored."""

MAP_BYTES: Final = 8 * 10**9
"""The most that stored maps may take; fewer variants where it is not enough."""

FROZEN_STRIDE: Final = 12
"""Blocks whose maps are finer than one position in so many pixels stay frozen."""

MAX_EPOCHS: Final = 40

METRICS: Final = ("log_loss", "accuracy")

BALANCE_FROM: Final = 3.0
"""Ratio of the largest to the smallest class from which the loss weighs classes alike."""

VALIDATION_BATCH: Final = 8
VALIDATION_SPEED_UP: Final = 2.5
"""How much faster an item is validated than trained on: no gradients."""


RELATIVE_RATE: Final = 1.2e-3
"""Of fine-tuning: a step changes a tensor by this share of its size, at the schedule's peak."""

HEAD_RATE: Final = 2.5
"""The head's learning rate over `RELATIVE_RATE`; not relative, for the head is fresh."""

RATE_FROM_SCRATCH: Final = 2e-3
DECAY_FROM_SCRATCH: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything a training needs, made before its first step.

    Attributes:
        trainee: what the loop calls: the network, or its tail behind the frozen blocks.
        learning_rate: at the peak of the schedule.
        batches: for the trainee.
        validation: inputs for the trainee, in order.
        labels: (items,) of the validation.
        groups: of the trained parameters.
        class_counts: training items of each class.
        finish: puts what was learnt into the network.
    """

    trainee: nn.Module
    learning_rate: float
    batches: Batches
    validation: Callable[[], Iterator[Tensor]]
    labels: NDArray[np.int64]
    groups: Sequence[ParameterGroup]
    class_counts: Tensor
    finish: Callable[[], None] = lambda: None


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
    dataset: Dataset,
    *,
    size: int,
    symmetry: str,
    seed: int,
    batch_size: int,
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
    variants = NUM_VARIANTS
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
    labels = torch.from_numpy(dataset.labels)
    tail = Tail(network, cut)
    # Without batch norms a step takes less time, and their statistics, made from a million
    # photographs, cannot be spoilt by a few small batches.
    example = next(validation_maps.batches(1)).to(device, torch.float32)
    folded = fold_batch_norm(tail, example).requires_grad_(True)
    return Training(
        trainee=folded,
        learning_rate=RELATIVE_RATE,
        batches=FrozenBatches(
            training_maps,
            labels[train_items],
            dataset.ids(train_items),
            batch_size=batch_size,
            seed=seed,
        ),
        validation=lambda: validation_maps.batches(READ),
        labels=dataset.labels[val_items],
        groups=relative_groups(folded, folded.get_submodule("head"), head_rate=HEAD_RATE),
        class_counts=torch.bincount(labels[train_items], minlength=len(dataset.classes)),
        finish=lambda: unfold_batch_norm(folded, tail, example),
    )


def full_training(
    network: Network,
    dataset: Dataset,
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
    labels = torch.from_numpy(dataset.labels[train_items])
    return Training(
        trainee=network,
        learning_rate=RATE_FROM_SCRATCH,
        batches=_PixelBatches(Loader(dataset, train_items, config), network, dataset),
        validation=lambda: map(network.preprocessing.normalize, crops(dataset, val_items, size)),
        labels=dataset.labels[val_items],
        groups=plain_groups(network, DECAY_FROM_SCRATCH),
        class_counts=torch.bincount(labels, minlength=len(dataset.classes)),
    )


def plan_training(
    training: Training,
    *,
    epochs: int | None,
    seconds: float,
    batch_size: int,
    seed: int,
) -> TrainPlan:
    """The plan for the time there is; its epochs follow from a measured rate.

    Args:
        training: what is to be trained.
        epochs: asked for; None plans them.
        seconds: for training and its validations.
        batch_size: items in an update.
        seed: of the steps.
    """
    plan = TrainPlan(
        epochs=epochs or 1,
        batch_size=batch_size,
        learning_rate=training.learning_rate,
        label_smoothing=0.05,
        ema_decay=0.99,
        warmup_epochs=1.0,
        clip_norm=None,
        class_weights="balanced" if _imbalance(training.class_counts) > BALANCE_FROM else None,
        seed=seed,
    )
    if epochs is not None:
        return plan
    rate = measure_rate(
        training.trainee,
        training.batches,
        plan,
        training.groups,
        class_counts=training.class_counts,
    )
    samples = int(training.class_counts.sum())
    validation = len(training.labels) / (VALIDATION_SPEED_UP * rate)
    planned = affordable_epochs(seconds, rate, samples, seconds_per_validation=validation)
    return replace(plan, epochs=min(planned, MAX_EPOCHS))


def run_training(
    training: Training,
    plan: TrainPlan,
    *,
    folder: RunFolder,
    deadline: Deadline | None,
    progress: Progress,
    stop: Callable[[], bool],
) -> TrainResult:
    """Train, going on from the last checkpoint of the run folder.

    Raises:
        StoppedError: `stop` said so; a checkpoint is written.
        DivergedError: see `striate.train.loop.train`.
        StorageError: likewise.
    """

    def validate(network: nn.Module) -> Mapping[str, float]:
        return validation_metrics(network, training, plan)

    def tell(row: EpochRow) -> None:
        figures = ", ".join(f"{name} {row.metrics[name]:.4f}" for name in METRICS)
        progress.say(
            f"epoch {row.epoch}/{plan.epochs}: loss {row.train_loss:.4f}, validation {figures}, "
            f"{row.samples_per_second:.0f} items/s"
        )

    result = train(
        training.trainee,
        training.batches,
        validate,
        plan,
        training.groups,
        CheckpointStore(folder.path / CHECKPOINTS, say=progress.say),
        progress,
        on_epoch=tell,
        stop=stop,
        deadline=deadline,
        class_counts=training.class_counts,
    )
    if result.stopped == "signal":
        raise StoppedError
    training.finish()
    return result


def validation_metrics(network: nn.Module, training: Training, plan: TrainPlan) -> dict[str, float]:
    """Log loss and accuracy of the validation items, in the training's precision.

    Both are of calibrated probabilities, as the finished model gives them.
    """
    device = next(network.parameters()).device
    dtype = plan.dtype(device)
    outputs = []
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch in training.validation():
            inputs = channels_last(batch.to(device, torch.float32))
            outputs += [
                network(part).float().cpu() for part in torch.split(inputs, VALIDATION_BATCH)
            ]
    logits = torch.cat(outputs).numpy()
    scaled = fit_calibration(logits, training.labels).scaled(logits)
    return {
        "log_loss": negative_log_likelihood(scaled, training.labels),
        "accuracy": float((scaled.argmax(1) == training.labels).mean()),
    }


def history_rows(history: Sequence[EpochRow]) -> list[dict[str, float]]:
    """The history as rows of numbers, for `history.csv` and the report."""
    return [
        {
            "epoch": row.epoch,
            "train_loss": row.train_loss,
            **{f"val_{name}": value for name, value in row.metrics.items()},
            "learning_rate": row.learning_rate,
            "seconds": row.seconds,
            "samples_per_second": row.samples_per_second,
        }
        for row in history
    ]


class _PixelBatches:
    """A loader's batches as the training loop wants them: normalized, with targets."""

    def __init__(self, loader: Loader, network: Network, dataset: Dataset) -> None:
        self._loader, self._network, self._dataset = loader, network, dataset

    @property
    def steps_per_epoch(self) -> int:
        return self._loader.steps_per_epoch

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._loader.epoch(epoch, start_step):
            yield self._network.preprocessing.normalize(batch.pixels), batch.labels

    def ids(self, epoch: int, step: int) -> list[str]:
        return self._dataset.ids(self._loader.indices_of(epoch, step))


def _imbalance(counts: Tensor) -> float:
    """Items of the largest class over those of the smallest."""
    return float(counts.max() / counts.min().clamp(min=1))
