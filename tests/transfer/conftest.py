from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.weights.preprocessing import Preprocessing


class Cell(nn.Module):
    """Convolution, batch norm, ReLU, with a residual where the shape allows."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=stride == 2)
        self.norm = nn.BatchNorm2d(channels)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)).relu()
        return x + y if self.residual else y


class TinyNetwork(nn.Module):
    preprocessing = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3), size=16)

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.stem = Cell(3, 8, 2)
        self.stages = nn.ModuleList([Cell(8, 8, 1), Cell(8, 16, 2)])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(16, num_classes)

    def blocks(self) -> list[tuple[str, nn.Module]]:
        return [("stem", self.stem), *((f"stages.{i}", s) for i, s in enumerate(self.stages))]

    def forward(self, x: Tensor) -> Tensor:
        for _, block in self.blocks():
            x = block(x)
        return self.head(self.pool(x))


def randomize_norms(network: nn.Module) -> None:
    """Statistics and affine parameters that are not the identity."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight):
                tensor.data.uniform_(0.5, 2, generator=generator)
            for tensor in (module.running_mean, module.bias):
                tensor.data.normal_(generator=generator)


@pytest.fixture
def network() -> TinyNetwork:
    torch.manual_seed(0)
    network = TinyNetwork()
    randomize_norms(network)
    return network.eval()


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (21, 3, 16, 16), dtype=torch.uint8, generator=generator)
