"""(2+1)-D convolutions against torchvision's R(2+1)D-18, in parameters and in numbers."""

import pytest
import torch
from torchvision.models.video import r2plus1d_18

from striate.errors import ArgumentError
from striate.models import create_model
from striate.nn.factorized import FactorizedConvolution, inner_channels


@pytest.mark.parametrize(
    ("channels", "kernel_size", "stride", "reduced"),
    [((8, 16), 3, 1, (6, 10, 7)), ((16, 8), 5, 2, (3, 5, 4))],
)
def test_parameters_are_those_of_a_full_kernel_but_for_the_rounding(
    channels: tuple[int, int], kernel_size: int, stride: int, reduced: tuple[int, ...]
) -> None:
    layer = FactorizedConvolution(*channels, kernel_size, stride=stride)
    weights = layer.slices.weight.numel() + layer.across.weight.numel()
    one_more = kernel_size**2 * channels[0] + kernel_size * channels[1]
    full = kernel_size**3 * channels[0] * channels[1]
    assert full - one_more < weights <= full
    assert layer(torch.zeros(2, channels[0], 6, 10, 7)).shape == (2, channels[1], *reduced)


def test_without_the_norm_and_activation_it_is_the_convolution_with_the_outer_product() -> None:
    torch.manual_seed(0)
    layer = FactorizedConvolution(2, 3, 3, stride=2).double()
    layer.norm, layer.act = torch.nn.Identity(), torch.nn.Identity()
    full = torch.einsum(
        "omt,mihw->oithw", layer.across.weight[..., 0, 0], layer.slices.weight[:, :, 0]
    )
    x = torch.randn(2, 2, 7, 8, 9, dtype=torch.float64)
    expected = torch.nn.functional.conv3d(x, full, stride=2, padding=1)
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)


def test_a_block_computes_what_torchvisions_does_from_the_same_weights() -> None:
    torch.manual_seed(0)
    theirs = r2plus1d_18(weights=None).layer2[1].eval()
    ours = create_model("resnet18", rank=3, factorized=True).stages[1][1].eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    # Both list a block's tensors in the order of use.
    names, tensors = list(ours.state_dict()), theirs.state_dict().values()
    ours.load_state_dict(dict(zip(names, tensors, strict=True)))
    x = torch.randn(1, 128, 3, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_parameters_against_torchvisions_r2plus1d_18() -> None:
    """The same but for the stem, and three blocks' second convolution.

    torchvision takes the width between from the block's first convolution for the second too; the
    paper's formula is one of each convolution. Its stem has 45 channels between and 3 taps across
    slices, ours the formula's 110 and 7, for it stands for the 7 x 7 x 7 of our ResNet.
    """
    theirs = r2plus1d_18(weights=None)
    ours = create_model("resnet18", rank=3, factorized=True, num_classes=400)
    layers = [theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4]
    differences = {
        (stage, block): count(ours.stages[stage][block]) - count(layers[stage][block])
        for stage in range(4)
        for block in range(2)
    }
    assert {place for place, more in differences.items() if more} == {(1, 0), (2, 0), (3, 0)}
    for stage in (1, 2, 3):
        channels = 64 * 2**stage
        first = inner_channels(channels // 2, channels, 3)
        second = inner_channels(channels, channels, 3)
        per_inner = 9 * channels + 3 * channels + 2  # the two filters, and the norm's two
        assert differences[stage, 0] == (second - first) * per_inner
    assert count(ours.head) == count(theirs.fc)
    assert inner_channels(3, 64, 7) == 110
    assert count(ours.stem) == 110 * (49 * 3 + 2 + 7 * 64) + 2 * 64
    assert count(theirs) == 31_505_325
    assert count(ours) == 33_421_164


def test_only_for_rank_three_and_without_groups() -> None:
    with pytest.raises(ArgumentError, match="factorized=True with rank=2"):
        create_model("resnet18", factorized=True)
    with pytest.raises(ArgumentError, match="groups=32"):
        create_model("resnext50_32x4d", rank=3, factorized=True)


def test_a_bottleneck_trains() -> None:
    network = create_model("resnet26", rank=3, in_channels=1, num_classes=3, factorized=True)
    network(torch.randn(2, 1, 16, 32, 32)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
