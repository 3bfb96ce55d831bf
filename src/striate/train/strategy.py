"""How a training is spread over processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

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

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and messages; exactly one does."""
        return True

    def check_device(self, device: torch.device) -> None:
        """Refuse a device on which these processes cannot train.

        Raises:
            DeviceError: They cannot.
        """

    def wrap(self, network: nn.Module) -> nn.Module:
        """The module whose outputs are trained; its parameters are those of the network."""
        return network

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this process's part of the loss to the parameters' gradients."""
        torch.autograd.backward(loss)

    def reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients by their sums over the processes."""

    def reduce(self, value: T) -> T:
        """The sum of a number or of a tensor over the processes."""
        return value

    def agree(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes."""
        return flag

    def largest(self, value: int) -> int:
        """The largest of the processes' numbers."""
        return value

    def share(self, value: T) -> T:
        """The writer's value, which must fit in JSON."""
        return value

    def barrier(self) -> None:
        """Wait until every process has come here."""
