"""One training step: the gradient of a batch, in parts where memory is short."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from striate.errors import DeviceError
from striate.nn.aux_logits import AUXILIARY_WEIGHT, AuxiliaryLogits
from striate.nn.ranks import BATCH_NORM_TYPES
from striate.ops.inputs import Inputs


class Loss(Protocol):
    """What a step lowers."""

    def total(self, outputs: Tensor | AuxiliaryLogits, targets: Tensor) -> Tensor:
        """The sum over the items, in float32."""

    def weight(self, targets: Tensor) -> Tensor | int:
        """What the sum is divided by for a mean."""


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross entropy of class numbers (n,) or of probabilities (n, classes).

    Attributes:
        label_smoothing: share of each target spread evenly over the classes.
        class_weights: (classes,) factor on each class's part of the loss.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None

    def total(
        self,
        outputs: Float[Tensor, "n classes"] | AuxiliaryLogits,
        targets: Shaped[Tensor, "n ..."],
    ) -> Tensor:
        """The sum over the items, in float32, with the weighted losses of classifiers on the way."""
        if isinstance(outputs, AuxiliaryLogits):
            return _with_auxiliary(self, outputs, targets)
        return F.cross_entropy(
            outputs.float(),
            targets,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )

    def weight(self, targets: Shaped[Tensor, "n ..."]) -> Tensor | int:
        """What the sum is divided by for a mean: the targets' class weights, summed."""
        if self.class_weights is None:
            return len(targets)
        if targets.is_floating_point():
            return (targets * self.class_weights).sum()
        return self.class_weights[targets].sum()


@dataclass(frozen=True, kw_only=True)
class SquaredError:
    """The squared difference of numbers; of standardized ones, so that rates suit any unit."""

    def total(
        self, outputs: Float[Tensor, "n 1"] | AuxiliaryLogits, targets: Float[Tensor, "n 1"]
    ) -> Tensor:
        """The sum over the items, in float32, with the weighted losses of outputs on the way."""
        if isinstance(outputs, AuxiliaryLogits):
            return _with_auxiliary(self, outputs, targets)
        return F.mse_loss(outputs.float(), targets, reduction="sum")

    def weight(self, targets: Float[Tensor, "n 1"]) -> int:
        """The number of items."""
        return len(targets)


def _with_auxiliary(loss: Loss, outputs: AuxiliaryLogits, targets: Tensor) -> Tensor:
    further = [AUXILIARY_WEIGHT * loss.total(each, targets) for each in outputs.auxiliary]
    return sum(further, loss.total(outputs.logits, targets))


def balanced_weights(counts: Int64[Tensor, " classes"]) -> Float[Tensor, " classes"]:
    """Weights that let each class that occurs weigh the same, 1 on an average item.

    >>> balanced_weights(torch.tensor([10, 30]))
    tensor([2.0000, 0.6667])
    """
    present = (counts > 0).sum()
    return counts.sum() / (present * counts.clamp(min=1)).float()


def accumulate_gradient(
    network: nn.Module,
    inputs: Inputs,
    targets: Shaped[Tensor, "n ..."],
    loss: Loss,
    *,
    dtype: torch.dtype,
    micro_batch: int,
) -> Tensor:
    """Add the gradient of the batch's mean loss to the parameters and return that loss.

    The batch is computed in equal parts of at most `micro_batch` items; the sum of their gradients
    is that of the whole batch, but for batch norms, which see one part at a time.
    """
    weight = loss.weight(targets)
    parts = -(-len(inputs) // micro_batch)
    mean = torch.zeros((), device=inputs.device)
    batches: Sequence[Inputs] = inputs.tensor_split(parts)
    for x, y in zip(batches, targets.tensor_split(parts), strict=True):
        with (
            _single_item(network, alone=len(x) == 1),
            torch.autocast(inputs.device.type, dtype, enabled=dtype != torch.float32),
        ):
            logits = network(x)
        part = loss.total(logits, y) / weight
        torch.autograd.backward(part)
        mean += part.detach()
    return mean


def gradient_within_memory(
    network: nn.Module,
    inputs: Inputs,
    targets: Shaped[Tensor, "n ..."],
    loss: Loss,
    *,
    dtype: torch.dtype,
    micro_batch: int,
    seed: int,
) -> tuple[Tensor, int]:
    """The loss, with the gradient left in the parameters, and the micro-batch to go on with.

    Where memory runs out the micro-batch is halved and the batch computed again with the same
    random numbers. (Batch norm statistics then have seen some items twice, which does no harm.)

    Raises:
        DeviceError: a single item is too large.
    """
    while True:
        torch.manual_seed(seed)
        network.zero_grad(set_to_none=True)
        try:
            mean = accumulate_gradient(
                network, inputs, targets, loss, dtype=dtype, micro_batch=micro_batch
            )
            return mean, micro_batch
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if min(micro_batch, len(inputs)) == 1:
                raise DeviceError(
                    "out of memory with a single item",
                    fix="use a smaller --image-size or a smaller --model",
                ) from None
        # Outside of the handler, whose traceback keeps the activations alive.
        # The batch may be smaller than what fitted so far.
        micro_batch = (min(micro_batch, len(inputs)) + 1) // 2
        gc.collect()
        if inputs.device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate, on a GPU or on the CPU."""
    cpu = ("can't allocate memory", "not enough memory")  # of torch's CPU allocator
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in cpu)


@contextmanager
def _single_item(network: nn.Module, *, alone: bool) -> Iterator[None]:
    """Batch norms use their running statistics while an item is alone: it has no variance."""
    modules = network.modules() if alone else ()
    norms = [m for m in modules if isinstance(m, BATCH_NORM_TYPES) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
