"""Files of weights: read without their wrapping, refused where they could run code or are damaged."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import WeightsError
from striate.weights.checkpoint import read_weights, unwrap

STATE = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(2)}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
def test_a_file_gives_what_was_saved(name: str, tmp_path: Path) -> None:
    save = save_file if name.endswith("safetensors") else torch.save
    save(STATE, tmp_path / name)
    torch.testing.assert_close(read_weights(tmp_path / name), STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3},
        {"model": {"state_dict": STATE}},
        {f"module.{key}": tensor for key, tensor in STATE.items()},
        {"model": {f"_orig_mod.module.{key}": tensor for key, tensor in STATE.items()}},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(content: object) -> None:
    assert unwrap(content) == STATE


@pytest.mark.parametrize("content", [{}, [1, 2], torch.ones(2), {"epoch": 3}])
def test_what_is_no_table_of_tensors_is_empty(content: object) -> None:
    assert unwrap(content) == {}


def test_a_prefix_of_some_keys_only_is_a_name() -> None:
    state = {"module.weight": torch.ones(1), "bias": torch.ones(1)}
    assert unwrap(state) == state


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save({"weight": torch.ones(1), "extra": Fraction(1, 2)}, path)
    with pytest.raises(WeightsError, match=r"bad.pt is refused.*save its state_dict"):
        read_weights(path)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_damaged_file_is_named(name: str, kept: int, tmp_path: Path) -> None:
    path = tmp_path / name
    save = save_file if name.endswith("safetensors") else torch.save
    save({"weight": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=name) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    torch.save({"epoch": 1}, tmp_path / "empty.pt")
    for name, message in {
        "notes.txt": "unknown suffix",
        "empty.pt": "holds no weights",
        "none.pt": "no file of weights",
    }.items():
        with pytest.raises(WeightsError, match=message):
            read_weights(tmp_path / name)
