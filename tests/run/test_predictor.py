import numpy as np
import pytest
import torch

from striate.kinds.image.symmetry import views_of
from striate.metrics import Calibration
from striate.models import create_model
from striate.run.predictor import BATCH_SIZE, ImagePredictor, in_batches

CALIBRATION = Calibration(temperature=2.0, bias=(0.5, 0.0, 0.0, -0.5))


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    network = create_model("resnet18", num_classes=4).eval()
    return ImagePredictor(
        network=network,
        symmetry="flips",
        calibration=CALIBRATION,
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (11, 3, 32, 32), dtype=torch.uint8, generator=generator)


def test_logits_are_the_mean_over_the_symmetries(predictor, pixels):
    normalized = predictor.network.preprocessing.normalize(pixels)
    with torch.no_grad():
        views = [predictor.network(view) for view in views_of(normalized, "flips")]
    expected = torch.stack(views).mean(0)
    torch.testing.assert_close(predictor.outputs(pixels), expected, rtol=1e-4, atol=1e-4)


def test_an_item_does_not_depend_on_its_company(predictor, pixels):
    together = predictor.outputs(pixels)
    assert together.shape == (11, 4)
    for index in (0, BATCH_SIZE - 1, BATCH_SIZE, 10):
        alone = predictor.outputs(pixels[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-6)
    order = torch.arange(10, -1, -1)
    torch.testing.assert_close(predictor.outputs(pixels[order]), together[order], rtol=0, atol=1e-6)


def test_a_stream_is_the_batch(predictor, pixels):
    def outputs(some):
        return predictor.outputs(torch.stack(some))

    assert torch.equal(in_batches(iter(pixels), outputs, 4), predictor.outputs(pixels))
    assert in_batches([], outputs, 4).shape == (0, 4)


def test_probabilities_are_calibrated(predictor, pixels):
    logits = predictor.outputs(pixels[:2])
    probabilities = predictor.probabilities(logits)
    assert probabilities.dtype == np.float64
    shift = torch.tensor(CALIBRATION.bias, dtype=torch.float64)
    expected = torch.softmax(logits.double() / 2.0 + shift, 1)
    np.testing.assert_allclose(probabilities, expected.numpy(), rtol=1e-12)


def test_the_network_is_left_as_it_was(predictor, pixels):
    before = {name: value.clone() for name, value in predictor.network.state_dict().items()}
    predictor.outputs(pixels[:1])
    for name, value in predictor.network.state_dict().items():
        assert torch.equal(value, before[name])
