"""The folded network against the unfolded one."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from striate.nn.fuse import fold_batch_norm, unfold_batch_norm
from striate.nn.ranks import BATCH_NORM_TYPES, layers


def randomize(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, BATCH_NORM_TYPES):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.3, generator=generator)
    return network.eval()


def num_norms(network: nn.Module) -> int:
    return sum(isinstance(m, BATCH_NORM_TYPES) for m in network.modules())


def assert_same(network: nn.Module, x: Tensor, folded: nn.Module) -> None:
    with torch.no_grad():
        expected, got = network(x), folded(x)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_torchvision_networks_keep_their_outputs(name: str) -> None:
    torch.manual_seed(0)
    network = randomize(torchvision.models.get_model(name, weights=None))
    x = torch.randn(2, 3, 64, 64)
    folded = fold_batch_norm(network, x)
    assert_same(network, x, folded)
    # DenseNet's norms before an activation and a convolution have no convolution to go into.
    assert num_norms(folded) == (0 if name != "densenet121" else 58 + 3 + 1)
    assert num_norms(network) > num_norms(folded)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_every_rank(rank: int, bias: bool, affine: bool) -> None:
    torch.manual_seed(rank)
    kit = layers(rank)
    network = randomize(
        nn.Sequential(kit.conv(4, 6, 3, groups=2, bias=bias), kit.batch_norm(6, affine=affine))
    )
    x = torch.randn(2, 4, *[7] * rank)
    folded = fold_batch_norm(network, x)
    assert num_norms(folded) == 0
    assert_same(network, torch.randn_like(x), folded)


def test_the_network_itself_stays_as_it_is() -> None:
    network = randomize(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fold_batch_norm(network, torch.randn(2, 3, 8, 8))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


class UsedTwice(nn.Module):
    """The convolution's output goes round the norm, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y


class SharedConvolution(UsedTwice):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, :, 1:]) + self.norm(self.conv(x[:, :, :-1]))


@pytest.mark.parametrize("network_type", [UsedTwice, SharedConvolution])
def test_what_cannot_be_folded_is_left(network_type: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = randomize(network_type())
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norm(network, x)
    assert num_norms(folded) == 1
    assert_same(network, x, folded)


def test_norms_without_statistics_are_left() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    x = torch.randn(2, 3, 8, 8)
    folded = fold_batch_norm(network, x)
    assert num_norms(folded) == 1
    assert_same(network, x, folded)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_trained_copy_unfolds_into_the_network(affine: bool, bias: bool) -> None:
    torch.manual_seed(0)
    kit = layers(2)
    network = randomize(
        nn.Sequential(
            kit.conv(3, 6, 3, bias=bias),
            kit.batch_norm(6, affine=affine),
            nn.ReLU(),
            kit.conv(6, 4, 3),
        )
    )
    x = torch.randn(2, 3, 9, 9)
    folded = fold_batch_norm(network, x)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    unfold_batch_norm(folded, network, x)
    assert num_norms(network) == 1
    assert_same(folded, torch.randn_like(x), network)
