"""Loss and gradients against torch's own; micro-batches against the whole batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import DeviceError
from striate.nn.aux_logits import AuxiliaryLogits
from striate.train.step import (
    CrossEntropy,
    SquaredError,
    accumulate_gradient,
    balanced_weights,
    gradient_within_memory,
)


def plain_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


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
    network.zero_grad()
    mean = accumulate_gradient(
        network,
        batches.inputs,
        batches.labels,
        CrossEntropy(label_smoothing=smoothing, class_weights=weights),
        dtype=torch.float32,
        micro_batch=micro_batch,
    )
    reference = F.cross_entropy(
        network(batches.inputs), batches.labels, weight=weights, label_smoothing=smoothing
    )
    assert mean.item() == pytest.approx(reference.item(), rel=1e-6)
    for got, wanted in zip(gradients(network), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_probabilities_of_one_are_class_numbers(weights) -> None:
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 3
    loss = CrossEntropy(label_smoothing=0.1, class_weights=weights)
    soft = F.one_hot(labels, 3).float()
    torch.testing.assert_close(loss.total(logits, soft), loss.total(logits, labels))
    torch.testing.assert_close(
        torch.as_tensor(loss.weight(soft)).float(), torch.as_tensor(loss.weight(labels)).float()
    )


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 13)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    got = balanced_weights(torch.bincount(labels))
    torch.testing.assert_close(got.double(), torch.as_tensor(expected), rtol=1e-6, atol=0)


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
def test_out_of_memory_halves_the_micro_batch(batches, error: Exception) -> None:
    network = plain_network()
    F.cross_entropy(network(batches.inputs), batches.labels).backward()
    expected = gradients(network)
    hungry = Hungry(network, 6, error)
    arguments = {"dtype": torch.float32, "micro_batch": 64, "seed": 3}
    _, fits = gradient_within_memory(
        hungry, batches.inputs, batches.labels, CrossEntropy(), **arguments
    )
    assert fits == 6  # 22, 11, 6
    assert hungry.seen == [22, 11, 6, 6, 5, 5]
    for got, wanted in zip(gradients(network), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def test_a_small_batch_does_not_make_those_after_it_smaller(batches) -> None:
    watched = Hungry(plain_network(), 64, GPU_ERROR)
    micro_batch = 16
    for size in (22, 3, 22):
        _, micro_batch = gradient_within_memory(
            watched,
            batches.inputs[:size],
            batches.labels[:size],
            CrossEntropy(),
            dtype=torch.float32,
            micro_batch=micro_batch,
            seed=0,
        )
    assert micro_batch == 16
    assert watched.seen == [11, 11, 3, 11, 11]


def test_a_single_item_too_large_is_the_machines_fault(batches) -> None:
    hungry = Hungry(plain_network(), 0, GPU_ERROR)
    with pytest.raises(DeviceError, match="out of memory with a single item; use a smaller"):
        gradient_within_memory(
            hungry,
            batches.inputs,
            batches.labels,
            CrossEntropy(),
            dtype=torch.float32,
            micro_batch=4,
            seed=0,
        )


def test_other_errors_pass(batches) -> None:
    hungry = Hungry(plain_network(), 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        gradient_within_memory(
            hungry,
            batches.inputs,
            batches.labels,
            CrossEntropy(),
            dtype=torch.float32,
            micro_batch=4,
            seed=0,
        )


def test_a_batch_of_one_uses_running_statistics() -> None:
    """Batch norm over a 1x1 map of one item has no variance: torch refuses it."""
    norm = nn.BatchNorm1d(3)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    network = nn.Sequential(nn.Linear(2, 3), norm).train()
    reference = copy.deepcopy(network).eval()
    x, y = torch.randn(1, 2), torch.tensor([2])
    mean = accumulate_gradient(network, x, y, CrossEntropy(), dtype=torch.float32, micro_batch=8)
    assert mean.item() == pytest.approx(F.cross_entropy(reference(x), y).item(), rel=1e-6)
    assert norm.training
    assert norm.running_mean.tolist() == [1, 2, 3]


def test_bfloat16_is_near(batches, make_network) -> None:
    network = make_network().eval()
    means = [
        accumulate_gradient(
            network, batches.inputs, batches.labels, CrossEntropy(), dtype=dtype, micro_batch=22
        )
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert means[0].item() == pytest.approx(means[1].item(), rel=1e-2)
    assert means[0] != means[1]


def test_classifiers_on_the_way_weigh_three_tenths_each() -> None:
    draw = torch.Generator().manual_seed(0)
    last, early, middle = torch.randn(3, 8, 3, generator=draw)
    labels = torch.arange(8) % 3
    got = CrossEntropy().total(AuxiliaryLogits(last, (early, middle)), labels)
    losses = [F.cross_entropy(each, labels, reduction="sum") for each in (last, early, middle)]
    torch.testing.assert_close(got, losses[0] + 0.3 * losses[1] + 0.3 * losses[2])


def test_squared_error_is_torchs_mean_and_adds_outputs_on_the_way():
    generator = torch.Generator().manual_seed(0)
    last, early = torch.randn(2, 6, 1, generator=generator)
    numbers = torch.randn(6, 1, generator=generator)
    loss = SquaredError()
    plain = loss.total(last, numbers) / loss.weight(numbers)
    torch.testing.assert_close(plain, torch.nn.functional.mse_loss(last, numbers))
    together = loss.total(AuxiliaryLogits(last, (early,)), numbers)
    expected = ((last - numbers) ** 2).sum() + 0.3 * ((early - numbers) ** 2).sum()
    torch.testing.assert_close(together, expected)
