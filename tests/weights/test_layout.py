"""Other people's names for our tensors, and what is said where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import UnknownNameError, WeightsError
from striate.models import MODELS, create_model
from striate.weights.layout import best_part, their_keys
from striate.weights.manifest import OWN_LAYOUT, Layout, layouts, sources

KEYS = ["stem.conv.weight", "stages.0.0.conv.weight", "stages.1.0.conv.weight", "head.linear.bias"]
FLAT = Layout(keys={"stages.{stage}.{block}.conv": "b.{index}", "stem.conv": "s"})


def test_blocks_are_counted_through_all_stages() -> None:
    assert their_keys(KEYS, FLAT) == {
        "stem.conv.weight": "s.weight",
        "stages.0.0.conv.weight": "b.0.weight",
        "stages.1.0.conv.weight": "b.1.weight",
    }


def test_a_template_for_one_stage_goes_first() -> None:
    layout = Layout(keys={**FLAT.keys, "stages.0.{block}.conv": "first.{block}"})
    assert their_keys(KEYS, layout)["stages.0.0.conv.weight"] == "first.0.weight"


def test_the_layout_that_explains_most_is_recognized() -> None:
    def layout_of(*names: str) -> Layout:
        table = {name: torch.ones(1) for name in names}
        return best_part({"": table}, KEYS, [OWN_LAYOUT, FLAT]).layout

    assert layout_of(*KEYS) is OWN_LAYOUT
    assert layout_of("s.weight", "b.0.weight") is FLAT
    with pytest.raises(WeightsError, match="their first keys are x, y"):
        layout_of("x", "y")


@pytest.mark.parametrize("family", sorted({variant.family for _, variant in MODELS.items()}))
def test_a_manifest_names_only_what_there_is(family: str) -> None:
    """Some families and variants have weights in files only, hence no source."""
    table = layouts(family)
    for name, variant in MODELS.items():
        if variant.family != family:
            continue
        listed = sources(family, name)
        assert len({source.name for source in listed}) == len(listed)
        for source in listed:
            assert source.layout in table
            options = {**table[source.layout].config, **source.config}
            assert set(options) <= set(vars(variant.config))
            assert len(source.preprocessing.mean) == 3
            assert source.licence


def test_the_networks_that_transfer_have_sources() -> None:
    for name in ("efficientnet_lite0", "efficientnet_b0", "resnet50", "convnext_tiny", "vgg16"):
        assert sources(MODELS.get(name).family, name), name


def save(state: dict[str, torch.Tensor], folder: Path) -> Path:
    path = folder / "w.safetensors"
    save_file(state, path)
    return path


def test_missing_and_unexpected_keys_are_named(tmp_path: Path) -> None:
    state = create_model("resnet18").state_dict()
    del state["stem.conv.weight"]
    state["extra.weight"] = torch.ones(1)
    with pytest.raises(WeightsError) as caught:
        create_model("resnet18", weights=save(state, tmp_path))
    line = str(caught.value)
    assert str(tmp_path) in line
    assert "1 keys are missing (stem.conv.weight)" in line
    assert "1 keys are unexpected (extra.weight)" in line


def test_at_most_three_keys_are_named(tmp_path: Path) -> None:
    state = create_model("resnet34").state_dict()
    with pytest.raises(WeightsError, match=r"\(\S+, \S+, \S+, \.\.\.\).*give the name"):
        create_model("resnet18", weights=save(state, tmp_path))


def test_tensors_of_another_shape_are_named(tmp_path: Path) -> None:
    state = create_model("resnet18").state_dict()
    state["stages.0.0.branch.0.conv.weight"] = torch.ones(64, 64, 5, 5)
    with pytest.raises(WeightsError, match=r"\(64, 64, 5, 5\) instead of \(64, 64, 3, 3\)"):
        create_model("resnet18", weights=save(state, tmp_path))


def test_old_checkpoints_without_counters_fit(tmp_path: Path) -> None:
    network = create_model("resnet18").eval()
    state = {k: t for k, t in network.state_dict().items() if "num_batches" not in k}
    again = create_model("resnet18", weights=save(state, tmp_path)).eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(network(images), again(images))


def test_classes_come_from_the_weights_and_others_start_a_new_head(tmp_path: Path) -> None:
    network = create_model("resnet18", num_classes=5)
    path = save(network.state_dict(), tmp_path)
    same, other = (
        create_model("resnet18", weights=path),
        create_model("resnet18", weights=path, num_classes=3),
    )
    assert torch.equal(same.head.linear.weight, network.head.linear.weight)
    assert other.head.linear.weight.shape == (3, 512)
    assert torch.equal(other.stem.conv.weight, network.stem.conv.weight)


def test_unknown_weights_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'imagenet'"):
        create_model("resnet18", weights="imagnet")
