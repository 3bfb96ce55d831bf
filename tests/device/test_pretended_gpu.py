"""That the pretended GPU refuses what a real one refuses, and otherwise computes as the CPU does.

The same holds where the fixture gives a real GPU.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("gpu")


def there(*shape):
    return torch.ones(shape, device="cuda")


@pytest.mark.parametrize(
    "mixed",
    [
        lambda: there(2, 3) + torch.ones(3),
        lambda: torch.ones(2, 3).add_(there(2, 3)),
        lambda: torch.ones(()).add_(there()),
        lambda: torch.cat([there(2), torch.ones(2)]),
        lambda: there(2, 3) @ torch.ones(3, 2),
        lambda: torch.ones(3)[there(2).long()],
        lambda: F.linear(there(2, 3), torch.ones(4, 3)),
        lambda: F.cross_entropy(there(2, 3), torch.zeros(2, dtype=torch.long)),
        lambda: torch.randn(2, device="cuda", generator=torch.Generator()),
        lambda: there(2).scatter_add(0, torch.zeros(2, dtype=torch.long), there(2)),
    ],
)
def test_what_lies_on_two_devices_is_refused(mixed):
    with pytest.raises(RuntimeError, match=r"device|generator|indices"):
        mixed()


def test_numpy_does_not_read_it():
    for read in (lambda x: x.numpy(), np.asarray):
        with pytest.raises(TypeError, match="can't convert cuda:0"):
            read(there(2))


def test_what_a_gpu_allows():
    x = torch.arange(6.0).view(2, 3).to("cuda", non_blocking=True)
    assert x.is_cuda and x.device == torch.device("cuda", 0)
    assert (x + torch.tensor(1.0)).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert x[torch.tensor([1])].cpu().numpy().tolist() == [[3, 4, 5]]
    assert torch.zeros(2, 3).copy_(x).device.type == "cpu"
    assert x.to(x.device) is x and x.double().is_cuda
    assert torch.tensor([1.0], device=x.device).is_cuda
    assert x.to("meta").is_meta


def test_a_network_learns_as_on_the_cpu():
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(1))
    here.append(nn.Linear(4 * 36, 2))
    over_there = copy.deepcopy(here).to("cuda")
    inputs, targets = torch.randn(6, 3, 8, 8), torch.tensor([0, 1] * 3)
    for network in (here, over_there):
        device = next(network.parameters()).device
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs.to(device)), targets.to(device)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    found = over_there.state_dict()
    for name, value in here.state_dict().items():
        assert found[name].is_cuda
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4)


def test_autocast_computes_in_half_precision_and_leaves_the_loss_in_float32():
    layer = nn.Linear(3, 2).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        outputs = layer(there(2, 3))
        assert outputs.dtype == torch.bfloat16
        assert outputs.softmax(1).dtype == torch.float32
    outputs.sum().backward()
    assert layer.weight.grad.is_cuda and layer.weight.grad.dtype == torch.float32


def test_a_gpu_has_random_numbers_of_its_own():
    torch.manual_seed(0)
    first = torch.rand(3)
    torch.manual_seed(0)
    drawn = torch.empty(4, device="cuda").bernoulli_(0.5)
    assert drawn.is_cuda and torch.equal(torch.rand(3), first)
    with torch.random.fork_rng(devices=[drawn.device]):
        torch.manual_seed(0)
        again = torch.empty(4, device="cuda").bernoulli_(0.5)
    assert torch.equal(again.cpu(), drawn.cpu())
