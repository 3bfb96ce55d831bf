"""A network at a glance: its layers, its totals, and what they mean for an input of this size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import floor, prod
from typing import Any

from torch import nn

from striate.analysis.layer import Layer
from striate.analysis.walk import walk


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Layers in a row whose maps have the same size.

    Attributes:
        space: Positions along each axis.
        channels: Number of channels of the last map.
        layers: The layers in order.
    """

    space: tuple[int, ...]
    channels: int
    layers: tuple[Layer, ...]

    @property
    def receptive_field(self) -> tuple[int | None, ...] | None:
        """Receptive field of the last map; None is 'everything'."""
        return self.layers[-1].receptive_field


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a network holds, computes and sees, for one item.

    Attributes:
        name: Class of the network.
        input_shape: (channels, *space).
        parameters: All of the network's, used or not.
        multiply_adds: Products summed in one pass.
        layers: The layers in the order of their calls.
        unknown: Operators without a rule; their output is taken to see everything.
    """

    name: str
    input_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    layers: tuple[Layer, ...]
    unknown: tuple[str, ...]

    @property
    def receptive_field(self) -> tuple[int | None, ...] | None:
        """That of the last feature map before global pooling or flattening; None is 'everything'."""
        maps = self._maps()
        return maps[-1].receptive_field if maps else None

    def stages(self) -> tuple[Stage, ...]:
        """Runs of layers whose maps have the same size, up to the head."""
        spatial = [layer for layer in self._maps() if layer.space is not None]
        stages = []
        for space, group in groupby(spatial, key=lambda layer: layer.space or ()):
            layers = tuple(group)
            channels = prod(layers[-1].output_shape) // prod(space)
            stages.append(Stage(space=space, channels=channels, layers=layers))
        return tuple(stages)

    def advice(self) -> tuple[str, ...]:
        """What the fields mean for an input of this size, in plain words."""
        space = self.input_shape[1:]
        size = " x ".join(map(str, space)) if len(set(space)) > 1 else f"{space[0]} px"
        stages = self.stages()
        lines = [
            _beyond(stages, space, size),
            _within(self.receptive_field, space, size),
            self._global(),
        ]
        if stages and prod(stages[-1].space) <= 4 and prod(space) > 4:
            places = " x ".join(map(str, stages[-1].space))
            lines.append(f"at {size} the last map has only {places} positions")
        if self.unknown:
            names = ", ".join(name.removeprefix("aten.") for name in self.unknown)
            lines.append(f"what {names} sees is not known here, and is taken to be the whole input")
        return tuple(line for line in lines if line)

    def _maps(self) -> list[Layer]:
        """Layers up to global pooling or flattening.

        A convolution as large as its map, after which nothing is seen that it does not see, is a
        flattening and a dense layer; a resizing to a fixed size before either belongs to the head.
        """
        spatial = [layer for layer in self.layers if layer.is_spatial]
        end = len(spatial)
        for index, (map_, layer) in enumerate(pairwise(spatial), 1):
            is_last = layer.receptive_field == spatial[-1].receptive_field
            is_flattened = prod(map_.space or (1,)) > prod(layer.space or (1,)) == 1
            if is_last and is_flattened and _is_dense(layer):
                end = index
                break
        while end > 1 and spatial[end - 1].kind.startswith("Adaptive"):
            end -= 1
        return spatial[:end]

    def _global(self) -> str:
        layer = next((x for x in self.layers if x.is_spatial and x.receptive_field is None), None)
        return f"from {layer.name} on every position sees the whole input" if layer else ""

    def as_json(self) -> dict[str, Any]:
        """The document of `striate inspect --json`."""
        return {
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "receptive_field": _listed(self.receptive_field),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "output_shape": list(layer.output_shape),
                    "parameters": layer.parameters,
                    "multiply_adds": layer.multiply_adds,
                    "receptive_field": _listed(layer.receptive_field),
                    "jump": _listed(layer.jump),
                }
                for layer in self.layers
            ],
        }


def summary(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Look through `model` without computing anything.

    Args:
        model: Any module that takes one tensor (items, channels, *space).
        input_shape: (channels, *space) of an item.

    Raises:
        ArgumentError: The network does not take such an input.
    """
    layers, unknown = walk(model, input_shape)
    return Summary(
        name=type(model).__name__,
        input_shape=tuple(input_shape),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        layers=layers,
        unknown=unknown,
    )


def receptive_field(model: nn.Module, input_shape: Sequence[int]) -> tuple[Layer, ...]:
    """What every layer of `model` sees of the input: size, jump, start and border, per axis.

    Args:
        model: Any module that takes one tensor (items, channels, *space), branched or not.
        input_shape: (channels, *space) of an item.

    Raises:
        ArgumentError: The network does not take such an input.
    """
    return walk(model, input_shape)[0]


def _is_dense(layer: Layer) -> bool:
    """Whether it is a convolution that computes as much as a dense layer in its place."""
    return layer.multiply_adds == layer.dense_parameters > 0


def _beyond(stages: Sequence[Stage], space: Sequence[int], size: str) -> str:
    """Which of the last stages have fields wider than the input."""
    count = 0
    for stage in reversed(stages):
        sizes = [floor(f.size) for f in stage.layers[-1].fields if f is not None]
        if len(sizes) < len(space) or not any(s > n for s, n in zip(sizes, space, strict=True)):
            break
        count += 1
    if not count:
        return ""
    which = "the last stage sees" if count == 1 else f"the last {count} stages see"
    return f"at {size} {which} beyond the image"


def _within(field: tuple[int | None, ...] | None, space: Sequence[int], size: str) -> str:
    """How little the last map sees, where that is less than the input."""
    if field is None or not all(f is not None and f < n for f, n in zip(field, space, strict=True)):
        return ""
    seen = " x ".join(map(str, field)) if len(set(field)) > 1 else f"{field[0]} px"
    return f"at {size} no position of the last map sees more than {seen}"


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)
