"""`striate kernels`: the table and the reasons, on a narrow terminal and as JSON."""

from __future__ import annotations

import json

import pytest
import torch

from striate.cli.kernels import kernels as command
from striate.depthwise import kernel as kernels_of
from striate.depthwise.dispatch import KERNELS, choose
from striate.depthwise.problem import OPERATORS
from striate.errors import ArgumentError


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A terminal of 80 columns, and a processor with AVX-512 and instructions for bfloat16."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(kernels_of, "cpu_computes", lambda dtype: True)
    monkeypatch.setattr(kernels_of, "cpu_vectors", lambda: "AVX512")
    choose.cache_clear()
    yield
    choose.cache_clear()


@pytest.mark.parametrize(
    "options", [{}, {"input": "8,96,56,56", "dtype": "bfloat16"}, {"input": "1,8,4096"}]
)
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_the_terminal(options, verbose, capsys):
    assert command(**options, verbose=verbose) == 0
    text = capsys.readouterr().out
    assert all(name.split(".")[0] in text for name in KERNELS.names())
    assert max(map(len, text.splitlines())) <= 80
    assert ("computes  " in text) == verbose


def test_the_table_says_what_this_machine_chooses(capsys):
    assert command() == 0
    table = capsys.readouterr().out.split("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    cells = {row[0]: row[-3:] for row in rows if row[0] in names()}
    assert cells["cpu-numba"] == ["no", "no", "yes"]
    assert cells["cpu-rearranged"] == ["yes", "yes", "yes"]
    assert cells["cpu-widened"] == ["no", "no", "no"]
    assert cells["triton-banded"] == ["absent"] * 3
    assert cells["torch"] == ["rest"] * 3


def names():
    return {"torch", *(kernel.name for _, kernel in KERNELS.items())}


def test_json_holds_every_kernel_with_its_limits_and_gains(capsys):
    assert command(json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [f"{row['kernel']}.{row['operator']}" for row in rows] == KERNELS.names()
    banded = next(row for row in rows if row["kernel"] == "cuda-banded")
    assert banded["limits"]["taps"] == [1, 7] and banded["limits"]["capability"] == [9.0, None]
    assert "there is no GPU" in banded["missing"] and not banded["faster_here"]
    with pytest.raises(ArgumentError, match="prints everything already"):
        command(json=True, verbose=True)


def test_reasons_are_data(capsys):
    assert command(input="8,96,56,56", kernel=7, dtype="bfloat16", json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    chosen = {row["operator"]: row["kernel"] for row in rows if row["chosen"]}
    assert chosen == {
        "forward": "torch",
        "input_gradient": "cpu-rearranged",
        "weight_gradient": "cpu-rearranged",
    }
    assert all(bool(row["reasons"]) != row["chosen"] for row in rows)
    why = ["there is no GPU", "rank is 2, not 1", "device is cpu, not cuda"]
    for operator in OPERATORS:
        row = {"operator": operator, "kernel": "triton-banded", "chosen": False, "reasons": why}
        assert row in rows
    rearranged = next(row for row in rows if row["kernel"] == "cpu-rearranged")
    assert rearranged["reasons"] == ["rank is 2, not 1"]


@pytest.mark.parametrize("shape", ["8,96", "a,b,c", "8,0,5", "1,2,3,4,5,6"])
def test_a_shape_that_cannot_be_read_is_an_error(shape):
    with pytest.raises(ArgumentError, match="items,channels and 1 to 3 sizes"):
        command(input=shape)


@pytest.mark.parametrize("options", [{"kernel": 3}, {"dtype": "float32"}, {"device": "cpu"}])
def test_an_option_of_an_input_without_one_is_an_error(options):
    with pytest.raises(ArgumentError, match="the input of --input"):
        command(**options)
