"""Networks whose every tensor matters to the output, and their comparison with a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.models import create_model

TOLERANCE = 1e-4
"""Of the largest logit: the order of additions differs."""


@pytest.fixture
def randomize() -> Callable[..., nn.Module]:
    """Randomizes an image network in place and returns it, in evaluation mode."""
    return _randomize


@pytest.fixture
def assert_equal(tmp_path: Path, randomize: Callable[..., nn.Module]) -> Callable[..., None]:
    """Checks that a network with the reference's weights gives the reference's logits."""

    def check(
        reference: nn.Module, name: str, *, size: tuple[int, int] = (66, 75), **options: object
    ) -> None:
        path = tmp_path / "weights.safetensors"
        images = colourful(2, size, torch.Generator().manual_seed(1))
        save_file(randomize(reference, size).state_dict(), path)
        with torch.inference_mode():
            expected = reference(images)
        reference.to("meta")  # the largest two networks would not fit side by side
        network = create_model(name, weights=path, **options).eval()
        with torch.inference_mode():
            got = network(images)
        path.unlink()
        # The items must differ, or a network that ignores its input would pass.
        assert (expected[0] - expected[1]).abs().max() > 0.1 * expected.abs().max()
        assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()

    return check


def _randomize(network: nn.Module, size: tuple[int, int] = (64, 64)) -> nn.Module:
    """Random parameters, and batch-norm statistics that fit them.

    With other statistics the differences between inputs fade from layer to layer, and a mistake in
    an early layer would not be seen in the logits.
    """
    draw = torch.Generator().manual_seed(0)
    norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm))]
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            std = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(noise * std)
        for norm in norms:
            norm.weight.abs_().add_(0.5)
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        network.train()(colourful(4, size, draw))
    return network.eval()


def colourful(count: int, size: tuple[int, int], draw: torch.Generator) -> torch.Tensor:
    """Noise on a colour of each item's own: what is left of noise alone fades in the means."""
    colours = torch.randn(count, 3, 1, 1, generator=draw)
    return torch.randn(count, 3, *size, generator=draw) + 2 * colours
