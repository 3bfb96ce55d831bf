"""The networks from before ResNet, and its variants, equal torchvision's on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.models import create_model
from striate.weights.preprocessing import IMAGENET

VGGS = [f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")]
RESNEXTS = [f"resnext{size}" for size in ("50_32x4d", "101_32x8d", "101_64x4d")]
WIDE = [f"wide_resnet{depth}_2" for depth in (50, 101)]
DENSENETS = [f"densenet{depth}" for depth in (121, 161, 169, 201)]
NARROW = {"hidden_features": (32, 16), "num_classes": 7}


def narrow(name: str, inputs: int) -> nn.Module:
    """torchvision's network with hidden layers of 32 and 16 features in place of 4096."""
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        options = {"init_weights": False} if name.startswith("vgg") else {}
        network: Any = torchvision.models.get_model(name, weights=None, **options)
        linear = [m for m in network.classifier if isinstance(m, nn.Linear)]
        sizes = (inputs, 32, 16, 7)
        small = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        replaced = dict(zip(linear, small, strict=True))
        network.classifier = nn.Sequential(*(replaced.get(m, m) for m in network.classifier))
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return network


@pytest.fixture
def assert_equal_plain(tmp_path: Path, randomize: Callable[..., nn.Module]) -> Callable[..., None]:
    """`assert_equal` for networks without norms, where large biases would drown the input."""

    def check(
        reference: nn.Module, name: str, *, size: tuple[int, int] = (66, 75), **options: object
    ) -> None:
        randomize(reference, size)
        with torch.no_grad():
            for key, parameter in reference.named_parameters():
                if key.endswith("bias"):
                    parameter.mul_(0.1)
        save_file(reference.state_dict(), tmp_path / "weights.safetensors")
        network = create_model(name, weights=tmp_path / "weights.safetensors", **options).eval()
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected, got = reference(images), network(images)
        # Depth makes inputs alike where nothing normalizes; this is 200 times the tolerance.
        assert (expected[0] - expected[1]).abs().max() > 0.02 * expected.abs().max()
        assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()

    return check


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if "11" in n else pytest.mark.slow) for n in VGGS]
)
def test_vgg_equals_torchvision(name: str, assert_equal_plain: Callable[..., None]) -> None:
    assert_equal_plain(narrow(name, 512 * 7**2), name, size=(33, 40), **NARROW)


def test_alexnet_equals_torchvision(assert_equal_plain: Callable[..., None]) -> None:
    assert_equal_plain(narrow("alexnet", 256 * 6**2), "alexnet", size=(63, 70), **NARROW)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_full_heads_equal_torchvision(name: str, assert_equal_plain: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal_plain(torchvision.models.get_model(name, weights=None), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", VGGS)
def test_vgg_equals_timm(name: str, assert_equal_plain: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    assert_equal_plain(timm.create_model(name, num_classes=7), name, num_classes=7)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if "50_32" in n else pytest.mark.slow) for n in RESNEXTS + WIDE],
)
def test_resnet_variants_equal_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    reference = torchvision.models.get_model(name, weights=None, num_classes=7)
    assert_equal(reference, name, num_classes=7)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if "121" in n else pytest.mark.slow) for n in DENSENETS]
)
def test_densenet_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    reference = torchvision.models.get_model(name, weights=None, num_classes=7)
    assert_equal(reference, name, num_classes=7)


INCEPTIONS = {"googlenet": ((33, 40), {"dropout_aux": 0.0}), "inception_v3": ((80, 90), {})}
"""A small input, and torchvision's options for training without chance."""

OURS = {"googlenet": {"auxiliary_dropout": 0.0}, "inception_v3": {}}


def inception(name: str, **options: Any) -> Any:
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.get_model
    return model(name, weights=None, num_classes=7, init_weights=False, **options)


@pytest.mark.parametrize("name", INCEPTIONS)
def test_inception_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    reference = inception(name, aux_logits=False)
    assert_equal(reference, name, size=INCEPTIONS[name][0], num_classes=7)


@pytest.mark.parametrize("name", INCEPTIONS)
def test_the_transform_of_torchvision_is_the_preprocessing(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    size, _ = INCEPTIONS[name]
    reference = inception(name, aux_logits=False, transform_input=True).eval()
    save_file(reference.state_dict(), tmp_path / "weights.safetensors")
    network = create_model(name, weights=tmp_path / "weights.safetensors", num_classes=7).eval()
    pixels = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.inference_mode():
        expected = reference(IMAGENET.normalize(pixels))
        got = network(network.preprocessing.normalize(pixels))
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "googlenet" else pytest.mark.slow) for n in INCEPTIONS],
)
def test_training_outputs_equal_torchvision(name: str, tmp_path: Path) -> None:
    """The logits of all classifiers; with batch statistics, as in training."""
    torch.manual_seed(0)
    size, options = INCEPTIONS[name]
    reference = inception(name, aux_logits=True, dropout=0.0, **options)
    save_file(reference.state_dict(), tmp_path / "weights.safetensors")
    network = create_model(
        name, weights=tmp_path / "weights.safetensors", num_classes=7, dropout=0.0, **OURS[name]
    ).train()
    size = size if name == "googlenet" else (299, 299)
    images = torch.randn(3, 3, *size)
    with torch.no_grad():
        last, *auxiliary = reference.train()(images)
        got = network(images)
    assert len(got.auxiliary) == len(auxiliary)
    for ours, theirs in zip(
        (got.logits, *got.auxiliary), (last, *reversed(auxiliary)), strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("name", INCEPTIONS)
def test_a_new_head_changes_all_classifiers(name: str) -> None:
    with torch.device("meta"):
        network = create_model(name)
        network.reset_classifier(4)
        outputs = network(torch.empty(2, 3, 80, 80))
    assert all(each.shape == (2, 4) for each in (outputs.logits, *outputs.auxiliary))


@pytest.mark.parametrize("name", [*VGGS, "alexnet", *RESNEXTS, *WIDE, *DENSENETS, *INCEPTIONS])
def test_parameters_are_as_many_as_torchvision_has(name: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    options = {"init_weights": False} if name in INCEPTIONS else {}
    with torch.device("meta"):
        ours = create_model(name)
        theirs = torchvision.models.get_model(name, weights=None, **options)
    ours_count, theirs_count = (sum(p.numel() for p in n.parameters()) for n in (ours, theirs))
    assert ours_count == theirs_count


@pytest.mark.parametrize("rank", [1, 3])
def test_weights_of_images_fit_other_ranks(rank: int, tmp_path: Path) -> None:
    """Also with other channels and classes, where all classifiers start afresh."""
    path = tmp_path / "weights.safetensors"
    images = create_model("googlenet", num_classes=5)
    save_file(images.state_dict(), path)
    other = create_model("googlenet", rank=rank, in_channels=1, num_classes=3, weights=path)
    heads = [each.get_submodule("head.linear") for each in other.auxiliary]
    assert all(head.out_features == 3 for head in heads)
    flat, volume = (n.stages[0][0].conv.weight.flatten(1) for n in (images, other))
    assert torch.equal(flat, volume)


@pytest.mark.parametrize("rank", [1, 3])
def test_hidden_layers_keep_their_outputs_in_another_rank(
    rank: int, randomize: Callable[..., nn.Module], tmp_path: Path
) -> None:
    """An image of equal rows is a series; a volume of equal slices is an image."""
    reference = randomize(create_model("alexnet", **NARROW), (63, 63))
    path = tmp_path / "alexnet.pt"
    torch.save(reference.state_dict(), path)
    network = create_model("alexnet", weights=path, rank=rank, **NARROW)
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 256, *[6] * min(rank, 2), generator=draw)
    image = maps[:, :, None].expand(-1, -1, 6, -1) if rank == 1 else maps
    other = maps if rank == 1 else maps[:, :, None].expand(-1, -1, 6, -1, -1)
    with torch.inference_mode():
        expected, got = reference.pool(image), network.pool.eval()(other)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_too_small_an_image_says_the_minimal_size() -> None:
    for name, least in (
        ("vgg11", 32),
        ("alexnet", 63),
        ("densenet121", 29),
        ("googlenet", 15),
        ("inception_v3", 75),
    ):
        with torch.device("meta"):
            network = create_model(name).eval()
            assert network(torch.empty(1, 3, least, least)).shape == (1, 1000)
            with pytest.raises(ValueError, match=f"minimum along each axis is {least}"):
                network(torch.empty(1, 3, least, least - 1))
