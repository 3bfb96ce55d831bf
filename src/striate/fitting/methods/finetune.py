"""A pretrained network trained on, with small rates.

Of images the early blocks, which work on fine maps, stay frozen: the maps of a few augmented copies
of each item are stored, and the late blocks learn from them. Other networks are trained as a whole.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import Draws, item_keys
from striate.fitting.baseline import FEATURED, Baseline
from striate.fitting.candidate import Proposal, trained
from striate.fitting.context import EVALUATION_SHARE, REPORT_SECONDS, FitContext
from striate.fitting.method import METHODS, Method
from striate.fitting.symmetry import choose_symmetry, choose_views, seconds_per_view
from striate.fitting.training import MIN_SECONDS, Training, run_training, whole_network
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.nn.fuse import fold_batch_norm, unfold_batch_norm
from striate.progress import duration
from striate.run.folder import CHECKPOINTS
from striate.run.predictor import Predictor
from striate.transfer.frozen import FrozenPrefix, MapStore, Tail, relative_groups

MIN_EPOCHS: Final = 4
"""Fewer epochs of fine-tuning seldom pay (see docs/performance.md)."""

MAX_COPIES: Final = 8
"""Augmented copies of each item whose maps are stored, where there is time to make them."""

MAP_BYTES: Final = 8 * 10**9
"""Largest size of the stored maps; fewer copies are stored where it is not enough."""

BATCH_SIZE: Final = 32
VALIDATION_BATCH: Final = 8
"""Items whose maps are validated together."""

READ_TOGETHER: Final = 64
"""Items of which augmented copies are made at a time."""

RELATIVE_RATE: Final = 1.2e-3
"""A step changes a tensor by this share of its size, at the schedule's peak."""

HEAD_RATE: Final = 2.5
"""The head's learning rate over `RELATIVE_RATE`; not relative, for the head is fresh."""

_MAPS_SHARE: Final = 0.25
"""Largest share of the time for fine-tuning that storing maps of frozen blocks may take."""

_FROZEN_COST: Final = 0.5
"""What the frozen blocks take of a pass through the network, about."""

_STEP_COST: Final = 2.0
"""What an item takes in a training step and validation, in passes through the network, about."""


class Finetune(Method):
    """Training goes on from pretrained weights and the probe's layer."""

    name = "finetune"
    description = "pretrained, then fine-tuned"
    uses = frozenset({"model", "weights", "epochs", "symmetry", "workers", "strategy"})

    def reasons(self, context: FitContext) -> list[str]:
        """It needs pretrained weights."""
        if context.defaults.features is None:
            return [f"no frozen features are known for {context.kind.name}s"]
        if not context.defaults.pretrained:
            return [f"there are no pretrained weights for {context.kind.name}s"]
        return []

    def against(self, context: FitContext, baseline: Baseline) -> str:
        """The time must allow enough epochs, going by how long the features took."""
        if context.options.epochs is not None:
            return ""
        num_train = len(context.dataset.indices("train"))
        epoch = _STEP_COST * _seconds_per_item(context) * num_train
        training = max(MIN_SECONDS, MIN_EPOCHS * epoch / (1 - _MAPS_SHARE))
        needed = (context.seconds() + REPORT_SECONDS + training) / (1 - EVALUATION_SHARE)
        if context.options.seconds >= needed:
            return ""
        return (
            f"of fine-tuning the time allows fewer than {MIN_EPOCHS} epochs; it would be tried "
            f"with a time of {duration(needed)}"
        )

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """The network of the best epoch."""
        network = copy.deepcopy(baseline.network)
        network.classifier.load_state_dict(baseline.probe.as_head().state_dict())
        inputs = context.inputs.for_network(network)
        if context.defaults.frozen_stride is None:
            inputs = inputs.with_symmetry(context.options.symmetry)
            end = time.monotonic() + context.seconds_to_train()
            rate = context.defaults.fine_tuning_rate
            training = whole_network(context, network, inputs, rate, keep_start=True)
            run_training(context, training, end)
        else:
            inputs = inputs.with_symmetry(choose_symmetry(context, baseline, inputs))
            views = choose_views(context, network, inputs)
            evaluation = seconds_per_view(context, network, inputs) * len(inputs.sets[views])
            seconds = context.seconds_left() - evaluation - REPORT_SECONDS
            end = time.monotonic() + seconds
            training = context.steps.timed(
                "train", lambda: late_blocks(context, network, inputs, seconds)
            )
            run_training(context, training, end)
            inputs = inputs.with_views(views)
        return trained(
            context,
            Predictor(network=network.eval(), inputs=inputs, device=context.device),
            method=self.name,
            name="fine-tuning",
            model=baseline.model,
            weights=baseline.weights,
        )


def late_blocks(
    context: FitContext, network: Network, inputs: Inputs[Any], seconds: float
) -> Training:
    """Training of the late blocks from stored maps of the early ones; the maps are computed here.

    Args:
        context: The fit.
        network: Pretrained, on the fit's device.
        inputs: How items become its inputs.
        seconds: Time for storing maps and for training.

    Raises:
        StorageError: The maps do not fit on the disk.
        StoppedError: The user asked to stop.
    """
    dataset = context.dataset
    train, val = dataset.indices("train"), dataset.indices("val")
    cut = frozen_blocks(network, inputs.input_shape, context.defaults.frozen_stride or 1)
    prefix = FrozenPrefix(network, cut)
    copies = context.steps.step("augmented copies", lambda: _affordable_copies(context, seconds))
    while copies > 1 and (
        prefix.required_bytes(inputs.input_shape, len(train) * copies) > MAP_BYTES
    ):
        copies //= 2

    def store(name: str, indices: NDArray[np.int64], num_copies: int) -> MapStore:
        label = f"maps of {cut} frozen blocks, {name}"
        with context.progress.track(label, len(indices), "items") as tracker:
            return prefix.store(
                augmented_copies(context, inputs, indices, num_copies),
                pixel_shape=inputs.input_shape,
                num_items=len(indices),
                num_copies=num_copies,
                data_key=_data_key(context, inputs, indices, num_copies),
                folder=context.folder.path / CHECKPOINTS,
                budget_bytes=2 * MAP_BYTES,
                tracker=tracker,
                say=context.progress.say,
            )

    training_maps, validation_maps = store("training", train, copies), store("validation", val, 1)
    tail = Tail(network, cut)
    # Without batch norms a step takes less time, and their statistics, made from a million
    # photographs, cannot be spoilt by a few small batches.
    example = next(validation_maps.batches(1)).to(context.device, torch.float32)
    folded = fold_batch_norm(tail, example).requires_grad_(True)
    return Training(
        trainee=folded,
        batches=training_maps.training_batches(
            context.objective.training_targets(train),
            dataset.ids(train),
            batch_size=BATCH_SIZE,
            seed=context.options.seed,
            workers=context.options.workers,
        ),
        validation=lambda: (maps.float() for maps in validation_maps.batches(VALIDATION_BATCH)),
        groups=relative_groups(folded, folded.get_submodule("head"), head_rate=HEAD_RATE),
        learning_rate=RELATIVE_RATE,
        max_epochs=context.defaults.max_epochs,
        keep_start=True,
        finish=lambda: unfold_batch_norm(folded, tail, example),
    )


def frozen_blocks(network: Network, input_shape: tuple[int, ...], stride: int) -> int:
    """Number of early blocks that stay frozen: those that work on fine maps.

    Args:
        network: Of any rank.
        input_shape: Shape of an input, channels first.
        stride: Blocks whose maps are finer than one position in so many pixels stay frozen.
    """
    shadow: Any = copy.deepcopy(network).to("meta").eval()
    maps = torch.zeros(1, *input_shape, device="meta")
    count = 0
    with torch.no_grad():
        for _, module in shadow.blocks()[:-1]:
            maps = module(maps)
            if shadow.as_maps(maps, input_shape[1:]).shape[-1] * stride < input_shape[-1]:
                break
            count += 1
    return count


def augmented_copies(
    context: FitContext, inputs: Inputs[Any], indices: NDArray[np.int64], count: int
) -> Iterator[Tensor]:
    """Batches (n, copies, c, *space) of items, not normalized; the first copy is the plain item.

    Args:
        context: The fit.
        inputs: How items become inputs.
        indices: Positions of the items.
        count: Number of copies of each.

    Raises:
        StoppedError: The user asked to stop.
    """
    keys = item_keys(context.dataset.ids(indices))
    for start in range(0, len(indices), READ_TOGETHER):
        context.check_stop()
        part = slice(start, start + READ_TOGETHER)
        readings = context.dataset.store.take(indices[part])
        copies: list[Tensor] = [inputs.inputs(readings)]
        for number in range(1, count):
            draws = Draws(keys[part], seed=context.options.seed, epoch=number)
            copies.append(inputs.copy_of(readings, draws))
        yield torch.stack(copies, dim=1)


def _seconds_per_item(context: FitContext) -> float:
    num_items = context.steps.step(FEATURED, lambda: len(context.dataset.items))
    return context.steps.seconds("features") / num_items


def _affordable_copies(context: FitContext, seconds: float) -> int:
    """As many augmented copies of an item as can be made in a part of the time."""
    copies = MAX_COPIES
    if context.options.epochs is not None:
        return copies
    one = _FROZEN_COST * _seconds_per_item(context) * len(context.dataset.indices("train"))
    while copies > 1 and copies * one > _MAPS_SHARE * seconds:
        copies //= 2
    return copies


def _data_key(
    context: FitContext, inputs: Inputs[Any], indices: NDArray[np.int64], count: int
) -> str:
    """A digest of everything that the copies depend on."""
    dataset = context.dataset
    digest = hashlib.sha256(repr((inputs, count, context.options.seed)).encode())
    for index in indices:
        item = f"{dataset.items[index].id}\0{dataset.sha256[index]}\0"
        digest.update(item.encode(errors="surrogateescape"))
    return digest.hexdigest()


METHODS.add(Finetune.name, Finetune())
