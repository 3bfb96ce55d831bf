"""What the page says of layers is what the analysis says, and every layer is in one stage."""

import pytest
from tests.explorer.conftest import session_of

from striate.analysis import summary
from striate.explorer.maps import small_maps
from striate.explorer.numbers import unpacked


@pytest.fixture(scope="module")
def resnet():
    return session_of("resnet18", (3, 64, 48))


def test_the_facts_are_those_of_the_analysis(resnet):
    found = summary(resnet.subject.network, (3, 64, 48))
    document = resnet.network
    assert document["parameters"] == found.parameters
    assert document["multiply_adds"] == found.multiply_adds
    for node, layer in zip(document["nodes"], found.layers, strict=True):
        assert node["parameters"] == layer.parameters
        assert [node["channels"], *node["space"]] == list(layer.output_shape)
        if node["fields"] and layer.receptive_field:
            assert tuple(f and int(f["size"]) for f in node["fields"]) == layer.receptive_field


def test_every_layer_is_in_one_stage(resnet):
    stages = resnet.network["stages"]
    assert [s["first"] for s in stages][1:] == [s["end"] for s in stages][:-1]
    assert (stages[0]["first"], stages[-1]["end"]) == (0, len(resnet.network["nodes"]))
    assert [s["name"] for s in stages] == ["32 × 24", "16 × 12", "8 × 6", "4 × 3", "2 × 2", "head"]


def test_what_comes_from_where(resnet):
    nodes = resnet.network["nodes"]
    names = [node["name"] for node in nodes]
    add = nodes[names.index("stages.0.0.add")]
    assert [names[n] for n in add["inputs"]] == ["stages.0.0.branch.1.norm", "stages.0.0.shortcut"]
    assert nodes[0]["inputs"] == [-1]
    assert nodes[0]["what"] == "7×7, stride 2"


def test_small_maps_are_means_of_blocks(resnet):
    grid = resnet.walked(0).item
    found = small_maps(grid)
    levels = unpacked(found["levels"]).astype(float)
    assert levels.shape == (3, 64, 48)  # small enough to be shown as it is
    error = abs((levels - 128) / 127 * found["scale"] - grid.array)
    assert error.max() <= found["scale"] / 127 * 0.51


def test_large_maps_are_reduced_for_the_eye_alone():
    session = session_of("conv4-gap-fc2", (3, 150, 130))
    grid = session.walked(0).grids[0]
    small = unpacked(small_maps(grid)["levels"])
    assert small.shape == (4, 50, 44)
    scale = small_maps(grid)["scale"]
    mean = grid.array[1, 3:6, 6:9].mean()
    assert (small[1, 1, 2] - 128.0) / 127 * scale == pytest.approx(mean, abs=scale / 127 * 0.51)
    assert unpacked(session.map(0, 0, 1, None)["values"]).shape == (150, 130)


def test_a_volume_is_shown_by_its_middle_slice():
    session = session_of("conv4-gap-fc2", (1, 9, 7, 8))
    grid = session.walked(0).grids[0]
    assert unpacked(session.map(0, 0, 2, None)["values"]).tolist() == grid.array[2, 4].tolist()
    assert unpacked(session.map(0, 0, 2, 8)["values"]).tolist() == grid.array[2, 8].tolist()


def test_a_long_series_keeps_its_peaks():
    session = session_of("conv4-gap-fc2", (1, 1000))
    grid = session.walked(0).grids[0]
    found = small_maps(grid)
    levels = unpacked(found["levels"]).astype(float)
    assert levels.shape == (4, 128)
    peaks = (levels.max(1) - 128) / 127 * found["scale"]
    assert peaks == pytest.approx(grid.array.max(1), abs=found["scale"] / 127)


def test_classes_of_imagenet_have_their_names():
    from timm.data import ImageNetInfo

    from striate.explorer.subjects.imagenet import imagenet_names

    names, info = imagenet_names(), ImageNetInfo()
    assert len(names) == 1000
    for number, name in enumerate(names):
        assert info.index_to_description(number).partition(",")[0] == name


def test_what_follows_the_patches_of_a_vit_is_not_called_its_head_alone():
    stages = session_of("vit_ti_16", (3, 32, 48)).network["stages"]
    assert [stage["name"] for stage in stages] == ["2 × 3", "attention, head"]
