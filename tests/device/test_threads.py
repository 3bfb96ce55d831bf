"""As many of torch's threads compute as pay."""

import os
import subprocess
import sys

import numpy as np
import pytest

from striate.device.threads import SECONDS, SECONDS_IN_DOUBT, FreeCores


class Machine:
    """Seconds of a piece of work on a machine where some cores are in use by others."""

    def __init__(self, cores):
        self.cores, self.busy, self.timed = cores, 0, 0

    def seconds_with(self, number):
        self.timed += 1
        # Who needs more than the free cores waits for a turn of another program at each operation.
        return 1e-3 / number + (4e-3 if number > max(1, self.cores - self.busy) else 0)


@pytest.mark.parametrize(("cores", "busy", "free"), [(2, 1, 1), (2, 2, 1), (16, 1, 15), (16, 9, 4)])
def test_threads_of_cores_that_others_use_are_left_out_and_taken_back(cores, busy, free):
    machine = Machine(cores)
    threads = FreeCores(cores, machine.seconds_with)
    assert threads.look(0.0) == cores
    machine.busy = busy
    assert threads.look(0.0 + SECONDS) == cores  # one look is not believed
    assert threads.look(SECONDS + SECONDS_IN_DOUBT) == free
    machine.busy = 0
    assert threads.look(3 * SECONDS) == free
    assert threads.look(3 * SECONDS + SECONDS_IN_DOUBT) == cores


def test_a_disturbance_that_is_over_changes_nothing():
    machine = Machine(2)
    threads = FreeCores(2, machine.seconds_with)
    machine.busy = 1
    assert threads.look(0.0) == 2
    machine.busy = 0
    assert threads.look(SECONDS_IN_DOUBT) == 2
    machine.busy = 1
    assert threads.look(2 * SECONDS) == 2


def test_threads_are_timed_soon_and_then_now_and_then():
    machine = Machine(2)
    threads = FreeCores(2, machine.seconds_with)
    looks = []
    for tenths in range(600):
        timed = machine.timed
        threads.look(tenths / 10)
        if machine.timed > timed:
            looks.append(tenths / 10)
    assert np.allclose(looks[:3], [0, 0.4, 1.2], atol=0.11)
    assert np.allclose(np.diff(looks[5:]), SECONDS) and len(looks) == 15
    one = Machine(1)
    assert FreeCores(1, one.seconds_with).look(0.0) == 1
    assert one.timed == 0


ADAPTS = """
import striate.device.threads as threads, torch
threads._seconds_with = lambda number: 1.0 if number == 1 else 9.0
threads.SECONDS_IN_DOUBT = 0.0
torch.set_num_threads(2)
threads.use_free_cores()
threads.use_free_cores()
print(torch.get_num_threads(), end=" ")
threads.keep_threads(2)
print(torch.get_num_threads(), end=" ")
torch.set_num_threads(3)
threads.use_free_cores()
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(
    ("set_by_user", "expected"), [({}, "1 2 3"), ({"OMP_NUM_THREADS": "2"}, "2 2 3")]
)
def test_a_number_that_the_user_has_set_stays(set_by_user, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", ADAPTS],
        env=environment | set_by_user,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == expected.split()


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(before, after):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", "import striate, os; print(os.environ.get('GOMP_SPINCOUNT'))"],
        env=environment | before,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == after
