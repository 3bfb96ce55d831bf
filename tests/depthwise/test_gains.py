"""The table of gains: how it is read, and how the benchmark writes it, with times that are made up."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from striate.depthwise import kernel as kernels_of
from striate.depthwise.dispatch import GAINS, KERNELS, choose, read_gains
from striate.depthwise.kernel import Limits
from striate.depthwise.problem import OPERATORS, problem_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("depthwise")


@pytest.fixture
def gains(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("depthwise_gains")


class FakeMachine:
    """Times without a run: what is called is (kernel, problem), and `times` says how long it takes."""

    def __init__(self, device, times):
        self.device, self.times = device, times

    def milliseconds(self, runs):
        return [self.times(kernel, problem) for kernel, problem in runs]

    def can_run(self, kernel, problem):
        return True

    def floor(self, operator, problem):
        return 0.5

    def __str__(self):
        return "a machine of the test"


def numba_wins(kernel, problem):
    """Machine code needs a millisecond for 5 taps or more and torch two; all else needs three."""
    if kernel.name == "torch":
        return 2.0
    return 1.0 if kernel.name == "cpu-numba" and max(problem.kernel_size) >= 5 else 3.0


@pytest.fixture
def write(benchmark, tmp_path, monkeypatch):
    """Run the benchmark with made-up times; the table that it writes."""

    def run(times, device="cpu"):
        monkeypatch.setattr(benchmark, "call", lambda kernel, problem: (kernel, problem))
        monkeypatch.setattr(benchmark, "Machine", lambda name: FakeMachine(name, times))
        monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
        monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: True)
        monkeypatch.setattr(kernels_of, "installed", lambda package: True)
        choose.cache_clear()
        path = tmp_path / "gains.json"
        benchmark.main(["--device", device, "--write-gains", str(path)])
        return path.read_text()

    yield run
    choose.cache_clear()


def problem(taps, space=(28, 28), device="cpu", dtype=torch.float32, last=True):
    shape, weight = (4, 96, *space), (96, 1, *[taps] * len(space))
    return problem_of(shape, weight, 1, "same", 1, dtype, device, last)


def chosen_by(text, name, operator, case):
    return any(not gain.unmet(case) for gain in read_gains(text).get((name, operator), ()))


def test_the_table_in_the_package_is_as_the_benchmark_writes_it(gains):
    text = GAINS.read_text()
    assert gains.as_text(json.loads(text)) == text
    known = {(kernel.name, kernel.operator) for _, kernel in KERNELS.items()}
    assert set(read_gains(text)) <= known


@pytest.mark.parametrize("row", json.loads(GAINS.read_text())["gains"])
def test_limits_survive_their_json(row):
    limits = Limits.from_json(row["where"])
    assert json.loads(json.dumps(limits.to_json())) == row["where"]


def test_what_was_fastest_is_chosen_and_nothing_else(write):
    text = write(numba_wins)
    assert json.loads(text)["measured"]["cpu"].startswith("a machine of the test; torch")
    for operator in OPERATORS:
        assert chosen_by(text, "cpu-numba", operator, problem(7))
        assert chosen_by(text, "cpu-numba", operator, problem(6, (99, 99)))
        assert not chosen_by(text, "cpu-numba", operator, problem(3))
        assert not chosen_by(text, "cpu-numba", operator, problem(11))  # wider than was measured
        assert not chosen_by(text, "cpu-numba", operator, problem(7, last=False))
        assert not chosen_by(text, "cpu-rearranged", operator, problem(7))


def test_rows_of_other_machines_stay(write, monkeypatch):
    monkeypatch.setattr(kernels_of, "cpu_vectors", lambda: "NEON")
    old = json.loads(GAINS.read_text())["gains"]
    new = json.loads(write(numba_wins))["gains"]
    for row in old:
        elsewhere = "vectors" in row["where"] and row["where"]["vectors"] != ["NEON"]
        assert (row in new) or not elsewhere
    assert any("AVX2" in row["where"].get("vectors", ()) for row in new)


def test_gains_on_a_gpu_are_of_its_capability_and_leave_the_cpu_alone(write, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))

    def times(kernel, problem):
        return {"torch": 2.0, "cuda-banded": 1.0, "triton-direct": 1.5}.get(kernel.name, 1.0)

    text = write(times, "cuda")
    old = [row for row in json.loads(GAINS.read_text())["gains"] if row["kernel"].startswith("cpu")]
    assert json.loads(text)["gains"][: len(old)] == old
    half, single = (problem(7, device="cuda", dtype=d) for d in (torch.bfloat16, torch.float32))
    long = problem(31, (4096,), device="cuda", last=False)
    for operator in OPERATORS:
        assert chosen_by(text, "cuda-banded", operator, half)
        assert not chosen_by(text, "triton-direct", operator, half)
        assert chosen_by(text, "triton-direct", operator, single)
        assert chosen_by(text, "triton-banded", operator, long)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    assert not chosen_by(text, "cuda-banded", "forward", half)


def test_ranges_hold_what_won_and_nothing_that_lost(gains):
    won = {(3, 100): True, (3, 200): True, (5, 50): True, (5, 100): False, (7, 100): False}
    won |= {(7, 200): True, (9, 10): False}
    assert list(gains.winning_ranges(won)) == [
        ((3, 3), (100, None)),
        ((5, 5), (50, 50)),
        ((7, 7), (200, None)),
    ]


def test_a_part_of_the_shapes_is_no_table(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--quick", "--write-gains", "gains.json"])
    assert "leave --quick out" in capsys.readouterr().err
