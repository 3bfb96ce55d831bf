"""InceptionTime and TCN against their papers' layouts."""

import pytest
import torch
import torch.nn.functional as F

from striate.errors import ArgumentError
from striate.models import create_model
from striate.models.inception_time import InceptionModule
from striate.nn.conv import convolution


def authors_parameters(channels: int, classes: int, filters: int = 32, depth: int = 6) -> int:
    """Trainable weights of the authors' Keras network, counted from its code layer by layer."""
    width, total, x, shortcut_from = 4 * filters, 0, channels, channels
    for d in range(depth):
        reduced = x
        if x > 1:
            reduced, total = 32, total + x * 32
        total += sum(reduced * filters * (40 // 2**i) for i in range(3))
        total += x * filters  # behind the pooling
        total += 2 * width  # batch norm
        x = width
        if d % 3 == 2:
            total += shortcut_from * width + 2 * width
            shortcut_from = width
    return total + width * classes + classes


@pytest.mark.parametrize(("channels", "classes"), [(1, 3), (12, 9)])
def test_inception_time_has_the_authors_number_of_parameters(channels: int, classes: int) -> None:
    network = create_model("inception_time", rank=1, in_channels=channels, num_classes=classes)
    assert sum(p.numel() for p in network.parameters()) == authors_parameters(channels, classes)


def test_inception_module_is_what_the_paper_draws() -> None:
    network = create_model("inception_time", rank=1, in_channels=4, num_classes=2).eval()
    module = next(m for m in network.modules() if isinstance(m, InceptionModule))
    x = torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(0))
    reduced = F.conv1d(x, module.bottleneck.weight)
    maps = []
    for conv, size in zip(module.convs, (40, 20, 10), strict=True):
        # TensorFlow's rule: an even kernel has one more place behind than in front.
        padded = F.pad(reduced, ((size - 1) // 2, size // 2))
        maps.append(F.conv1d(padded, conv.weight))
    maps.append(F.conv1d(F.max_pool1d(x, 3, 1, 1), module.project.weight))
    norm = module.norm
    y = F.batch_norm(torch.cat(maps, 1), norm.running_mean, norm.running_var, norm.weight,
                     norm.bias, eps=1e-3)  # fmt: skip
    torch.testing.assert_close(module(x), F.relu(y), rtol=1e-5, atol=1e-6)


def test_tcn_sees_nothing_of_what_comes_after() -> None:
    network = create_model("tcn", rank=1, in_channels=2, num_classes=2).eval()
    x = torch.randn(1, 2, 300, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network.forward_features(x)[0, :, 200].sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert not seen[201:].any() and seen[200]
    # 1 + 2 (k - 1) (2^blocks - 1) places, more than there are.
    assert seen[0]


def test_tcn_reaches_as_far_as_its_dilations_say() -> None:
    network = create_model("tcn", rank=1, in_channels=1, num_classes=2, num_blocks=4).eval()
    x = torch.randn(1, 1, 200, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network.forward_features(x)[0, :, 150].sum().backward()
    seen = torch.nonzero(x.grad[0, 0]).flatten()
    assert 150 - int(seen.min()) == 2 * 2 * (2**4 - 1)


@pytest.mark.parametrize("dilation", [1, 3])
def test_causal_and_even_convolutions(dilation: int) -> None:
    x = torch.randn(1, 2, 30)
    causal = convolution(1, 2, 3, 5, dilation=dilation, padding="causal")
    expected = F.conv1d(F.pad(x, (4 * dilation, 0)), causal.weight, dilation=dilation)
    torch.testing.assert_close(causal(x), expected)
    even = convolution(1, 2, 3, 4, dilation=dilation, padding="same")
    total = 3 * dilation
    padded = F.pad(x, (total // 2, total - total // 2))
    torch.testing.assert_close(even(x), F.conv1d(padded, even.weight, dilation=dilation))
    with pytest.raises(ArgumentError, match="symmetric padding needs an odd"):
        convolution(1, 2, 3, 4)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ArgumentError, match="filters=0"):
        create_model("inception_time", filters=0)
    with pytest.raises(ArgumentError, match="num_blocks=0"):
        create_model("tcn", num_blocks=0)
    with pytest.raises(ArgumentError, match=r"block_dropout=1\.5"):
        create_model("tcn", block_dropout=1.5)
