"""Files of weights: read by their content, refused where they could run code or are damaged."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from striate.errors import UnknownNameError, WeightsError
from striate.models import create_model
from striate.weights.checkpoint import read_tables, tables_in
from striate.weights.layout import best_part, rename
from striate.weights.manifest import OWN_LAYOUT

STATE = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(2)}
OTHER = {key: tensor + 1 for key, tensor in STATE.items()}


def named(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


def taken(content: object) -> dict[str, Tensor]:
    """The tensors of a checkpoint that a network with the names of STATE takes."""
    return rename(best_part(dict(tables_in(content)), list(STATE), [OWN_LAYOUT]), list(STATE))[0]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.PTH", "w.ckpt", "w.tar", "weights"])
@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_content_decides_whatever_the_name(name: str, how: str, tmp_path: Path) -> None:
    if how == "safetensors":
        save_file(STATE, tmp_path / name)
    else:
        torch.save(STATE, tmp_path / name, _use_new_zipfile_serialization=how == "zip")
    torch.testing.assert_close(read_tables(tmp_path / name), {"": STATE})


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3},
        {"model": {"state_dict": STATE}},
        {"net": STATE, "acc": 0.9, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
        {"params": STATE},
        {"model": OTHER, "model_ema": STATE},
        {"state_dict": OTHER, "state_dict_ema": STATE},
        {"student": named("module.backbone.", OTHER), "teacher": named("backbone.")},
        {"state_dict": {**named("model.", OTHER), **named("ema_model.")}},
        {"model": named("_orig_mod.module.")},
        named("module."),
        named("0."),
        named("any.name.of.it."),
        {**named("encoder_q."), **named("encoder_k.", OTHER), "queue": torch.ones(9)},
        {**named("model."), "criterion.weight": torch.ones(7)},
        {**STATE, "epoch": 3, "conv._extra_state": None},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(content: object) -> None:
    assert all(torch.equal(tensor, STATE[key]) for key, tensor in taken(content).items())
    assert set(taken(content)) == set(STATE)


@pytest.mark.parametrize("content", [{}, [1, 2], torch.ones(2), {"epoch": 3}])
def test_what_is_no_table_of_tensors_is_empty(content: object) -> None:
    assert dict(tables_in(content)) == {}


def test_a_prefix_of_some_keys_only_is_a_name() -> None:
    with pytest.raises(WeightsError, match=r"1 keys are missing \(conv.bias\)"):
        taken({"module.conv.weight": torch.ones(1), "conv.bias": torch.ones(1)})


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save({"weight": torch.ones(1), "extra": Fraction(1, 2)}, path)
    with pytest.raises(WeightsError, match=r"bad.pt is refused.*Fraction.*save its state_dict"):
        read_tables(path)


@pytest.mark.parametrize(
    "beside",
    [argparse.Namespace(lr=0.1), np.float64(71.5), np.arange(3), np.arange(3)[1], Path("runs")],
)
def test_what_scripts_save_beside_the_tensors_does_not_matter(
    beside: object, tmp_path: Path
) -> None:
    torch.save({"model": STATE, "beside": beside}, tmp_path / "w.pth")
    assert "model" in read_tables(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_damaged_file_is_named(name: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / name
    save = save_file if name.endswith("safetensors") else torch.save
    save({"weight": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=name) as caught:
        read_tables(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello, these are no weights")
    torch.save({"epoch": 1}, tmp_path / "empty.pt")
    for name, message in {
        "notes.txt": "is no file of weights",
        "empty.pt": "holds no weights",
        "none.pt": "no file of weights",
    }.items():
        with pytest.raises(WeightsError, match=message):
            read_tables(tmp_path / name)
    with pytest.raises(UnknownNameError, match="imagnet"):
        create_model("resnet18", weights="imagnet")


def test_another_head_starts_afresh_and_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = create_model("lenet5", num_classes=7).state_dict()
    body = {key: tensor for key, tensor in state.items() if not key.startswith("head.")}
    contents = {
        "of another number of classes": (state, "their layer for 7 classes starts afresh"),
        "none": (body, "they have no layer for the classes, which starts afresh"),
        "of other layers": (
            {**body, "head.mlp.0.weight": torch.ones(3, 3)},
            "they have no layer for the classes, which starts afresh",
        ),
    }
    for name, (content, note) in contents.items():
        torch.save(content, tmp_path / name)
        network = create_model("lenet5", weights=tmp_path / name, num_classes=2)
        assert network.notes == (note,)
        assert network.config.num_classes == 2
        assert all(torch.equal(network.state_dict()[key], body[key]) for key in body)
    torch.save(state, tmp_path / "same")
    assert create_model("lenet5", weights=tmp_path / "same").notes == ()


def test_weights_of_timm_fit_timms_networks(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    for name in ("resnet10t", "convnext_atto", "mobilenetv3_small_050"):
        state = timm.create_model(name, num_classes=7).state_dict()
        torch.save({"state_dict": {f"module.{key}": t for key, t in state.items()}}, tmp_path / "w")
        network = create_model(f"timm/{name}", weights=tmp_path / "w")
        assert network.config.num_classes == 7
        got = network.stem.get_submodule("model").state_dict()
        assert all(torch.equal(got[key], state[key]) for key in got)
        assert create_model(f"timm/{name}", weights=tmp_path / "w", num_classes=2).notes
