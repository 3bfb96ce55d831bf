"""The kernel machine: statistics of late maps, scikit-learn's kernel, and where a logit comes from."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics.pairwise import rbf_kernel

from striate.errors import ArgumentError
from striate.explain import explain
from striate.models import create_model
from striate.models.kernel_machine import KernelMachine, ScaleFeatures, kernel_machine_of
from striate.nn.kernel_head import LIMIT, KernelHead


def randomized(machine: KernelMachine) -> KernelMachine:
    """Landmarks near real features, so that similarities are neither 0 nor 1."""
    generator = torch.Generator().manual_seed(0)
    head = machine.head
    assert isinstance(head, KernelHead)
    head.landmarks.normal_(generator=generator)
    head.gamma.fill_(0.7)
    return machine.eval()


def small_machine(**options) -> KernelMachine:
    torch.manual_seed(0)
    machine = create_model("kernel_machine", num_classes=3, num_landmarks=5, **options)
    assert isinstance(machine, KernelMachine)
    return randomized(machine)


def test_features_are_statistics_of_the_late_blocks_and_the_pooled_maps() -> None:
    """Against numpy, to 1e-5; of EfficientNet-Lite0 the blocks at strides 16 and 32."""
    torch.manual_seed(0)
    network = create_model("efficientnet_lite0").eval()
    x = torch.randn(2, 3, 96, 96)
    expected = []
    with torch.no_grad():
        maps = x
        for name, block in network.blocks():
            maps = block(maps)
            if name.startswith("stages.") and maps.shape[-1] <= 6:
                values = maps.flatten(2).numpy()
                expected += [values.mean(-1), values.std(-1), values.max(-1)]
        expected.append(network.pool(maps).numpy())
        features = ScaleFeatures(network)
        found = features(x)
    assert found.shape == (2, features.num_features) == (2, 6272)
    np.testing.assert_allclose(found.numpy(), np.concatenate(expected, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "num_features"),
    [
        ("resnet50", 3 * (1024 + 2048) + 2048),  # of many features, each stage's last block
        ("resnet18", 3 * (2 * 256 + 2 * 512) + 512),
        ("vit_b_16", 768),  # tokens have no maps
    ],
)
def test_which_blocks_are_described(name: str, num_features: int) -> None:
    with torch.device("meta"):
        network = create_model(name)
    assert ScaleFeatures(network).num_features == num_features


def test_the_head_compares_as_scikit_learn_does() -> None:
    generator = torch.Generator().manual_seed(1)
    head = KernelHead(40, 7, 3)
    head.shift.normal_(generator=generator)
    head.scale.uniform_(0.5, 2, generator=generator)
    head.landmarks.normal_(generator=generator)
    head.gamma.fill_(0.9)
    features = 3 * torch.randn(11, 40, generator=generator)
    standardized = ((features - head.shift) * head.scale).clamp(-LIMIT, LIMIT)
    landmarks = head.landmarks.float().numpy()
    similar = rbf_kernel(standardized.numpy(), landmarks, gamma=0.9 / 40)
    with torch.no_grad():
        expected = head.linear(torch.from_numpy(similar))
        torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-6)


def test_an_activation_map_sums_to_the_slope_of_the_logit_along_the_maps() -> None:
    """d/dt logit(t * maps) at t = 1, by a central difference in double precision, to 1e-5."""
    machine = small_machine(backbone="resnet18").double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    targets = torch.tensor([2, 0])
    heat = machine.activation_map(x, targets)
    assert heat.shape == (2, 2, 2)
    with torch.no_grad():
        maps = machine.stem.maps(x)
        step = 1e-5
        ahead, behind = (
            machine.forward_head(machine.stem.describe([t * m for m in maps]))
            for t in (1 + step, 1 - step)
        )
    slope = ((ahead - behind) / (2 * step)).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(heat.sum((1, 2)), slope, rtol=1e-5, atol=1e-9)
    assert slope.abs().min() > 1e-6
    assert explain(machine, x, targets, "gradcam").heat.shape == (2, 64, 64)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_saved_machine_is_made_again_from_its_configuration(rank, tmp_path) -> None:
    machine = small_machine(backbone="resnet18", rank=rank, in_channels=2)
    path = tmp_path / "model.safetensors"
    save_file(machine.state_dict(), path)
    options = {name: getattr(machine.config, name) for name in ("rank", "in_channels", "backbone")}
    again = create_model(
        "kernel_machine", weights=path, num_classes=3, num_landmarks=5, **options
    ).eval()
    x = torch.randn(2, 2, *[32] * rank)
    with torch.no_grad():
        assert torch.equal(again(x), machine(x))


def test_a_machine_takes_over_weights_and_preprocessing() -> None:
    torch.manual_seed(0)
    network = create_model("efficientnet_lite0", weights="imagenet").eval()
    machine = kernel_machine_of(network, "efficientnet_lite0", num_landmarks=4, num_classes=2)
    assert machine.preprocessing == network.preprocessing
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pooled = network.pool(network.forward_features(x))
        torch.testing.assert_close(machine.forward_features(x)[:, -1280:], pooled)


def test_an_unusual_backbone_is_made_again(tmp_path) -> None:
    """Options that change the layers are kept, through JSON: here one block a stage."""
    network = create_model("resnet18", num_blocks=(1, 1, 1, 1))
    machine = randomized(kernel_machine_of(network, "resnet18", num_landmarks=4, num_classes=2))
    path = tmp_path / "model.safetensors"
    save_file(machine.state_dict(), path)
    options = json.loads(json.dumps(asdict(machine.config)))
    again = create_model("kernel_machine", weights=path, **options).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(x), machine(x))


def test_bad_requests_say_why() -> None:
    with pytest.raises(ArgumentError, match="num_landmarks=0"):
        create_model("kernel_machine", num_landmarks=0)
    with pytest.raises(ArgumentError, match="a new head"):
        small_machine(backbone="resnet18").reset_classifier(4)
