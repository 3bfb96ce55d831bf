"""One pass through a network without computing anything: what each layer makes, holds and sees.

The network runs on torch's meta device, which knows shapes and no values, under a mode that meets
every operator below torch's layers. So functional calls count as layers do, and a network of any
size takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from striate.analysis.interpreter import Interpreter
from striate.analysis.layer import Calculation, Layer
from striate.errors import ArgumentError, UserError
from striate.nn.evaluation import evaluating
from striate.ops.depthwise_convolution import left_to_torch

MAX_SIDE: Final = 1024
"""Where the search for a side that a network takes ends."""


def walk(model: nn.Module, input_shape: Sequence[int]) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Follow one item through `model` in evaluation mode; the model is left as it was.

    The layers come in the order of their calls; with them the names of operators without a rule,
    whose output is taken to see everything.

    Args:
        model: Any module that takes one tensor (items, channels, *space).
        input_shape: Channels and spatial sizes of the item, (channels, *space).

    Raises:
        ArgumentError: The network does not take such an input.
    """
    if len(input_shape) < 2 or min(input_shape) < 1:
        raise ArgumentError(
            f"input={tuple(input_shape)}",
            why="it must be (channels, *space) with positive sizes",
            fix="for example 3,224,224",
        )
    interpreter = Interpreter(model)
    try:
        _run(model, input_shape, interpreter)
    except UserError:  # the network's own word on its input
        raise
    except NotImplementedError as error:  # torch, of an operator that needs values
        raise ArgumentError(
            f"{type(model).__name__} cannot be followed without values", why=str(error)
        ) from error
    except (RuntimeError, ValueError, IndexError) as error:
        minimum = min_input_side(model, input_shape[0], len(input_shape) - 1)
        small = minimum is not None and min(input_shape[1:]) < minimum
        raise ArgumentError(
            f"{type(model).__name__} does not take an input of {' x '.join(map(str, input_shape))}",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=f"the minimal side is {minimum}" if small else "",
        ) from error
    layers = tuple(row.layer for row in interpreter.rows)
    return layers, tuple(sorted(interpreter.unknown))


def calculations(model: nn.Module, x: Tensor) -> tuple[Calculation, ...]:
    """Compute one item layer by layer, in evaluation mode, and keep what goes in and comes out.

    The layers are those of `summary`, in the same order. Torch's own convolutions compute them
    all, and what works in place does not change what was kept before.

    Args:
        model: Any module that takes one tensor.
        x: (1, channels, *space) the item, on the model's device.
    """
    interpreter = Interpreter(model)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating_plainly(model))
        stack.enter_context(_not_in_place(model))
        stack.enter_context(left_to_torch())
        interpreter.begin(x, dict(model.named_parameters()), stack)
        stack.enter_context(interpreter)
        model(x)
    return interpreter.calculations()


@contextmanager
def _not_in_place(model: nn.Module) -> Iterator[None]:
    """Layers that would write their output over their input make a new tensor instead."""
    changed = [module for module in model.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False  # type: ignore[assignment]  # torch types attributes as modules
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True  # type: ignore[assignment]  # as above


def min_input_side(model: nn.Module, in_channels: int, rank: int) -> int | None:
    """The smallest side, the same on every axis, that `model` takes; None where none was found."""

    def takes(side: int) -> bool:
        try:
            _run(model, (in_channels, *(side,) * rank), None)
        except (RuntimeError, ValueError, IndexError):
            return False
        return True

    high = 1
    while not takes(high):
        high *= 2
        if high > MAX_SIDE:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def _run(model: nn.Module, input_shape: Sequence[int], interpreter: Interpreter | None) -> None:
    """Run `model` on the meta device, under `interpreter` where there is one."""
    parameters = {n: _without_values(p) for n, p in model.named_parameters()}
    tensors = parameters | {n: _without_values(b) for n, b in model.named_buffers()}
    floats = [t.dtype for t in parameters.values() if t.is_floating_point()]
    x = torch.empty(1, *input_shape, device="meta", dtype=floats[0] if floats else torch.float32)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating_plainly(model))
        if interpreter is not None:
            interpreter.begin(x, parameters, stack)
            stack.enter_context(interpreter)
        functional_call(model, tensors, (x,))


@contextmanager
def evaluating_plainly(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode, and without torch's fused attention, which hides the operators."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(model), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _without_values(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
