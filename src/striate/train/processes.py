"""A training spread over several processes by `torch.distributed`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Final, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from striate.errors import DeviceError, OptionError, ProcessLostError
from striate.nn.ranks import BATCH_NORM_TYPES
from striate.train.strategy import Strategy
from striate.train.together import Together
from striate.train.wires import MAX_NUMBERS, connected

T = TypeVar("T")

VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun, and `striate fit --nproc`, tell each process by the environment."""

SHARDED: Final = "fsdp"
"""The strategy by which each process holds a share of the network."""

_BUCKET: Final = 1 << 23
"""Numbers of gradients that are exchanged at once, about."""


class Processes(Strategy):
    """This process among several that train together; the group must be there.

    Gradients are exchanged after the backward pass. Batch norms and dropout, which depend on the
    whole batch, exchange what they need within it. All that is exchanged in a pass has the same
    size, whatever it is, and tells whether a process ran out of memory: so one that left its pass
    can answer wherever the others are, and all of them try again with smaller parts.
    """

    def __init__(self) -> None:
        self.rank, self.num_processes = dist.get_rank(), dist.get_world_size()
        self._agreed_in_pass = False
        self._room = 1
        self._buffers: dict[int, Tensor] = {}
        with others_alive():
            self._wires = connected(self.rank, self.num_processes)

    @property
    def is_writer(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def close(self) -> None:
        """Give up what this process has of its own to reach the others."""
        if self._wires is not None:
            self._wires.close()

    def check_device(self, device: torch.device) -> None:
        """Refuse anything but the CPU, where this was tested.

        Raises:
            DeviceError: It is another device.
        """
        if device.type != "cpu":
            raise DeviceError(
                f"several processes cannot train on {device.type!r} yet",
                fix="use `device='cpu'`, or one process",
            )

    def sharded(self, module: nn.Module) -> nn.Module:
        """The module itself with the weights of the first process."""
        self._send_weights(module)
        return module

    def _send_weights(self, module: nn.Module) -> None:
        with others_alive():
            for tensor in module.state_dict().values():
                sent = tensor.contiguous()
                dist.broadcast(sent, 0)
                tensor.copy_(sent)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose batch norms and dropout see the items of all processes."""
        norms = (m.num_features for m in network.modules() if isinstance(m, BATCH_NORM_TYPES))
        self._room = min(3 * max(norms, default=1), MAX_NUMBERS - 1)
        return Together(network, self.rank, self._gathered_in_pass)

    def reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients by their sums over the processes."""
        buckets: list[list[Tensor]] = []
        size = _BUCKET
        for gradient in (p.grad for p in parameters if p.grad is not None):
            new = size >= _BUCKET or gradient.dtype != buckets[-1][0].dtype
            if new:
                buckets.append([])
            size = gradient.numel() + (0 if new else size)
            buckets[-1].append(gradient)
        for number, bucket in enumerate(buckets):
            # As they lie in memory, which is the same in all processes.
            flat = [torch.as_strided(found, (found.numel(),), (1,)) for found in bucket]
            size, dtype = sum(map(len, flat)), flat[0].dtype
            total = self._buffers.get(number)
            if total is None or total.dtype != dtype or len(total) != size:
                total = self._buffers[number] = torch.empty(size, dtype=dtype)
            self._sum(torch.cat(flat, out=total))
            parts = torch.split(total, list(map(len, flat)))
            for gradient, part in zip(flat, parts, strict=True):
                gradient.copy_(part)

    def reduce(self, value: T) -> T:
        """The sum of a number or of a tensor over the processes."""
        if isinstance(value, Tensor):
            return cast("T", self._sum(value.detach().clone()))
        dtype = torch.float64 if isinstance(value, float) else torch.int64
        return cast("T", self._sum(torch.tensor(value, dtype=dtype)).item())

    def agree_each(self, *flags: bool) -> Sequence[bool]:
        """Which of the flags are set in any of the processes, asked at once."""
        numbers = torch.tensor(flags, dtype=torch.uint8)
        with others_alive():
            dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return [bool(number) for number in numbers.tolist()]

    def agree_after_pass(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes, whose passes are done or were left."""
        if not self._agreed_in_pass:
            found = self._exchanged(torch.zeros(0), out_of_memory=flag)
            return bool(found[:, 0].any())
        self._agreed_in_pass = False
        return True

    def gathered(self, value: int) -> Sequence[int]:
        """The processes' numbers, in their order."""
        return [int(number) for number in self._gather(torch.tensor([value]))]

    def share(self, value: T) -> T:
        """The first process's value, which must fit in JSON."""
        content = json.dumps(value).encode() if self.is_writer else b""
        length = max(self.gathered(len(content)))
        sent = torch.zeros(length, dtype=torch.uint8)
        if self.is_writer:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with others_alive():
            dist.broadcast(sent, 0)
        return cast("T", json.loads(sent.numpy().tobytes()))

    def barrier(self) -> None:
        """Wait until every process has come here."""
        with others_alive():
            dist.barrier()

    def _sum(self, tensor: Tensor) -> Tensor:
        with others_alive():
            dist.all_reduce(tensor)
        return tensor

    def _gather(self, tensor: Tensor) -> Tensor:
        """(processes, ...) The tensors of all processes, in their order."""
        found = torch.empty(self.num_processes, *tensor.shape, dtype=tensor.dtype)
        with others_alive():
            dist.all_gather(list(found), tensor.contiguous())
        return found

    def _gathered_in_pass(self, tensor: Tensor) -> Tensor:
        """(processes, ...) The tensors of all processes, in their order.

        Raises:
            OutOfMemoryError: Another process ran out of memory in this pass.
        """
        parts = []
        for part in torch.split(tensor.flatten().double(), self._room):
            found = self._exchanged(part)
            if found[:, 0].any():
                self._agreed_in_pass = True
                raise torch.OutOfMemoryError("another process is out of memory")
            parts.append(found[:, 1 : 1 + len(part)])
        whole = torch.cat(parts, 1).view(self.num_processes, *tensor.shape)
        return whole.to(tensor.dtype)

    def _exchanged(self, values: Tensor, *, out_of_memory: bool = False) -> Tensor:
        """(processes, 1 + room) Whether each is out of memory, and its values."""
        sent = torch.zeros(1 + self._room, dtype=torch.float64)
        sent[0], sent[1 : 1 + len(values)] = float(out_of_memory), values
        return self._gather(sent) if self._wires is None else self._wires.gather(self.rank, sent)


@contextmanager
def others_alive() -> Iterator[None]:
    """Say in a line that another process is gone, where torch says it in many."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError from error


@contextmanager
def joined(
    environment: Mapping[str, str] | None = None, *, strategy: str = "auto"
) -> Iterator[Strategy]:
    """The strategy of this process: with the others that it was started with, or alone.

    Args:
        environment: Tells the number of this process and of all, and where they meet, as torchrun
            does; that of the process by default.
        strategy: "fsdp" where each process is to hold its share of the network.

    Raises:
        OptionError: The network is to be divided, and there is one process alone.
        ProcessLostError: The others did not come.
    """
    environment = os.environ if environment is None else environment
    if int(environment.get("WORLD_SIZE", "1")) == 1 or not set(VARIABLES) <= set(environment):
        if strategy == SHARDED:
            raise OptionError(
                "strategy",
                strategy,
                why="there is one process alone",
                fix="start several by torchrun, or leave it out",
            )
        yield Strategy()
        return
    with others_alive():
        dist.init_process_group("gloo")
    try:
        if strategy == SHARDED:
            from striate.train.sharded import Sharded

            together: Processes = Sharded()
        else:
            together = Processes()
        with closing(together):
            yield together
    finally:
        dist.destroy_process_group()
