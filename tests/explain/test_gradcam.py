"""Grad-CAM against the class activation map of a linear head, and against autograd by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError, UnknownNameError
from striate.explain import EXPLANATIONS, explain
from striate.models import create_model
from striate.nn.ranks import layers
from striate.weights import inflate

SIZES = {1: (32,), 2: (24, 40), 3: (8, 12, 16)}


class LinearHeadNetwork(nn.Module):
    """Convolution, batch norm and ReLU; global average pooling; dropout; one linear layer."""

    def __init__(self, rank, num_classes=4):
        super().__init__()
        kinds = layers(rank)
        self.body = nn.Sequential(
            kinds.conv(3, 8, 3, stride=4, padding=1), kinds.batch_norm(8), nn.ReLU()
        )
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(8, num_classes)

    def forward_features(self, x):
        return self.body(x)

    def forward_head(self, features):
        return self.linear(self.dropout(features.flatten(2).mean(-1)))


def network_and_inputs(rank):
    torch.manual_seed(rank)
    return LinearHeadNetwork(rank), torch.randn(5, 3, *SIZES[rank])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", EXPLANATIONS.names())
def test_maps_lie_between_zero_and_one_at_the_inputs_size(rank, method):
    network, inputs = network_and_inputs(rank)
    heat = explain(network, inputs, method=method).heat
    assert heat.shape == (5, *SIZES[rank])
    assert heat.min() >= 0
    peaks = heat.flatten(1).amax(1)
    assert ((peaks - 1).abs() < 1e-6).logical_or(peaks == 0).all()
    assert (peaks > 0).any()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_class_activation_map_of_a_linear_head(rank):
    network, inputs = network_and_inputs(rank)
    targets = torch.tensor([0, 1, 2, 3, 0])
    network.eval()
    with torch.no_grad():
        maps = network.forward_features(inputs)
        cam = torch.einsum("nc,nc...->n...", network.linear.weight[targets], maps).relu()
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    cam = F.interpolate(cam[:, None], SIZES[rank], mode=mode)[:, 0]
    cam = cam / cam.flatten(1).amax(1).clamp(min=1e-30).view(-1, *[1] * rank)
    torch.testing.assert_close(explain(network, inputs, targets).heat, cam, atol=1e-5, rtol=0)


def test_equals_the_full_backward_pass_one_item_at_a_time():
    network, inputs = network_and_inputs(2)
    network.forward_head = lambda maps: network.linear(maps.flatten(2).amax(-1)).tanh()
    together = explain(network, inputs, torch.full((5,), 2)).heat
    network.eval()
    for item, heat in zip(inputs, together, strict=True):
        maps = network.forward_features(item[None])
        maps.retain_grad()
        network.forward_head(maps)[0, 2].backward()
        cam = (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
        cam = F.interpolate(cam, SIZES[2], mode="bilinear")[0, 0].detach()
        torch.testing.assert_close(heat, cam / cam.max().clamp(min=1e-30), atol=1e-5, rtol=0)


def test_the_predicted_class_is_explained_by_default():
    network, inputs = network_and_inputs(2)
    network.eval()
    with torch.no_grad():
        predicted = network.forward_head(network.forward_features(inputs)).argmax(1)
    torch.testing.assert_close(
        explain(network, inputs).heat, explain(network, inputs, predicted).heat
    )


def test_the_network_is_left_as_it_was():
    network, inputs = network_and_inputs(2)
    network.body[1].eval()  # a frozen layer stays frozen
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = explain(network, inputs).heat
    torch.testing.assert_close(explain(network, inputs).heat, first, atol=0, rtol=0)
    assert [m.training for m in network.modules()].count(False) == 1
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)


def test_works_inside_inference_mode():
    network, inputs = network_and_inputs(2)
    expected = explain(network, inputs).heat
    with torch.inference_mode():
        torch.testing.assert_close(explain(network, inputs.clone()).heat, expected)


def test_no_evidence_gives_zeros():
    network, inputs = network_and_inputs(2)
    nn.init.constant_(network.linear.weight, -1.0)
    heat = explain(network, inputs).heat
    assert np.isfinite(heat.numpy()).all()
    assert (heat == 0).all()


def test_mistakes_are_refused():
    network, inputs = network_and_inputs(2)
    with pytest.raises(UnknownNameError, match="did you mean 'gradcam'"):
        explain(network, inputs, method="grad-cam")
    with pytest.raises(ArgumentError, match="3 targets for 5 inputs"):
        explain(network, inputs, torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "weights"), [("resnet18", None), ("efficientnet_lite0", "imagenet")]
)
def test_rank_three_cam_of_one_slice_equals_the_rank_two_cam(
    name: str, weights: str | None
) -> None:
    """Inflated by the default mode, a filter lies in the middle slice: one slice is an image."""
    torch.manual_seed(0)
    flat = create_model(name, in_channels=1, weights=weights).eval()
    solid = create_model(name, rank=3, in_channels=1).eval()
    solid.load_state_dict(inflate(flat.state_dict(), 3))
    images = torch.nn.functional.interpolate(torch.randn(2, 1, 6, 6), size=(96, 96), mode="bicubic")
    expected = explain(flat, images).heat
    heat = explain(solid, images[:, :, None]).heat
    assert heat.shape == (2, 1, 96, 96)
    assert expected.flatten(1).amax(1).eq(1).all() and expected.std() > 0.05
    torch.testing.assert_close(heat[:, 0], expected, atol=1e-4, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(solid(images[:, :, None]), flat(images), atol=1e-4, rtol=1e-4)
