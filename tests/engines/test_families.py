"""Every family of networks in an ONNX file, in the ranks it has: the same logits in ONNX Runtime."""

import pytest
import torch

import striate
from striate.engines import Deployment, load_engines
from striate.kinds.signal.inputs import SignalInputs
from striate.run.deployment.answering import Answering
from striate.tasks.classification.scoring import ClassCalibration

FAMILIES = [
    ("lenet5", 2, 32),
    ("alexnet", 2, 96),
    ("alexnet", 3, 64),
    ("vgg11_bn", 2, 96),
    ("vgg11", 3, 64),
    ("googlenet", 2, 96),
    ("inception_v3", 2, 128),
    ("densenet121", 2, 96),
    ("resnet18", 1, 256),
    ("resnet50", 2, 96),
    ("resnet18", 3, 64),
    ("resnext50_32x4d", 2, 96),
    ("efficientnet_b0", 2, 96),
    ("efficientnet_lite0", 3, 64),
    ("efficientnet_v2_s", 2, 96),
    ("mobilenet_v2", 2, 96),
    ("mobilenet_v3_small", 2, 96),
    ("convnext_tiny", 1, 256),
    ("convnext_tiny", 2, 96),
    ("convnextv2_atto", 2, 96),
    ("vit_ti_16", 1, 256),
    ("vit_s_32", 2, 224),
    ("inception_time", 1, 256),
    ("tcn", 1, 256),
    ("[conv8-relu]x2 - maxpool - gap - fc10", 2, 96),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank", "side"), FAMILIES)
def test_logits_in_onnx_runtime(name, rank, side, tmp_path):
    torch.manual_seed(0)
    network = striate.create_model(name, rank=rank, num_classes=5, weights=None)
    module = Answering(
        network, SignalInputs(channels=3, length=1), ClassCalibration().module()
    ).eval()
    deployment = Deployment(
        module=module,
        example=torch.zeros(2, 3, *[side] * rank),
        input_name="inputs",
        output_names=("logits", "probabilities"),
        card={},
    )
    engine = load_engines().get("onnx")
    engine.write(deployment, tmp_path / "m.onnx")
    x = torch.randn(3, 3, *[side] * rank)
    with torch.no_grad():
        expected = module(x)[0]
    got = torch.from_numpy(engine.load(tmp_path / "m.onnx")(x.numpy())[0])
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()
