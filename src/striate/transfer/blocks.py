"""What transfer learning asks of a network: an ordered list of blocks, a pool and a head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

from striate.weights.preprocessing import Preprocessing


class BlockNetwork(Protocol):
    """A network that can be cut: head(pool(blocks applied in order)).

    `striate.models.Network` is one.
    """

    pool: nn.Module
    head: nn.Module
    preprocessing: Preprocessing

    def blocks(self) -> Sequence[tuple[str, nn.Module]]:
        """Names and modules, in order; their composition is the network without pool and head."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Logits of normalized inputs."""


def block_modules(network: BlockNetwork, cut: int | None = None) -> list[nn.Module]:
    """The modules of the first `cut` blocks; of all blocks without it."""
    return [module for _, module in network.blocks()[:cut]]
