import pytest
import torch

from striate.data.source import Reading
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.image.symmetry import views_of
from striate.models import create_model
from striate.run.predictor import FEW, Predictor

SIZE = 32


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    network = create_model("resnet18", num_classes=4).eval()
    inputs = ImageInputs(size=SIZE, averaged="flips").for_network(network)
    return Predictor(network=network, inputs=inputs, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (11, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def readings(pixels):
    return [Reading(array=image.numpy(), sha256="") for image in pixels]


def test_outputs_are_the_mean_over_the_symmetries(predictor, pixels):
    normalized = predictor.network.preprocessing.normalize(pixels)
    with torch.no_grad():
        views = [predictor.network(view) for view in views_of(normalized, "flips")]
    expected = torch.stack(views).mean(0)
    outputs = predictor.outputs(readings(pixels))
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)


def test_an_item_does_not_depend_on_its_company(predictor, pixels):
    together = predictor.outputs(readings(pixels))
    assert together.shape == (11, 4)
    size = predictor.inputs.batch_size
    for index in (0, size - 1, size, 10):
        alone = predictor.outputs(readings(pixels[index : index + 1]))
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-6)
    order = torch.arange(10, -1, -1)
    turned = predictor.outputs(readings(pixels[order]))
    torch.testing.assert_close(turned, together[order], rtol=0, atol=1e-6)


def test_a_few_items_get_what_many_get(predictor):
    """A few are computed one by one by the network as it is, many in batches by a folded copy."""
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (FEW + 3, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    few, many = predictor.outputs(readings(pixels[:FEW])), predictor.outputs(readings(pixels))
    torch.testing.assert_close(few, many[:FEW], rtol=1e-4, atol=1e-4)


def test_a_stream_is_the_batch(predictor, pixels):
    parts = list(predictor.output_parts(iter(readings(pixels))))
    assert torch.equal(torch.cat(parts), predictor.outputs(readings(pixels)))
    assert list(predictor.output_parts([])) == []


def test_the_network_is_left_as_it_was(predictor, pixels):
    before = {name: value.clone() for name, value in predictor.network.state_dict().items()}
    predictor.outputs(readings(pixels[:1]))
    for name, value in predictor.network.state_dict().items():
        assert torch.equal(value, before[name])
