"""The values of each layer are those that torch computes, whatever a network does in between."""

import pytest
import torch
from torch import nn

from striate.analysis import calculations, summary
from striate.models import create_model

NETWORKS = [
    *("lenet5", "resnet18", "googlenet", "efficientnet_b0"),
    pytest.param("convnext_tiny", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=NETWORKS)
def walked(request):
    torch.manual_seed(0)
    model = create_model(request.param).eval()
    x = torch.randn(1, 3, 32, 32)
    return model, x, calculations(model, x)


def test_the_layers_are_those_of_the_summary(walked):
    model, x, found = walked
    layers = summary(model, x.shape[1:]).layers
    assert [c.layer for c in found] == list(layers)


def test_the_values_are_those_that_a_hook_sees(walked):
    model, x, found = walked
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, i, o, name=name: seen.update({name: (i[0], o)}))
        for name, module in model.named_modules()
    ]
    with torch.inference_mode():
        model(x)
    for hook in hooks:
        hook.remove()
    modules = [c for c in found if c.module is not None]
    assert len(modules) > len(found) / 2
    for calculation in modules:
        given, y = seen[calculation.layer.name]
        torch.testing.assert_close(calculation.operands[0], given, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(calculation.output, y, rtol=1e-4, atol=1e-5)


def test_every_operand_comes_from_the_item_or_an_earlier_layer(walked):
    _, _, found = walked
    assert found[0].sources == ((-1,),)
    for index, calculation in enumerate(found):
        assert len(calculation.sources) == len(calculation.operands)
        assert all(-1 <= s < index for sources in calculation.sources for s in sources)


def test_both_sides_of_a_residual_addition_are_found():
    found = calculations(create_model("resnet18").eval(), torch.randn(1, 3, 32, 32))
    names = [c.layer.name for c in found]
    add = found[names.index("stages.0.0.add")]
    assert [names[s] for (s,) in add.sources] == [
        "stages.0.0.branch.1.norm",
        "stages.0.0.shortcut",
    ]


def test_what_works_in_place_does_not_change_what_was_kept():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.act = nn.ReLU(inplace=True)
            self.last = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            y = self.act(self.conv(x))
            z = self.last(y)
            z += y
            return z.mean((2, 3))

    torch.manual_seed(0)
    model, x = InPlace().eval(), torch.randn(1, 3, 8, 8)
    conv, act, last, *_ = calculations(model, x)
    torch.testing.assert_close(conv.output, model.conv(x))
    assert conv.output.min() < 0
    torch.testing.assert_close(act.output, model.conv(x).relu())
    torch.testing.assert_close(last.output, model.last(model.conv(x).relu()))
    assert model.act.inplace


def test_attention_is_taken_apart_as_in_the_summary():
    """Torch's fused kernels would hide its products, on a CPU and not on the meta device."""
    torch.manual_seed(0)
    model = create_model("vit_ti_16", input_size=32, num_classes=5).eval()
    x = torch.randn(1, 3, 32, 32)
    found = calculations(model, x)
    assert [c.layer for c in found] == list(summary(model, x.shape[1:]).layers)
    with torch.inference_mode():
        torch.testing.assert_close(found[-1].output, model(x), rtol=1e-4, atol=1e-5)
