"""The gradient of one batch, computed in parts where memory is short."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from striate.errors import DeviceError
from striate.nn.ranks import BATCH_NORM_TYPES
from striate.ops.inputs import Inputs
from striate.train.losses import Loss, total_loss
from striate.train.strategy import Strategy


def gradient_within_memory(
    network: nn.Module,
    inputs: Inputs,
    targets: Shaped[Tensor, "n ..."],
    loss: Loss,
    strategy: Strategy,
    *,
    dtype: torch.dtype,
    micro_batch: int,
    seed: int,
) -> tuple[Tensor, int]:
    """The mean loss of a batch, its gradient left in the parameters, and the new micro-batch size.

    The batch is computed in equal parts of at most `micro_batch` items; the sum of their gradients
    is that of the whole batch, but for batch norms, which see one part at a time. Where memory runs
    out, the micro-batch is halved and the batch computed again with the same random numbers. (The
    statistics of batch norms then have seen some items twice, which does no harm.)

    Args:
        network: The network in training mode.
        inputs: This process's items of the batch, on the network's device.
        targets: Their targets, on the same device.
        loss: The loss, on the same device.
        strategy: The strategy of the training. Gradients are of this process's items; the loss
            returned is of the items of all processes.
        dtype: Precision of the forward and backward pass.
        micro_batch: Largest number of items computed at once.
        seed: Seed of the step's random numbers.

    Raises:
        DeviceError: A single item does not fit into memory.
    """
    weight, counts = strategy.reduce(loss.weight(targets)), strategy.gathered(len(inputs))
    while True:
        torch.manual_seed(seed)
        network.zero_grad(set_to_none=True)
        mean = torch.zeros((), device=inputs.device)
        # As many parts in every process; none is empty.
        num_parts = min(-(-max(counts) // micro_batch), min(counts))
        parts: Sequence[Inputs] = inputs.tensor_split(num_parts)
        sizes = [
            sum(n // num_parts + (k < n % num_parts) for n in counts) for k in range(num_parts)
        ]
        part_loss: Tensor | None = None
        out_of_memory = False
        try:
            for x, y, size in zip(parts, targets.tensor_split(num_parts), sizes, strict=True):
                with (
                    _batch_norms_that_take_one_item(network, size),
                    torch.autocast(inputs.device.type, dtype, enabled=dtype != torch.float32),
                ):
                    outputs = network(x)
                part_loss = total_loss(loss, outputs, y) / weight
                strategy.backward(part_loss)
                mean += part_loss.detach()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if not strategy.retries_in_parts:
                raise DeviceError(
                    "out of memory with this process's share of a batch",
                    fix="use more processes, a smaller `image_size=` or a smaller `model=`",
                ) from None
            out_of_memory = True
        if not strategy.agree_after_pass(out_of_memory):
            return strategy.reduce(mean), micro_batch
        if min(micro_batch, max(counts)) == 1:
            raise DeviceError(
                "out of memory with a single item",
                fix="use a smaller `image_size=` or a smaller `model=`",
            )
        # The batch may be smaller than what fitted so far.
        micro_batch = (min(micro_batch, max(counts)) + 1) // 2
        # The error's traceback, which kept activations alive, is gone; so must be what refers here.
        outputs = part_loss = None
        gc.collect()
        if inputs.device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate memory, on a GPU or on the CPU."""
    cpu = ("can't allocate memory", "not enough memory")  # messages of torch's CPU allocator
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in cpu)


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's random numbers (dropout, stochastic depth), from run and step alone."""
    digest = hashlib.blake2b(f"{seed}:{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # torch takes 63 bits as they are


@contextmanager
def _batch_norms_that_take_one_item(network: nn.Module, num_items: int) -> Iterator[None]:
    """Let batch norms use their running statistics for a single item, which has no variance."""
    modules = network.modules() if num_items == 1 else ()
    norms = [m for m in modules if isinstance(m, BATCH_NORM_TYPES) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
