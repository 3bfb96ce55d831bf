"""A volume that repeats one image along its depth gives the image's logits, in every family.

The volume's network has the image's filters, inflated, and pads its depth by replication: every
slice of every map is then the image's map. With the zeros that networks pad with, filters in the
middle slice still give the same, for they never meet the padding; averages of zeros do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.models.conftest import TOLERANCE, colourful
from torch import Tensor, nn

from striate.geometry import same_padding
from striate.models import MODELS, Network, create_model
from striate.models.inception import PaddedAverage
from striate.nn.ranks import layers
from striate.weights import inflate

FAST = (
    "convnextv2_atto", "densenet121", "efficientnet_lite0", "googlenet", "lenet5",
    "lenet5_original", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "vgg11_bn",
)  # fmt: skip
SLOW = ("alexnet", "convnext_tiny", "efficientnet_b0", "efficientnet_v2_s", "inception_v3", "vgg11")

SIDES = {"densenet121": 65, "googlenet": 65, "inception_v3": 107}
"""Larger images where the last norms would see a handful of places; by default 33 or the least."""

DOUBLE = ("inception_v3",)
"""In single precision its thirds of filters, rounded, change the logits by 2e-4."""

each_network = pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)


def replicate_depth(network: nn.Module) -> None:
    """Pad the first axis of space by replication, in every convolution and pooling of `network`."""
    of_rank = layers(3)
    for module in list(network.modules()):
        if isinstance(module, of_rank.conv):
            module.forward = partial(convolve, module)
        elif isinstance(module, PaddedAverage):
            module.forward = partial(average, module)
        elif isinstance(module, (of_rank.max_pool, of_rank.avg_pool)):
            sides = module.padding if isinstance(module.padding, tuple) else (module.padding,) * 3
            module.padding = (0, *sides[1:])
            module.register_forward_pre_hook(partial(before_pooling, sides[0]))


def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """As the layer does, but for the depth's padding."""
    if hasattr(conv, "padding_for") or getattr(conv, "pads_by_size", False):
        axes = zip(x.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
        depth, *sides = (same_padding(*axis) for axis in axes)
    else:
        depth, *sides = ((p, p) for p in conv.padding)
    x = pad(x, depth, sides)
    return F.conv3d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


def average(module: PaddedAverage, x: Tensor) -> Tensor:
    y: Tensor = module.average(pad(x, (1, 1), [(1, 1)] * 2))
    return y


def before_pooling(depth: int, _: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return pad(inputs[0], (depth, depth), [(0, 0)] * 2)


def pad(x: Tensor, depth: tuple[int, int], sides: Sequence[tuple[int, int]]) -> Tensor:
    """Replicate the first and the last slice; zeros around each."""
    rows, columns = sides
    return F.pad(F.pad(x, (0, 0, 0, 0, *depth), mode="replicate"), (*columns, *rows))


def build(name: str, rank: int) -> Network:
    """Without chance in training, and narrow where hidden layers would hold most weights."""
    options = {"hidden_features": (32, 16), "stochastic_depth": 0.0}
    has = vars(MODELS.get(name).config)
    known = {key: value for key, value in options.items() if key in has}
    return create_model(name, rank=rank, num_classes=7, **known)


@pytest.fixture
def compare(randomize: Callable[..., nn.Module]) -> Callable[..., None]:
    """Checks the logits of a repeated image against the image's own."""

    def check(name: str, mode: str, *, replicate: bool) -> None:
        image_network, volume_network = build(name, 2), build(name, 3).eval()
        side = max(image_network.min_size, SIDES.get(name, 33))
        images = colourful(4, (side, side), torch.Generator().manual_seed(1))
        randomize(image_network, (side, side))
        with torch.no_grad():
            for key, parameter in image_network.named_parameters():
                if key.endswith("bias"):  # large ones would drown the input
                    parameter.mul_(0.1)
            # Statistics of the images themselves: with others, rounding errors may grow a
            # millionfold on the way.
            image_network.train()(images)
        dtype = torch.float64 if name in DOUBLE else torch.float32
        image_network.to(dtype)
        volume_network.to(dtype)
        images = images.to(dtype)
        state = volume_network.fit_weights(image_network.state_dict())
        volume_network.load_state_dict(inflate(state, 3, mode))
        if replicate:
            replicate_depth(volume_network)
        depth = max(image_network.min_size, 9)
        volume = images[:1].unsqueeze(2).expand(-1, -1, depth, -1, -1)
        with torch.inference_mode():
            expected, other, *_ = image_network.eval()(images)
            (got,) = volume_network(volume)
        assert (other - expected).abs().max() > 0.05 * expected.abs().max()
        assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()

    return check


@each_network
@pytest.mark.parametrize("mode", ["center", "average"])
def test_equal_slices_give_the_logits_of_one(
    name: str, mode: str, compare: Callable[..., None]
) -> None:
    compare(name, mode, replicate=True)


@each_network
def test_centred_filters_need_no_replication(name: str, compare: Callable[..., None]) -> None:
    if name == "inception_v3":
        with pytest.raises(AssertionError, match=r"0\.0001"):
            compare(name, "center", replicate=False)
    else:
        compare(name, "center", replicate=False)
