"""Everything that training goes on from, as named tensors and plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class State:
    """A moment of a training run.

    Attributes:
        tensors: contiguous copies on the CPU, by dotted name.
        values: plain values, fit for JSON.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def first_not_finite(self) -> str | None:
        """The name of a tensor that holds NaN or Inf; None where all are finite."""
        bad = (name for name, t in self.tensors.items() if not bool(torch.isfinite(t).all()))
        return next(bad, None)


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, their names under a prefix."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


@torch.no_grad()
def restore(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into the network's own, bit for bit."""
    own = network.state_dict(keep_vars=True)
    assert own.keys() == tensors.keys(), "a state of another network"
    for name, value in own.items():
        value.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments and counters as `<number of the parameter>.<name>`."""
    return {
        f"{i}.{key}": value
        for i, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved moments and counters back.

    Moments take the layout of their parameter, as torch makes them: another layout may round
    otherwise.
    """
    optimizer.state.clear()
    parameters = list(_parameters(optimizer))
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).detach().copy_(value)
        else:  # the step counter, which stays on the CPU unless the optimizer is fused
            fused = bool(optimizer.defaults.get("fused"))
            value = value.to(parameter.device, copy=True) if fused else value.clone()
        optimizer.state[parameter][key] = value


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
