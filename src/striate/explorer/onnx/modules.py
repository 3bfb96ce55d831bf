"""Layers that ONNX files have and torch has not, so that the page shows them as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WithConstant(nn.Module):
    """Each number of a tensor with a number that the file has for its place.

    Args:
        constant: What the file has, of a shape that broadcasts.
        comes_first: Whether it is the first of the two.
    """

    operation: ClassVar[str]
    compute: ClassVar[Callable[[Tensor, Tensor], Tensor]]

    def __init__(self, constant: Tensor, *, comes_first: bool = False) -> None:
        super().__init__()
        self.comes_first = comes_first
        self.constant: Tensor
        if constant.numel() > 1:
            self.register_parameter("constant", nn.Parameter(constant))
        else:
            self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        """Put both together."""
        pair = (self.constant, x) if self.comes_first else (x, self.constant)
        return type(self).compute(*pair)


class AddConstant(WithConstant):
    """Adds a constant."""

    operation = "add"
    compute = torch.add


class SubtractConstant(WithConstant):
    """Subtracts a constant, or is subtracted from one."""

    operation = "subtract"
    compute = torch.sub


class MultiplyConstant(WithConstant):
    """Multiplies by a constant."""

    operation = "multiply"
    compute = torch.mul


class DivideConstant(WithConstant):
    """Divides by a constant, or a constant by each number."""

    operation = "divide"
    compute = torch.div


WITH_CONSTANT: Final[dict[str, type[WithConstant]]] = {
    "Add": AddConstant,
    "Sub": SubtractConstant,
    "Mul": MultiplyConstant,
    "Div": DivideConstant,
}
"""By the name of the operator."""


class Pad(nn.Module):
    """Puts values around a map.

    Args:
        ends: Positions of padding as torch wants them, the last axis first.
        mode: One of torch's: "constant", "reflect" or "replicate".
        value: What is put there in mode "constant".
    """

    def __init__(self, ends: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.ends, self.mode, self.value = ends, mode, value

    def forward(self, x: Tensor) -> Tensor:
        """Pad."""
        return F.pad(x, self.ends, self.mode, self.value if self.mode == "constant" else None)
