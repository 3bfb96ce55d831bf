"""A part of an ONNX graph as a torch module whose layers are torch's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn

from striate.errors import DataError
from striate.explorer.onnx import functions, layers  # noqa: F401 - they register the operators
from striate.explorer.onnx.call import RULES, Call, Step, UncomputableError
from striate.explorer.onnx.file import Node, OnnxFile
from striate.explorer.onnx.joining import joined

MAX_VALUES: Final = 2**30
"""Numbers that all layers together may give for one item: 4 GiB."""

MAX_MULTIPLY_ADDS: Final = 10**12
"""Products of one item; the largest vision transformers have a sixth of them."""

_MAX_NAME: Final = 60

_QUANTIZED: Final = re.compile("QLinear|Quantize|Integer")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Placed:
    """A step with the names of what it takes and gives.

    Its layer is known by its path, so that a copy of the network has its own, or another in its
    place.
    """

    compute: Callable[..., Any] | str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    over: tuple[str, ...] = ()
    """Values that no later step takes."""


class OnnxNetwork(nn.Module):
    """A part of an ONNX graph, from one value to another.

    Items are computed one by one, as the sizes in a file may be those of a batch of one.

    Args:
        given: Name of the value that it takes.
        made: Name of the value that it gives.
        input_shape: Sizes of what it takes of one item, without the batch.

    Attributes:
        output_shape: Sizes of what it gives for one item, the batch first.
        cut: Number of the steps up to the last maps; None where there are none that everything
            else is computed from.
    """

    def __init__(self, given: str, made: str, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.given, self.made, self.input_shape = given, made, input_shape
        self.output_shape: tuple[int, ...] = ()
        self.cut: int | None = None
        self._steps: tuple[_Placed, ...] = ()
        self._constants: dict[str, str] = {}

    def complete(
        self, steps: Sequence[_Placed], output_shape: tuple[int, ...], cut: int | None
    ) -> None:
        """Take the steps, in order, once all layers are in their places."""
        self._steps, self.output_shape, self.cut = tuple(steps), output_shape, cut

    def keep_constant(self, name: str, tensor: Tensor, *, is_weight: bool) -> None:
        """Hold a constant that functions take, by its name in the file."""
        own = self._constants[name] = f"constant_{len(self._constants)}"
        if is_weight:
            self.register_parameter(own, nn.Parameter(tensor))
        else:
            self.register_buffer(own, tensor)

    def forward(self, x: Tensor) -> Tensor:
        """What the part gives, (n, outputs) where it gives a vector for each item."""
        return self._ended(self._each(x, 0, len(self._steps), self.given, self.made))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last maps; of a network without any the outputs, as maps of one place."""
        if self.cut is None:
            logits: Tensor = self(x)
            return logits[(..., *[None] * (x.ndim - 2))]
        return self._each(x, 0, self.cut, self.given, self._last_map)

    def forward_head(self, features: Tensor) -> Tensor:
        """The outputs of the last maps."""
        if self.cut is None:
            return features.flatten(1)
        return self._ended(
            self._each(features, self.cut, len(self._steps), self._last_map, self.made)
        )

    def _ended(self, outputs: Tensor) -> Tensor:
        """Outputs without axes of space that have one place."""
        return outputs.flatten(1) if prod(self.output_shape[2:]) == 1 else outputs

    @property
    def _last_map(self) -> str:
        return self._steps[(self.cut or 1) - 1].gives[0]

    def _each(self, x: Tensor, first: int, end: int, given: str, made: str) -> Tensor:
        """Some of the steps, for each item of a batch by itself."""
        if len(x) == 1:
            return self._run(x, first, end, given, made)
        return torch.cat([self._run(item[None], first, end, given, made) for item in x])

    def _run(self, x: Tensor, first: int, end: int, given: str, made: str) -> Tensor:
        values = {given: x}
        for step in self._steps[first:end]:
            taken = [
                values[name] if name in values else getattr(self, self._constants[name])
                for name in step.takes
            ]
            compute = step.compute
            if isinstance(compute, str):
                compute = self.get_submodule(compute)
            values.update(zip(step.gives, _tuple(compute(*taken)), strict=False))
            for name in step.over:
                values.pop(name, None)
        return values[made]


def read_network(file: OnnxFile, given: str, made: str, shape: Sequence[int]) -> OnnxNetwork:
    """Make a torch module of the part of a graph between two values.

    Every tensor is made on torch's meta device first, so that a file that would need too much
    memory or time is refused before anything is computed.

    Args:
        file: The file.
        given: Name of the value that the part takes.
        made: Name of the value that it gives.
        shape: (channels, *space) of what it takes, or as the file has its axes.

    Raises:
        DataError: An operator is not known or cannot be computed, or the part is too large.
    """
    return _Reader(file, OnnxNetwork(given, made, tuple(shape))).read()


@dataclass(eq=False)
class _Reader:
    """Goes through the nodes of a graph and makes steps of them."""

    file: OnnxFile
    network: OnnxNetwork
    values: dict[str, Tensor] = field(default_factory=dict)
    steps: list[_Placed] = field(default_factory=list)
    _parameters: dict[str, nn.Parameter] = field(default_factory=dict)
    _numbers: int = 0
    _products: int = 0

    def read(self) -> OnnxNetwork:
        """The network with all its layers and steps."""
        network, made = self.network, self.network.made
        self.values = {network.given: torch.empty(1, *network.input_shape, device="meta")}
        for node in _needed(joined(self.file), network.given, made):
            self._read(node)
        if made not in self.values or not self.values[made].is_meta:
            raise self._refused(f"its output {made!r} does not depend on its input")
        for name in dict.fromkeys(name for step in self.steps for name in step.takes):
            value = self.values[name]
            if not value.is_meta:
                is_weight = value.is_floating_point() and name in self.file.constants
                network.keep_constant(name, value, is_weight=is_weight)
        output_shape = tuple(self.values[made].shape)
        network.complete(_with_ends(self.steps, made), output_shape, self._cut())
        return network.eval().requires_grad_(False)

    def _read(self, node: Node) -> None:
        """Make a step of a node, or compute it where nothing of the item goes into it."""
        if node.operator not in RULES:
            raise self._unknown(node)
        try:
            operands = [self._value(name) if name else None for name in node.inputs]
            call = Call(
                node=node,
                opset=self.file.opset,
                operands=operands,
                parameter=lambda number: self._parameter(node.inputs[number], operands[number]),
            )
            step = RULES.get(node.operator)(call)
            given = [call.tensor(number) for number in step.takes]
            shown = _on_meta(step, given)
            self._count(node, step, shown)
            tracked = any(tensor.is_meta for tensor in given)
            outputs = shown if tracked else _computed(step, given)
        except UncomputableError as error:
            raise self._unreadable(node, str(error)) from None
        except DataError:
            raise
        except (
            ArithmeticError,
            IndexError,
            LookupError,
            NotImplementedError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise self._unreadable(node, why[:200]) from None
        names = node.outputs[: len(outputs)]
        if any(name in self.file.takers for name in node.outputs[len(outputs) :] if name):
            raise self._unreadable(node, "its further outputs are used")
        self.values.update({name: t for name, t in zip(names, outputs, strict=True) if name})
        if tracked:
            self._add(node, step, names)

    def _add(self, node: Node, step: Step, gives: tuple[str, ...]) -> None:
        takes = tuple(node.inputs[number] for number in step.takes)
        compute: Callable[..., Any] | str = step.compute
        if isinstance(compute, nn.Module):
            compute = _place(self.network, self._path(node), compute)
        self.steps.append(_Placed(compute=compute, takes=takes, gives=gives))

    def _value(self, name: str) -> Tensor:
        found = self.values.get(name, self.file.constants.get(name))
        if found is None:
            raise UncomputableError(f"nothing before it gives its input {name!r}")
        self.values.setdefault(name, found)
        return found

    def _parameter(self, name: str, value: Tensor | None) -> nn.Parameter:
        """The parameter of a constant, one for all layers that take it."""
        if value is None or value.is_meta or not value.is_floating_point():
            raise UncomputableError(f"its input {name!r} is no constant of floating-point numbers")
        return self._parameters.setdefault(name, nn.Parameter(value))

    def _count(self, node: Node, step: Step, outputs: Sequence[Tensor]) -> None:
        """Add what a node costs.

        Raises:
            DataError: All together it is too much.
        """
        self._numbers += sum(output.numel() for output in outputs)
        weight = getattr(step.compute, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            self._products += outputs[0].numel() * weight[0].numel()
        elif node.operator in ("MatMul", "Gemm"):
            self._products += outputs[0].numel() * self._value(node.inputs[0]).shape[-1]
        if self._numbers > MAX_VALUES or self._products > MAX_MULTIPLY_ADDS:
            sizes = " x ".join(map(str, self.network.input_shape))
            raise self._refused(
                f"for an item of {sizes} it computes more than {MAX_VALUES:.0e} numbers or "
                f"{MAX_MULTIPLY_ADDS:.0e} products"
            )

    def _cut(self) -> int | None:
        """Number of the steps up to the last maps that everything after them is computed from.

        Of networks with attention there are none: their tokens have the axes of a map of a series.
        """
        for step in self.steps:
            products = step.compute is torch.matmul
            if products and all(self.values[name].is_meta for name in step.takes):
                return None
        later = {self.network.made}
        for number in range(len(self.steps), 0, -1):
            step = self.steps[number - 1]
            here = self.values[step.gives[0]]
            is_map = here.ndim == len(self.network.input_shape) + 1 and prod(here.shape[2:]) > 1
            if is_map and later == {step.gives[0]}:
                return number
            later -= {*step.gives}
            later |= {name for name in step.takes if self.values[name].is_meta}
        return None

    def _path(self, node: Node) -> list[str]:
        """Where a layer lies in the network, by what the file says of it."""
        name = node.scope
        for given in node.inputs[1:2]:
            owner, _, last = given.rpartition(".")
            name = owner if owner and last == "weight" and self._owns(given, node) else name
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", name or node.operator.rpartition(".")[2].lower())
        return [part[:_MAX_NAME] for part in name.split(".") if part] or ["layer"]

    def _owns(self, name: str, node: Node) -> bool:
        """Whether a node is the only one that takes a weight."""
        return len(self.file.takers.get(name, ())) == 1

    def _unknown(self, node: Node) -> DataError:
        if _QUANTIZED.search(node.operator):
            return DataError(
                f"cannot open {self.file.path}",
                why=f"it is quantized (operator {node.operator})",
                fix="open the float32 file that it was made from",
            )
        return DataError(
            f"cannot open {self.file.path}",
            why=f"the page does not know its operator {node.operator} (node {node.name!r})",
            fix="export the classifier in float32, without what comes before and after it",
        )

    def _unreadable(self, node: Node, why: str) -> DataError:
        return self._refused(f"its operator {node.operator} (node {node.name!r}): {why}")

    def _refused(self, why: str) -> DataError:
        return DataError(f"cannot open {self.file.path}", why=why)


def _needed(nodes: Sequence[Node], given: str, made: str) -> list[Node]:
    """The nodes that one value goes into and another comes from, in order."""
    wanted, found = {made}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs) and given not in node.outputs:
            found.append(node)
            wanted.update(name for name in node.inputs if name != given)
    return found[::-1]


def _on_meta(step: Step, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a step gives, without values."""
    compute = step.compute
    if isinstance(compute, nn.Module):
        tensors = dict(compute.named_parameters()) | dict(compute.named_buffers())
        bare = {name: tensor.to("meta") for name, tensor in tensors.items()}
        with torch.no_grad():
            compute.eval()
            return (torch.func.functional_call(compute, bare, tuple(x.to("meta") for x in given)),)
    if not given:
        return _tuple(compute())
    with torch.no_grad():
        return _tuple(compute(*(tensor.to("meta") for tensor in given)))


def _computed(step: Step, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        if isinstance(step.compute, nn.Module):
            step.compute.eval()
        return _tuple(step.compute(*given))


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def _with_ends(steps: Sequence[_Placed], made: str) -> list[_Placed]:
    """The steps, each with the values that are not taken after it."""
    found: list[_Placed] = []
    later = {made}
    for step in reversed(steps):
        over = tuple(n for n in dict.fromkeys((*step.takes, *step.gives)) if n not in later)
        found.append(_Placed(compute=step.compute, takes=step.takes, gives=step.gives, over=over))
        later.update(step.takes)
    return found[::-1]


def _place(network: nn.Module, path: Sequence[str], layer: nn.Module) -> str:
    """Put a layer at a path of the network, under another name where that is taken; where it is."""
    here, found = network, []
    *parents, last = path
    for name in parents:
        while hasattr(here, name) and type(getattr(here, name)) is not nn.Module:
            name += "_"
        if not hasattr(here, name):
            here.add_module(name, nn.Module())
        here = here.get_submodule(name)
        found.append(name)
    name, number = last, 2
    while hasattr(here, name):
        name, number = f"{last}_{number}", number + 1
    here.add_module(name, layer)
    return ".".join([*found, name])
