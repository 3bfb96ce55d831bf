"""Networks whose every tensor matters to the output."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def randomize() -> Callable[[nn.Module], nn.Module]:
    """Randomizes an image network in place and returns it, in evaluation mode."""
    return _randomize


def _randomize(network: nn.Module) -> nn.Module:
    """Random parameters, and batch-norm statistics that fit them.

    With other statistics the differences between inputs fade from layer to layer, and a mistake in
    an early layer would not be seen in the logits.
    """
    draw = torch.Generator().manual_seed(0)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            std = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(noise * std)
        for norm in norms:
            norm.weight.abs_().add_(0.5)
            norm.momentum = 1.0
        network.train()(torch.randn(4, 3, 64, 64, generator=draw))
    return network.eval()
