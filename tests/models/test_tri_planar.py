"""Tri-planar features of a volume: the same whichever axis is which, and what each stage averages to."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ArgumentError
from striate.explain import explain
from striate.models import create_model
from striate.models.tri_planar import STRIDE, TAPPED, TriPlanar
from striate.weights import inflate


@pytest.fixture(scope="module")
def network() -> TriPlanar:
    made = create_model("tri_planar", rank=3, in_channels=1, num_classes=4, weights="imagenet")
    assert isinstance(made, TriPlanar)
    return made.eval()


def test_features_are_the_means_of_the_inflated_networks_stages(network: TriPlanar) -> None:
    """Averaged over three turned copies, to 1e-4; the sizes divide, so pooling keeps the means."""
    torch.manual_seed(0)
    flat = create_model("efficientnet_lite0", in_channels=1, weights="imagenet")
    solid = create_model("efficientnet_lite0", rank=3, in_channels=1).eval()
    solid.load_state_dict(inflate(flat.state_dict(), 3, "average"))
    x = torch.randn(2, 1, 32, 32, 32)
    with torch.no_grad():
        views = [x, x.transpose(2, 3), x.movedim(4, 2)]
        maps = [solid.forward_intermediates(view)[1] for view in views]
        means = [torch.cat([m[s].flatten(2).mean(-1) for s in TAPPED], 1) for m in maps]
        features = network.pool(network.forward_features(x)).flatten(1)
    assert features.shape == (2, network.num_features) == (2, 192)
    torch.testing.assert_close(features, torch.stack(means).mean(0), atol=1e-4, rtol=1e-4)


def test_maps_lie_where_the_volume_does(network: TriPlanar) -> None:

    bright = torch.zeros(1, 1, 32, 32, 32)
    bright[..., 4:8, 20:24, 12:16] = 5
    with torch.no_grad():
        change = (network.forward_features(bright) - network.forward_features(0 * bright)).abs()
    assert change.shape == (1, 192, 8, 8, 8)
    fine = change[0, :16].sum(0)  # of the first stage, the finest
    place = divmod(int(fine.argmax()), 64)
    found = (place[0], *divmod(place[1], 8))
    assert all(abs(at - true) <= 1 for at, true in zip(found, (1, 5, 3), strict=True))


def test_any_size_and_both_ways_of_training(network: TriPlanar) -> None:
    trained = create_model("tri_planar", rank=3, in_channels=2, num_classes=3)
    maps = trained.forward_features(torch.randn(2, 2, 9, 17, 12))
    assert maps.shape[2:] == tuple(-(-n // STRIDE) for n in (9, 17, 12))
    trained.forward_head(maps).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.parameters())
    assert trained.state_dict().keys() == network.state_dict().keys()


def test_places_add_up_to_the_logit_beside_an_empty_volume(network: TriPlanar) -> None:
    torch.manual_seed(0)
    x, targets = torch.randn(3, 1, 16, 24, 32), torch.tensor([2, 0, 3])
    with torch.no_grad():
        heat = network.activation_map(x, targets)
        logits, empty = network(x), network(torch.zeros_like(x[:1]))
    expected = (logits - empty).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(heat.flatten(1).sum(1), expected, atol=1e-5, rtol=1e-4)
    shown = explain(network, x, targets).heat
    assert shown.shape == (3, 16, 24, 32) and shown.max() == 1


def test_only_of_volumes() -> None:
    with pytest.raises(ArgumentError, match="the network has rank 3"):
        create_model("tri_planar", rank=2)


def test_a_saved_one_is_read_again(network: TriPlanar, tmp_path: Path) -> None:
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    again = create_model(
        "tri_planar", rank=3, in_channels=1, num_classes=4, weights=tmp_path / "model.safetensors"
    )
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), network(x))
