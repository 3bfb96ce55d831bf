"""Several processes that train together by gloo compute what one computes."""

import multiprocessing
import runpy
import signal
import socket
import time
from pathlib import Path

import pytest
import torch

PROGRAM = Path(__file__).with_name("together_program.py")
FORKS = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def preloaded():
    """Each process is a fork of one that has torch already."""
    FORKS.set_forkserver_preload(["torch", "striate.train.trainer", "torch.distributed"])


class Together:
    """Processes that run the program."""

    def __init__(self, out, num_processes, **job):
        out.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        job = {
            "epochs": 3, "limits": {}, "kill": None, "stop": None, "poisoned": None,
            "checkpoints": None, "out": str(out), **job,
        }  # fmt: skip
        self.out = out
        self.processes = []
        for rank in range(num_processes):
            meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            own = {"RANK": str(rank), "WORLD_SIZE": str(num_processes), **meet}
            arguments = (str(PROGRAM), {"JOB": {**job, "environment": own}})
            process = FORKS.Process(target=runpy.run_path, args=arguments)
            process.start()
            self.processes.append(process)

    def codes(self, seconds=100):
        """The exit code of each process; one that has not ended by then is ended."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        late = [process for process in self.processes if process.is_alive()]
        for process in late:
            process.kill()
        assert not late, "a process did not end"
        return [process.exitcode for process in self.processes]

    def results(self):
        """What each process found."""
        assert set(self.codes()) == {0}
        paths = [self.out / f"{rank}.pt" for rank in range(len(self.processes))]
        return [torch.load(path, weights_only=True) for path in paths]


@pytest.fixture
def train(tmp_path):
    """A function that trains in so many processes: what each of them found."""

    def run(name, num_processes, **job):
        return Together(tmp_path / name, num_processes, **job).results()

    return run


def assert_close(one, other, tolerance):
    for name, value in one["weights"].items():
        if value.is_floating_point():
            apart = (value - other["weights"][name]).abs().max() / value.abs().max().clamp(min=1e-9)
            assert apart <= tolerance, (name, float(apart))


def assert_alike(results):
    """All processes hold the same weights to the bit."""
    for name, value in results[0]["weights"].items():
        for other in results[1:]:
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(value, other["weights"][name]), name


def batches_of(results):
    """The items of each batch over all processes."""
    steps = zip(*(result["seen"] for result in results), strict=True)
    return [[item for share in shares for item in share] for shares in steps]


def many(count):
    return pytest.param(count, marks=[] if count == 2 else pytest.mark.slow)


@pytest.mark.parametrize("count", [many(2), many(4)])
def test_processes_see_the_batches_of_one_and_learn_its_weights(train, count):
    (alone,) = train("alone", 1, epochs=9)
    results = train("together", count, epochs=9)
    assert batches_of(results) == alone["seen"]
    assert alone["steps"] == results[0]["steps"] == 54
    assert_alike(results)
    assert_close(alone, results[0], 1e-6)
    assert results[0]["losses"] == pytest.approx(alone["losses"], rel=1e-6)


@pytest.mark.parametrize("count", [many(2), many(4)])
def test_fault_69_out_of_memory_in_one_process_is_agreed_by_all(train, count):
    results = train("together", count, limits={1: 1}, epochs=2)
    assert_alike(results)
    assert {result["steps"] for result in results} == {12}
    assert {result["error"] for result in results} == {""}


def test_fault_67_a_loss_that_is_not_finite_in_one_process_is_agreed_by_all(train):
    results = train("together", 2, poisoned=1, epochs=1)
    assert all("training diverged at step 1" in result["error"] for result in results)


def test_a_stop_in_one_process_stops_all_and_another_number_goes_on(train, tmp_path):
    (alone,) = train("alone", 1)
    kept = str(tmp_path / "kept")
    results = train("stopped", 2, stop=(1, 7), checkpoints=kept)
    assert [(r["stopped"], r["steps"]) for r in results] == [("signal", 8)] * 2
    (resumed,) = train("resumed", 1, checkpoints=kept)
    assert batches_of(results) + resumed["seen"] == alone["seen"]
    assert_close(alone, resumed, 1e-6)


@pytest.mark.slow
def test_as_many_processes_go_on_to_the_same_bits(train, tmp_path):
    kept = str(tmp_path / "kept")
    train("stopped", 2, stop=(0, 8), checkpoints=kept)
    resumed = train("resumed", 2, checkpoints=kept)
    assert_alike([*train("straight", 2), *resumed])


@pytest.mark.parametrize(
    ("count", "killed"),
    [(2, 1), *(pytest.param(4, n, marks=pytest.mark.slow) for n in (0, 2))],
)
def test_fault_72_where_a_process_is_killed_the_others_leave_and_the_run_goes_on(
    train, tmp_path, count, killed
):
    (alone,) = train("alone", 1)
    kept = str(tmp_path / "kept")
    together = Together(tmp_path / "killed", count, kill=(killed, 9), checkpoints=kept)
    codes = together.codes(60)
    assert codes[killed] == -signal.SIGKILL
    for rank in set(range(count)) - {killed}:
        assert codes[rank] == 0
        left = torch.load(together.out / f"{rank}.pt", weights_only=True)
        assert left["error"].startswith("another process of this fit has ended; go on from the")
    assert list(Path(kept).glob("*.safetensors"))
    assert_close(alone, train("resumed", 2 if count == 4 else 1, checkpoints=kept)[0], 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1, 5, 6, 11, 17])
def test_fault_72_killed_at_any_step_it_goes_on_with_another_number(train, tmp_path, step):
    """The first and the last step, both sides of the end of an epoch, and others."""
    (alone,) = train("alone", 1)
    kept, killed = str(tmp_path / "kept"), step % 3
    together = Together(tmp_path / "killed", 3, kill=(killed, step), checkpoints=kept)
    codes = together.codes(60)
    assert codes.pop(killed) == -signal.SIGKILL
    assert codes == [0, 0]
    resumed = train("resumed", 1 + step % 2, checkpoints=kept)
    assert_close(alone, resumed[0], 1e-6)
    assert resumed[0]["losses"] == pytest.approx(alone["losses"], rel=1e-6)
