"""Processes of which each holds a share of the network compute what copies of it compute."""

import importlib.util
from pathlib import Path

import pytest

from striate.errors import OptionError
from striate.train.processes import joined

_SPEC = importlib.util.spec_from_file_location(
    "processes_tests", Path(__file__).with_name("test_processes.py")
)
processes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(processes)

preloaded, train = processes.preloaded, processes.train
assert_alike, assert_close, many = processes.assert_alike, processes.assert_close, processes.many


@pytest.mark.parametrize("count", [many(2), many(3)])
def test_shares_train_as_copies_do(train, count):
    copies = train("copies", count, epochs=9)
    shares = train("shares", count, epochs=9, strategy="fsdp")
    assert_alike(shares)
    assert copies[0]["steps"] == shares[0]["steps"] == 54
    assert_close(copies[0], shares[0], 1e-6)
    assert shares[0]["losses"] == pytest.approx(copies[0]["losses"], rel=1e-6)


@pytest.mark.parametrize(
    ("resumed_with", "strategy"), [(2, "fsdp"), pytest.param(1, "auto", marks=pytest.mark.slow)]
)
def test_what_shares_save_is_whole_and_gone_on_with(train, tmp_path, resumed_with, strategy):
    kept = str(tmp_path / "kept")
    straight = train("straight", 2, strategy="fsdp")
    stopped = train("stopped", 2, strategy="fsdp", stop=(1, 7), checkpoints=kept)
    assert [(r["stopped"], r["steps"]) for r in stopped] == [("signal", 8)] * 2
    assert_alike(stopped)
    resumed = train("resumed", resumed_with, strategy=strategy, checkpoints=kept)
    if strategy == "fsdp":
        assert_alike([*straight, *resumed])
    else:
        assert_close(straight[0], resumed[0], 1e-6)


def test_a_process_without_memory_ends_the_training_of_shares(train):
    results = train("hungry", 2, strategy="fsdp", limits={0: 1, 1: 1}, epochs=1)
    assert all("out of memory" in result["error"] for result in results)


def test_one_process_has_nothing_to_share():
    with pytest.raises(OptionError, match="one process alone"), joined({}, strategy="fsdp"):
        pass
