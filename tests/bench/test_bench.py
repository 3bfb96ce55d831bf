"""Contenders in turns, tables of them, and each benchmark at a small size."""

import json

import numpy as np
import pytest
import torch

from striate.bench import bench
from striate.bench.benchmark import BENCHMARKS, Measured, Table
from striate.bench.subjects import data, features, fit, kernels
from striate.bench.turns import Contender, Timing, timed_in_turns
from striate.cli.main import run
from striate.engines import Engine
from striate.errors import ArgumentError, EngineError, UnknownNameError
from striate.registry import Registry, load_package


class Clock:
    """A clock that goes on only where a contender works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def contender(self, name, seconds, items=1):
        def work():
            self.now += seconds

        return Contender(name=name, run=work, items=items)


def test_rates_are_items_by_seconds():
    clock = Clock()
    contenders = [clock.contender("ours", 0.5, items=4), clock.contender("theirs", 2.0, items=4)]
    ours, theirs = timed_in_turns(contenders, rounds=3, seconds=1.0, clock=clock)
    assert (ours.items_per_second, theirs.items_per_second) == (8.0, 2.0)
    assert ours.slowest == ours.fastest == 8.0


def test_contenders_take_turns_and_every_second_round_goes_backwards():
    order = []
    contenders = [Contender(name=n, run=lambda n=n: order.append(n)) for n in "ab"]
    timed_in_turns(contenders, rounds=4, seconds=0.0, warm_up=0)
    assert "".join(order) == "abbaabba"


def test_a_slow_round_is_told_and_does_not_move_the_median():
    clock, calls = Clock(), []

    def work():
        calls.append(1)
        clock.now += 10.0 if len(calls) == 2 else 1.0

    (timing,) = timed_in_turns(
        [Contender(name="a", run=work)], rounds=3, seconds=0.0, warm_up=0, clock=clock
    )
    assert (timing.items_per_second, timing.slowest, timing.fastest) == (1.0, 0.1, 1.0)


def test_a_table_says_how_many_times_as_fast_striate_is():
    timings = [
        Timing(name=name, items_per_second=rate, slowest=rate, fastest=rate)
        for name, rate in (("Striate", 6.0), ("timm", 2.0))
    ]
    found = Measured(
        name="features",
        tables=[Table(title="features", unit="images", timings=timings)],
        left_out=["torchvision is not installed"],
        machine={"threads": "1"},
    )
    assert found.as_json()["tables"][0]["ratios"] == [3.0]
    text = found.as_text()
    assert "3.00x" in text and "threads 1" in text and "left out: torchvision" in text


def test_the_command_prints_one_document(capsys):
    assert run(["bench", "predict", "lenet5", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["threads"] and document["machine"]["load"]
    assert len(document["tables"][0]["ratios"]) == 1


@pytest.mark.slow  # kernels are compiled
def test_kernels_are_measured_and_agree(monkeypatch):
    monkeypatch.setattr(kernels, "SHAPES", {"1-D": ((2, 4, 32), 3), "2-D": ((1, 4, 8, 8), 3)})
    (table,) = bench("kernels", "2-D", rounds=1).tables
    assert [row.name for row in table.timings] == ["Striate", "torch"]
    assert float(table.remarks[0].split()[2]) < 1e-4


@pytest.mark.parametrize("name", ["train", "predict"])
def test_a_small_network_is_measured(name):
    found = bench(name, "lenet5", rounds=1)
    (table,) = found.tables
    assert [row.name for row in table.timings][:2] == ["Striate", "torch, plain"]
    assert all(row.items_per_second > 0 for row in table.timings)
    assert any("timm" in line for line in found.left_out) == (name == "predict")


class FakeEngine(Engine):
    """Answers with a constant, or cannot."""

    name = "fake"
    suffix = ".fake"

    def __init__(self, *, lacks=(), fails=False):
        self.packages, self.fails = lacks, fails

    def write(self, deployment, path):
        if self.fails:
            raise EngineError("the network cannot be expressed")
        with torch.inference_mode():
            (found,) = deployment.module(deployment.example)
        path.write_text(str(found.shape[1]))

    def load(self, path):
        width = int(path.read_text())
        return lambda inputs: (np.zeros((len(inputs), width)),)


def test_features_are_those_of_the_network_beside_each_engine(monkeypatch):
    engines = Registry("engine")
    engines.add("quick", FakeEngine())
    engines.add("absent", FakeEngine(lacks=("no_such_package",)))
    engines.add("unable", FakeEngine(fails=True))
    monkeypatch.setattr(features, "load_engines", lambda: engines)
    found = bench("features", "lenet5", rounds=1)
    (table,) = found.tables
    assert float(table.remarks[0].split()[-1]) > 0.99
    assert [row.name for row in table.timings] == ["Striate", "torch, plain", "quick"]
    assert table.remarks[1].startswith("quick: the file was written")
    assert found.left_out[-2:] == [
        "absent: no_such_package is not installed",
        "unable: the network cannot be expressed",
    ]


def test_images_are_read_by_both(monkeypatch):
    monkeypatch.setattr(data, "NUM_PHOTOS", 12)
    found = bench("data", rounds=1)
    names = [row.name for row in found.tables[0].timings]
    assert names[:2] == ["Striate, later epoch", "Striate, first epoch"]
    assert ("torchvision" in names) != bool(found.left_out)


@pytest.mark.slow  # a whole fit
def test_a_fit_is_set_against_a_machine(monkeypatch):
    monkeypatch.setattr(fit, "SECONDS", 5)
    (table,) = bench("fit").tables
    assert [row.name for row in table.timings] == ["Striate", "scikit-learn's SVC"]
    assert all("accuracy" in line for line in table.remarks)


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'kernels'"):
        bench("kernel")
    with pytest.raises(ArgumentError, match="choose 1-D, 2-D, 3-D"):
        bench("kernels", "4-D")
    with pytest.raises(ArgumentError, match="gin takes no images"):
        bench("features", "gin")


def test_every_benchmark_says_what_it_takes():
    load_package("striate.bench.subjects")
    assert sorted(BENCHMARKS.names()) == ["data", "features", "fit", "kernels", "predict", "train"]
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name and benchmark.description and benchmark.takes
