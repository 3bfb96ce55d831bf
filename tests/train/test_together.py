"""Batch norm of shares of a batch is torch's of the whole batch."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from striate.nn.ranks import BATCH_NORM_TYPES
from striate.train.processes import Processes
from striate.train.together import Together

SHARES = (5, 2, 4)
SHAPES = {"BatchNorm1d": (6,), "BatchNorm2d": (6, 7), "BatchNorm3d": (3, 4, 2)}
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}
"""Of the largest value; a bfloat16 is right to 0.4 %."""


def in_threads(job):
    """What each of some threads gives, each with a gathering over all of them."""
    gate, board = threading.Barrier(len(SHARES), timeout=60), {}

    def run(rank):
        def gather(tensor):
            board[rank] = tensor
            gate.wait()
            found = torch.stack([board[k] for k in range(len(SHARES))])
            gate.wait()
            return found

        return job(rank, gather)

    with ThreadPoolExecutor(len(SHARES)) as pool:
        return list(pool.map(run, range(len(SHARES))))


def assert_near(one, other, tolerance):
    assert one.dtype == other.dtype
    apart = (one - other).abs().max() / other.abs().max()
    assert apart <= tolerance, float(apart)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("norm_type", BATCH_NORM_TYPES, ids=lambda found: found.__name__)
def test_batch_norm_of_shares_is_that_of_the_whole(norm_type, affine, dtype):
    if norm_type.__name__ not in SHAPES:
        pytest.skip("it has no size of its own")
    torch.manual_seed(0)
    whole = norm_type(8, affine=affine)
    if affine:
        nn.init.normal_(whole.weight)
    whole = whole.double() if dtype == torch.float64 else whole
    shares = [copy.deepcopy(whole) for _ in SHARES]
    size = (sum(SHARES), 8, *SHAPES[norm_type.__name__])
    values, gradients = (torch.randn(size) * 3 + 7).to(dtype), torch.randn(size).to(dtype)
    inputs = values.clone().requires_grad_()
    outputs = whole(inputs)
    outputs.backward(gradients)

    def job(rank, gather):
        own = values.split(SHARES)[rank].clone().requires_grad_()
        found = Together(shares[rank], rank, gather)(own)
        found.backward(gradients.split(SHARES)[rank])
        return found.detach(), own.grad

    found = in_threads(job)
    tolerance = TOLERANCES[dtype]
    assert_near(torch.cat([part for part, _ in found]), outputs.detach(), tolerance)
    assert_near(torch.cat([gradient for _, gradient in found]), inputs.grad, tolerance)
    exact = max(TOLERANCES[torch.float32], tolerance * (dtype != torch.bfloat16))
    for share in shares:
        assert_near(share.running_mean, whole.running_mean, exact)
        assert_near(share.running_var, whole.running_var, exact)
    for name, parameter in whole.named_parameters():
        total = sum(share.get_parameter(name).grad for share in shares)
        assert_near(total, parameter.grad, 10 * exact)


@pytest.mark.parametrize("sent", [1, 3, 4, 9])
def test_what_is_exchanged_in_a_pass_has_one_size(monkeypatch, sent):
    """Larger tensors go in parts, so that a process out of memory can answer any of them."""
    processes = object.__new__(Processes)
    processes.num_processes, processes._room, processes._agreed_in_pass = 2, 3, False
    processes._wires = None
    sizes, out_of_memory = [], [False]

    def gather(tensor):
        sizes.append(tensor.shape)
        other = -tensor
        other[0] = float(out_of_memory[0])
        return torch.stack([tensor, other])

    monkeypatch.setattr(processes, "_gather", gather)
    values = torch.arange(float(sent))
    found = processes._gathered_in_pass(values)
    assert torch.equal(found, torch.stack([values, -values]))
    assert sizes == [(4,)] * -(-sent // 3)
    assert not processes.agree_after_pass(False)
    out_of_memory[0] = True
    with pytest.raises(torch.OutOfMemoryError):
        processes._gathered_in_pass(values)
    count = len(sizes)
    assert processes.agree_after_pass(False)  # known from the pass
    assert len(sizes) == count
    assert processes.agree_after_pass(False)  # of the next pass
    assert set(sizes) == {(4,)}
