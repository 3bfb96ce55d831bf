"""Every family of networks in the file of every engine: the same logits, and the same classes, in a
process that does not have Striate, by ONNX's own evaluator too.

Networks that hold what was learnt from items are exported as runs, in tests/run/deployment/test_defaults.
"""

import pytest
import torch
from tests.engines.judges import assert_same_answers, judged

import striate
from striate.engines import Deployment, load_engines
from striate.kinds.signal.inputs import SignalInputs
from striate.run.deployment.answering import Answering
from striate.tasks.classification.scoring import ClassCalibration

FAMILIES = [
    ("lenet5", 2, 32),
    ("thumbnet", 2, 28),
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


@pytest.fixture(scope="module")
def deployment():
    """A function: a network with random weights, ready to be written, once for all engines."""
    made = {}

    def of(name, rank, side):
        if (name, rank) not in made:
            made.clear()
            torch.manual_seed(0)
            network = striate.create_model(name, rank=rank, num_classes=5, weights=None)
            inputs = SignalInputs(channels=3, length=1)
            module = Answering(network, inputs, ClassCalibration().module()).eval()
            made[name, rank] = Deployment(
                module=module,
                example=torch.zeros(2, 3, *[side] * rank),
                input_name="inputs",
                output_names=("logits", "probabilities"),
                card={},
            )
        return made[name, rank]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("engine", load_engines().names())
@pytest.mark.parametrize(("name", "rank", "side"), FAMILIES)
def test_logits_without_striate(name, rank, side, engine, deployment, tmp_path):
    wanted = deployment(name, rank, side)
    reader = load_engines().get(engine)
    path = tmp_path / f"m{reader.suffix}"
    reader.write(wanted, path)
    x = torch.randn(3, 3, *[side] * rank, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = wanted.module(x)[0].numpy()
    found = judged(path, engine, x.numpy(), tmp_path, reference_items=1)
    assert_same_answers(found, expected)
