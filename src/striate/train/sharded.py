"""A training spread over several processes of which each holds a share of the network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from striate.train.processes import Processes, others_alive

_WHOLE: Final = StateDictOptions(full_state_dict=True, cpu_offload=True)
_FROM_WRITER: Final = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
_CONTAINERS: Final = (nn.Sequential, nn.ModuleList)


class Sharded(Processes):
    """This process among several that train together, each with its share of the numbers.

    Parameters, their gradients, the optimizer's moments and the average of the weights are divided
    over the processes by PyTorch's FSDP2 (`torch.distributed.fsdp.fully_shard`), block by block. A
    block's parameters are gathered for as long as it computes. What is saved is whole, as that of one
    process: it is gathered by the first, which writes.

    Gathering within a pass leaves no moment at which a process could tell the others that it is out
    of memory, so that ends the training.
    """

    retries_in_parts = False

    def sharded(self, module: nn.Module) -> nn.Module:
        """A copy of the module with the weights of the first process, of which each holds a share."""
        self._send_weights(module)
        module = copy.deepcopy(module)
        for parameter in module.parameters():
            parameter.data = parameter.data.contiguous()  # FSDP2 divides no other layout
        for block in (*_blocks(module), module):
            scalars = {p for p in block.parameters() if p.ndim == 0}  # which cannot be divided
            divided = fully_shard(block, ignored_params=scalars or None)
            divided.set_gradient_divide_factor(1.0)  # the sum, not the mean
        return module

    def reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients of what is not divided; the others are summed within the pass."""
        super().reduce_gradients([p for p in parameters if not isinstance(p, DTensor)])

    def norm(self, norm: Tensor) -> Tensor:
        """The norm over the shares of all processes."""
        if not isinstance(norm, DTensor):
            return norm
        with others_alive():
            return norm.full_tensor()

    def whole_state(self, module: nn.Module) -> dict[str, Tensor]:
        """Whole copies on the CPU in the process that writes; nothing in the others."""
        with others_alive():
            found: Any = get_model_state_dict(module, options=_WHOLE)
        return {name: _own(value) for name, value in found.items()} if self.is_writer else {}

    def restore(self, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Give each process its share of what the writer has."""
        with others_alive():
            if any(isinstance(p, DTensor) for p in module.parameters()):
                set_model_state_dict(module, dict(tensors), options=_FROM_WRITER)
                return
            if self.is_writer:
                super().restore(module, tensors)
        self._send_weights(module)

    def whole_optimizer(
        self, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, Tensor]:
        """The moments and counters by the number of the parameter, whole, in the writer alone."""
        if not self.agree(bool(optimizer.state)):
            return {}
        with others_alive():
            whole: Any = get_optimizer_state_dict(network, optimizer, options=_WHOLE)
        if not self.is_writer:
            return {}
        found: dict[str, Tensor] = {}
        for number, name in enumerate(_names(network, optimizer)):
            values: Any = whole["state"].get(name, {})
            found |= {f"{number}.{key}": _own(value) for key, value in values.items()}
        return found

    def restore_optimizer(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
    ) -> None:
        """Give each process its share of the moments that the writer has."""
        optimizer.state.clear()
        if not self.share(bool(tensors)):
            return
        rates = [group["lr"] for group in optimizer.param_groups]
        names = list(_names(network, optimizer))
        state: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            state.setdefault(names[int(number)], {})[key] = value
        groups: list[dict[str, Any]] = []
        left = iter(names)
        for group in optimizer.param_groups:
            settings = {key: value for key, value in group.items() if key != "params"}
            groups.append(settings | {"params": [next(left) for _ in group["params"]]})
        whole: Any = {"state": state, "param_groups": groups} if self.is_writer else {}
        with others_alive():
            set_optimizer_state_dict(network, optimizer, whole, options=_FROM_WRITER)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts that compute one after the other: children, and those of lists and chains of them."""
    for child in module.children():
        if isinstance(child, _CONTAINERS):
            yield from _blocks(child)
        elif any(p.ndim for p in child.parameters()):
            yield child


def _names(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """The names of the optimizer's parameters, in its order."""
    known = {id(parameter): name for name, parameter in network.named_parameters()}
    for parameter in chain.from_iterable(group["params"] for group in optimizer.param_groups):
        yield known[id(parameter)]


def _own(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
