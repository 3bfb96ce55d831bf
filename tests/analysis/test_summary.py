import json
from xml.etree import ElementTree

import pytest
import torch
import torchvision
from torch import nn

from striate.analysis import diagram, summary
from striate.models import create_model


def plain(depth):
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(depth)))


def test_json_has_the_keys_of_the_contract():
    model = torchvision.models.resnet50()
    document = json.loads(json.dumps(summary(model, (3, 224, 224)).as_json()))
    assert list(document) == ["parameters", "multiply_adds", "receptive_field", "layers"]
    assert document["parameters"] == sum(p.numel() for p in model.parameters()) == 25_557_032
    assert document["multiply_adds"] == 4_089_184_256
    assert document["receptive_field"] == [427, 427]
    first, last = document["layers"][0], document["layers"][-1]
    assert first == {
        "name": "conv1",
        "kind": "Conv2d",
        "output_shape": [64, 112, 112],
        "parameters": 9408,
        "multiply_adds": 118_013_952,
        "receptive_field": [7, 7],
        "jump": [2, 2],
    }
    assert (last["name"], last["receptive_field"], last["jump"]) == ("fc", None, None)
    assert sum(layer["parameters"] for layer in document["layers"]) == document["parameters"]


def test_unused_parameters_are_in_the_total():
    model = torchvision.models.googlenet(init_weights=False)
    found = summary(model, (3, 224, 224))
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert sum(layer.parameters for layer in found.layers) < found.parameters


def test_three_hundred_layers():
    found = summary(plain(300), (1, 32, 32))
    assert len(found.layers) == 300
    assert found.receptive_field == (601, 601)


@pytest.mark.parametrize(
    ("side", "depth", "expected"),
    [
        (96, 3, "at 96 px no position of the last map sees more than 7 px"),
        (9, 5, "at 9 px the last stage sees beyond the image"),
        (7, 3, None),
    ],
)
def test_advice_compares_the_field_with_the_input(side, depth, expected):
    advice = summary(plain(depth), (1, side, side)).advice()
    assert advice == (() if expected is None else (expected,))


def test_a_map_of_one_place_is_still_a_map():
    """At 33 px ConvNeXt's last stage has one place, and begins with a window as large as its map."""
    with torch.device("meta"):
        model = create_model("convnext_tiny")
    found = summary(model, (3, 33, 33))
    assert found.receptive_field == (1688, 1688) == summary(model, (3, 96, 96)).receptive_field
    assert found.stages()[-1].space == (1, 1)
    assert found.advice() == (
        "at 33 px the last 4 stages see beyond the image",
        "at 33 px the last map has only 1 x 1 positions",
    )


@pytest.mark.parametrize("side", [32, 64, 96, 128, 224])
def test_the_field_does_not_depend_on_the_input(side):
    """At 96 px the last map is as large as a padded window of 3, which is no dense layer."""
    assert summary(torchvision.models.resnet18(), (3, side, side)).receptive_field == (435, 435)


@pytest.mark.parametrize("side", [64, 160, 224])
def test_resizing_before_a_head_is_part_of_the_head(side):
    """Maps of VGG are resized to 7 x 7, which spreads them over more where they are smaller."""
    with torch.device("meta"):
        for model in (create_model("vgg16"), torchvision.models.vgg16()):
            assert summary(model, (3, side, side)).receptive_field == (212, 212)


def test_advice_counts_stages():
    advice = summary(torchvision.models.resnet18(), (3, 96, 96)).advice()
    # Fields at the ends of the stages: 7, 43 (after layer1), 99, 211, 435.
    assert "at 96 px the last 3 stages see beyond the image" in advice


def test_advice_names_where_everything_is_seen():
    advice = summary(torchvision.models.mobilenet_v3_small(), (3, 64, 64)).advice()
    assert any(
        line.startswith("from features.1.block.1.mul on every position sees the whole input")
        for line in advice
    )


def test_stages_follow_the_sizes_of_the_maps():
    stages = summary(torchvision.models.resnet18(), (3, 224, 224)).stages()
    assert [stage.space[0] for stage in stages] == [112, 56, 28, 14, 7]
    assert [stage.channels for stage in stages] == [64, 64, 128, 256, 512]
    assert [stage.receptive_field for stage in stages][-1] == (435, 435)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_diagram_shrinks_space_and_grows_channels(rank):
    from striate.models import create_model

    with torch.device("meta"):
        model = create_model("resnet18", rank=rank)
    drawn = ElementTree.fromstring(diagram(summary(model, (3, *(64,) * rank))))
    fronts = []
    for group in drawn.iter("{http://www.w3.org/2000/svg}g"):
        points = group[0].attrib["points"].split()
        xs, ys = zip(*(map(float, point.split(",")) for point in points), strict=True)
        fronts.append((max(xs) - min(xs), max(ys) - min(ys)))
    *spatial, _ = fronts
    heights, widths = [h for _, h in spatial], [w for w, _ in spatial]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 6
    assert widths == sorted(widths)
    assert "ResNet: " in next(drawn.iter("{http://www.w3.org/2000/svg}title")).text
