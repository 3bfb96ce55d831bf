"""A network of fixed features that are counts: its own exact map, and no gradient."""

import pytest
import torch

from striate.errors import ArgumentError
from striate.explain import explain
from striate.models import create_model


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = create_model("minirocket", rank=1, in_channels=1, num_classes=3, input_size=100)
    made.fit_features(torch.randn(8, 1, 100), seed=0)
    return made.eval()


def test_gradcam_is_what_each_place_adds_to_the_logit(network):
    inputs, targets = torch.randn(4, 1, 100), torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        exact = network.activation_map(inputs, targets).relu()
    heat = explain(network, inputs, targets).heat
    torch.testing.assert_close(heat, exact / exact.amax(1, keepdim=True))
    with torch.no_grad():
        predicted = network(inputs).argmax(1)
    torch.testing.assert_close(
        explain(network, inputs).heat, explain(network, inputs, predicted).heat
    )
    assert heat.std() > 0


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients"])
def test_methods_that_need_a_gradient_say_so(network, method):
    with pytest.raises(ArgumentError, match=r"no gradient .* explain it by gradcam or occlusion"):
        explain(network, torch.randn(1, 1, 100), method=method)
    network.requires_grad_(False)
    with pytest.raises(ArgumentError, match="no gradient"):
        explain(network, torch.randn(1, 1, 100), method=method)
    network.requires_grad_()


def test_occlusion_asks_for_no_gradient(network):
    assert explain(network, torch.randn(1, 1, 100), method="occlusion").heat.max() == 1
