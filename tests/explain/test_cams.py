"""Grad-CAM++, Layer-CAM and Eigen-CAM against pytorch-grad-cam, and against loops over the papers."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.method import EXPLANATIONS
from striate.models import create_model

CAMS = {
    "gradcam": "GradCAM",
    "gradcam-plus-plus": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}


class Whole(nn.Module):
    """The network with its maps passing through a module of their own, which a hook can find."""

    def __init__(self, network):
        super().__init__()
        self.network, self.maps = network, nn.Identity()

    def forward(self, x):
        return self.network.forward_head(self.maps(self.network.forward_features(x)))


def scaled(heat):
    heat = np.asarray(heat, np.float64)
    return heat / heat.reshape(len(heat), -1).max(1).reshape(-1, *[1] * (heat.ndim - 1))


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("method", CAMS)
def test_heat_equals_pytorch_grad_cams(method, rank, trained):
    pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")
    targets_of = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    network, inputs, labels, _ = trained(rank)
    whole = Whole(network)
    cam = getattr(pytorch_grad_cam, CAMS[method])(model=whole, target_layers=[whole.maps])
    targets = [targets_of.ClassifierOutputTarget(int(label)) for label in labels]
    with torch.enable_grad():  # the maps must be part of the graph for its hooks
        cam.compute_input_gradient = True
        activations = cam.activations_and_grads(inputs.clone().requires_grad_())
        cam.outputs = activations
        sum(t(o) for t, o in zip(targets, activations, strict=True)).backward(retain_graph=True)
    maps = cam.activations_and_grads.activations[0].numpy()
    slopes = cam.activations_and_grads.gradients[0].numpy()
    theirs = np.maximum(
        cam.get_cam_image(inputs, whole.maps, targets, maps, slopes, False).astype(np.float64), 0
    )
    ours = EXPLANATIONS.get(method).grid(network, inputs, labels).numpy()
    for mine, other, own in zip(ours, theirs, maps, strict=True):
        if method == "eigencam" and np.corrcoef(mine.ravel(), other.ravel())[0, 1] < 0.5:
            continue  # a component's sign is open, and the other half of it was cut off
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4 * max(np.abs(own).max(), 1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_weights_follow_the_papers_place_by_place(rank, trained):
    network, inputs, labels, _ = trained(rank)
    inputs, labels = inputs[:3], labels[:3]
    maps = network.forward_features(inputs).detach().double().requires_grad_()
    head = torch.nn.functional.linear(
        maps.flatten(2).mean(-1), network.linear.weight.double(), network.linear.bias.double()
    )
    (slopes,) = torch.autograd.grad(head.gather(1, labels[:, None]).sum(), maps)
    maps, slopes = maps.detach().flatten(2).numpy(), slopes.flatten(2).numpy()
    plus, layer = np.zeros((3, maps.shape[2])), np.zeros((3, maps.shape[2]))
    for n in range(3):
        for a, g in zip(maps[n], slopes[n], strict=True):
            alpha = [
                x**2 / (2 * x**2 + a.sum() * x**3 + 1e-6) if x else 0.0 for x in g
            ]  # equation 19
            plus[n] += sum(w * max(x, 0) for w, x in zip(alpha, g, strict=True)) * a
            layer[n] += np.maximum(g, 0) * a
    for method, expected in (("gradcam-plus-plus", plus), ("layercam", layer)):
        ours = EXPLANATIONS.get(method).grid(network, inputs, labels).flatten(1).numpy()
        np.testing.assert_allclose(ours, np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam-plus-plus", "layercam", "eigencam"])
def test_tokens_have_maps_and_what_pools_inside_has_none(method):
    vit = create_model("vit_s_16", num_classes=3, input_size=32).eval()
    assert explain(vit, torch.randn(1, 3, 32, 32), method=method).heat.shape == (1, 32, 32)
    series = create_model("minirocket", rank=1, in_channels=1, num_classes=2).eval()
    with pytest.raises(ArgumentError, match="pools inside its features"):
        explain(series, torch.randn(1, 1, 256), method=method)
