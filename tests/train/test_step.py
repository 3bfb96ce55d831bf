"""Gradients against torch's own; micro-batches against the whole batch."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import DeviceError
from striate.train.losses import CrossEntropy
from striate.train.step import gradient_within_memory
from striate.train.strategy import Strategy


def plain_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def gradient_of(network, inputs, targets, loss=None, micro_batch=64, dtype=torch.float32):
    return gradient_within_memory(
        network,
        inputs,
        targets,
        loss or CrossEntropy(),
        Strategy(),
        dtype=dtype,
        micro_batch=micro_batch,
        seed=3,
    )


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
@pytest.mark.parametrize("micro_batch", [1, 4, 5, 22])
def test_parts_give_the_gradient_of_the_whole(batches, smoothing, weights, micro_batch) -> None:
    network = plain_network()
    F.cross_entropy(
        network(batches.inputs), batches.labels, weight=weights, label_smoothing=smoothing
    ).backward()
    expected = gradients(network)
    loss = CrossEntropy(label_smoothing=smoothing, class_weights=weights)
    mean, size = gradient_of(network, batches.inputs, batches.labels, loss, micro_batch)
    assert size == micro_batch
    reference = F.cross_entropy(
        network(batches.inputs), batches.labels, weight=weights, label_smoothing=smoothing
    )
    assert mean.item() == pytest.approx(reference.item(), rel=1e-6)
    for got, wanted in zip(gradients(network), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


class Hungry(nn.Module):
    """Runs out of memory above some number of items."""

    def __init__(self, network: nn.Module, most: int, error: Exception) -> None:
        super().__init__()
        self.network, self.most, self.error = network, most, error
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise self.error
        return self.network(x)


GPU_ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CPU_ERROR = RuntimeError(
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


@pytest.mark.parametrize("error", [GPU_ERROR, CPU_ERROR])
def test_fault_69_out_of_memory_halves_the_micro_batch(batches, error: Exception) -> None:
    network = plain_network()
    F.cross_entropy(network(batches.inputs), batches.labels).backward()
    expected = gradients(network)
    hungry = Hungry(network, 6, error)
    _, fits = gradient_of(hungry, batches.inputs, batches.labels)
    assert fits == 6  # 22, 11, 6
    assert hungry.seen == [22, 11, 6, 6, 5, 5]
    for got, wanted in zip(gradients(network), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def test_a_small_batch_does_not_make_those_after_it_smaller(batches) -> None:
    watched = Hungry(plain_network(), 64, GPU_ERROR)
    micro_batch = 16
    for size in (22, 3, 22):
        _, micro_batch = gradient_of(
            watched, batches.inputs[:size], batches.labels[:size], micro_batch=micro_batch
        )
    assert micro_batch == 16
    assert watched.seen == [11, 11, 3, 11, 11]


def test_fault_69_a_single_item_too_large_is_the_machines_fault(batches) -> None:
    hungry = Hungry(plain_network(), 0, GPU_ERROR)
    with pytest.raises(DeviceError, match="out of memory with a single item; use a smaller"):
        gradient_of(hungry, batches.inputs, batches.labels, micro_batch=4)


def test_other_errors_pass(batches) -> None:
    hungry = Hungry(plain_network(), 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        gradient_of(hungry, batches.inputs, batches.labels, micro_batch=4)


def test_fault_70_a_batch_of_one_uses_running_statistics() -> None:
    """Batch norm over a 1x1 map of one item has no variance: torch refuses it."""
    norm = nn.BatchNorm1d(3)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    network = nn.Sequential(nn.Linear(2, 3), norm).train()
    reference = copy.deepcopy(network).eval()
    x, y = torch.randn(1, 2), torch.tensor([2])
    mean, _ = gradient_of(network, x, y)
    assert mean.item() == pytest.approx(F.cross_entropy(reference(x), y).item(), rel=1e-6)
    assert norm.training
    assert norm.running_mean.tolist() == [1, 2, 3]


def test_bfloat16_is_near(batches, make_network) -> None:
    network = make_network().eval()
    means = [
        gradient_of(network, batches.inputs, batches.labels, dtype=dtype)[0]
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert means[0].item() == pytest.approx(means[1].item(), rel=1e-2)
    assert means[0] != means[1]


def test_what_did_not_fit_is_let_go(batches) -> None:
    """The activations of a backward pass that ran out of memory are gone before the next try."""
    kept: list[weakref.ref[Tensor]] = []

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(kept) <= 2:
                assert all(activation() is None for activation in kept)
            activation = x.flatten(1)[:, :3].clone().requires_grad_()
            kept.append(weakref.ref(activation))
            return activation * 1

    class Full(Strategy):
        def backward(self, loss: Tensor) -> None:
            if len(kept) < 3:
                raise torch.OutOfMemoryError
            super().backward(loss)

    gradient_within_memory(
        Watched(),
        batches.inputs,
        batches.labels,
        CrossEntropy(),
        Full(),
        dtype=torch.float32,
        micro_batch=22,
        seed=0,
    )
    assert len(kept) == 2 + 4  # 22 and 11 did not fit; then 6, 6, 5 and 5
