import json

import pytest

from striate.cli.inspect import inspect
from striate.errors import UserError
from striate.models import create_model


def test_json_is_one_document(capsys):
    assert inspect("resnet50", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parameters"] == 25_557_032
    assert document["multiply_adds"] == 4_089_184_256
    assert document["receptive_field"] == [427, 427]


def test_a_table_the_totals_and_a_drawing(tmp_path, capsys):
    svg = tmp_path / "network.svg"
    assert inspect("resnet18", input_shape="1,32,32,32", rank=3, svg=svg) == 0
    out = capsys.readouterr().out
    assert "ResNet on 1x32x32x32" in out
    model = create_model("resnet18", rank=3, in_channels=1)
    assert f"parameters       {sum(p.numel() for p in model.parameters()):,}\n" in out
    assert "receptive field  435 (last feature map)" in out
    assert "note: at 32 px the last 4 stages see beyond the image" in out
    assert svg.read_text().startswith("<svg")


def test_the_input_tells_the_rank(capsys):
    assert inspect("resnet18", input_shape="1,64") == 0
    assert "ResNet on 1x64\n" in capsys.readouterr().out


def test_a_convolution_as_large_as_its_map_ends_the_feature_maps(capsys):
    assert inspect("vgg16", json=True) == 0
    assert json.loads(capsys.readouterr().out)["receptive_field"] == [212, 212]
    assert inspect("vgg16") == 0
    assert "the last map has only" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "resnet51"}, "did you mean"),
        ({"model": "resnet18", "input_shape": "3,big"}, "CHANNELS,SIZE"),
        ({"model": "resnet18", "input_shape": "8"}, "CHANNELS,SIZE"),
        ({"model": "resnet18", "input_shape": "3,64", "rank": 2}, "an input with 3 axes"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        inspect(**arguments)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        inspect(str(tmp_path))


def test_a_network_of_graphs_has_no_axes_to_look_along():
    with pytest.raises(UserError, match="gcn takes graphs"):
        inspect("gcn")


def test_a_network_of_one_rank_needs_no_rank(capsys):
    assert inspect("tri_planar", json=True) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["output_shape"] == [32, 16, 16, 16]
