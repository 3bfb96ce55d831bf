"""How a training is spread over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from striate.train.checkpoint import optimizer_tensors, restore, restore_optimizer, snapshot

T = TypeVar("T")


class Strategy:
    """The only part of a training that knows how many processes there are: here this one alone.

    In a subclass for several, each process computes its share of every batch and takes every
    decision together with the others, so that all of them do the same steps. A process that runs
    out of memory within a pass can still agree with the others to try again.
    """

    rank: int = 0
    """Number of this process."""

    num_processes: int = 1
    """Number of processes that train together."""

    retries_in_parts: bool = True
    """Whether a batch that memory does not hold is computed again in smaller parts."""

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and messages; exactly one does."""
        return True

    def check_device(self, device: torch.device) -> None:
        """Refuse a device on which these processes cannot train.

        Raises:
            DeviceError: They cannot.
        """

    def sharded(self, module: nn.Module) -> nn.Module:
        """The module as the processes hold it: itself here, or a copy that is divided over them."""
        return module

    def wrap(self, network: nn.Module) -> nn.Module:
        """The module whose outputs are trained; its parameters are those of the network."""
        return network

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this process's part of the loss to the parameters' gradients."""
        torch.autograd.backward(loss)

    def reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients by their sums over the processes."""

    def norm(self, norm: Tensor) -> Tensor:
        """The norm of all gradients, from what torch gives for this process's."""
        return norm

    def whole_state(self, module: nn.Module) -> dict[str, Tensor]:
        """Whole copies of a module's tensors on the CPU, where they are written or gone back to."""
        return snapshot(module.state_dict())

    def restore(self, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Put whole tensors back into a module.

        Raises:
            RunError: They are of another network.
        """
        restore(module, tensors)

    def whole_optimizer(
        self, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, Tensor]:
        """Whole copies of an optimizer's tensors on the CPU, by the number of the parameter."""
        return snapshot(optimizer_tensors(optimizer))

    def restore_optimizer(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
    ) -> None:
        """Put an optimizer's whole tensors back."""
        restore_optimizer(optimizer, tensors)

    def reduce(self, value: T) -> T:
        """The sum of a number or of a tensor over the processes."""
        return value

    def agree(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes."""
        return self.agree_each(flag)[0]

    def agree_each(self, *flags: bool) -> Sequence[bool]:
        """Which of the flags are set in any of the processes, asked at once."""
        return flags

    def agree_after_pass(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes, whose passes are done or were left."""
        return flag

    def gathered(self, value: int) -> Sequence[int]:
        """The processes' numbers, in their order."""
        return (value,)

    def share(self, value: T) -> T:
        """The writer's value, which must fit in JSON."""
        return value

    def barrier(self) -> None:
        """Wait until every process has come here."""
