"""Direct connections between processes; here threads play the processes."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from striate.errors import ProcessLostError
from striate.train import wires
from striate.train.wires import MAX_NUMBERS, MAX_PROCESSES, Wires, _Address, _connections


@pytest.fixture
def connect():
    """A function that connects so many processes."""
    opened = []

    def run(count, stranger=None):
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        addresses = [
            _Address("127.0.0.1", listener.getsockname()[1], bytes([rank] * 16))
            for rank, listener in enumerate(listeners)
        ]
        if stranger is not None:
            with socket.create_connection(addresses[0][:2]) as connection:
                connection.sendall(stranger)
        with ThreadPoolExecutor(count) as pool:
            found = list(
                pool.map(lambda rank: _connections(rank, addresses, listeners[rank]), range(count))
            )
        for listener in listeners:
            listener.close()
        for connections in found:
            assert list(connections) == sorted(connections)
            for connection in connections.values():
                connection.settimeout(20.0)  # so that no test waits for ever
        opened.extend(Wires(connections) for connections in found)
        return opened[-count:]

    yield run
    for wire in opened:
        wire.close()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_each_sends_arrives_in_order(connect, count):
    """Also the largest messages, which all send at once before any is read."""
    ends = connect(count)
    with ThreadPoolExecutor(count) as pool:
        for size in (1, 7, MAX_NUMBERS):
            sent = torch.arange(count * size, dtype=torch.float64).view(count, size)
            found = pool.map(lambda rank: ends[rank].gather(rank, sent[rank]), range(count))  # noqa: B023
            for gathered in found:
                assert torch.equal(gathered, sent)


@pytest.mark.parametrize("stranger", [b"\0\1" + b"x" * 16, b"\0\0" + b"\0" * 16])
def test_who_does_not_know_the_secret_or_his_number_is_refused(connect, stranger):
    ends = connect(2, stranger)
    sent = torch.ones(3)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda rank: ends[rank].gather(rank, rank * sent), range(2))
        assert all(torch.equal(gathered[1], sent) for gathered in found)


def test_a_process_that_has_gone_is_noticed_at_once(connect):
    first, second, third = connect(3)
    second.close()
    began = time.monotonic()
    for rank, end in ((0, first), (2, third)):
        with pytest.raises(ProcessLostError):
            end.gather(rank, torch.ones(MAX_NUMBERS))
    assert time.monotonic() - began < 10


def test_of_many_processes_messages_go_by_gloo():
    assert wires.connected(0, MAX_PROCESSES + 1) is None


def test_where_a_process_cannot_connect_none_does(monkeypatch):
    """Here the others have said that they cannot listen."""

    def all_gather(found, own):
        found[:] = [own, _Address("", 0, b"")]

    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(wires.dist, "all_gather_object", all_gather)
    monkeypatch.setattr(wires.dist, "all_reduce", lambda *arguments: None)
    assert wires.connected(0, 2) is None
