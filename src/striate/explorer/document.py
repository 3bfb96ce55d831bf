"""The network as the page shows it: stages, and in each the layers with all that is known."""

from __future__ import annotations

from typing import Any

from striate.analysis import Layer, Summary
from striate.analysis.layer import plain_number
from striate.explorer.grid import is_of_heads
from striate.explorer.steps.windows import sliding
from striate.explorer.walked import Walked
from striate.geometry import Field
from striate.nn.ranks import CONV_TYPES


def network_document(summary: Summary, walked: Walked) -> dict[str, Any]:
    """The layers of a network by stage, with costs and receptive fields.

    Args:
        summary: The network as it was analyzed, without values.
        walked: Any item that went through it, for what comes from where.
    """
    stages = _stages(summary, walked)
    return {
        "network": summary.name,
        "input_shape": list(summary.input_shape),
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "advice": list(summary.advice()),
        "stages": stages,
        "nodes": [_node(number, layer, walked) for number, layer in enumerate(summary.layers)],
    }


def _node(number: int, layer: Layer, walked: Walked) -> dict[str, Any]:
    grid = walked.grids[number]
    return {
        "name": layer.name,
        "kind": layer.kind,
        "what": _what(number, walked),
        "window": _window(number, walked),
        "channels": grid.channels,
        "space": list(grid.space),
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "dense_parameters": layer.dense_parameters,
        "fields": [_field(field) for field in layer.fields] if layer.space else None,
        "inputs": walked.inputs[number],
        "followers": walked.followers(number),
    }


def _what(number: int, walked: Walked) -> str:
    """A convolution's or a pooling's settings in words; empty for another layer."""
    module: Any = walked.found[number].module
    if not hasattr(module, "kernel_size"):
        return ""
    words = ["×".join(map(str, _tuple(module.kernel_size)))]
    for name in ("stride", "dilation"):
        values = _tuple(getattr(module, name, None) or 1)
        if set(values) != {1}:
            shown = values if len(set(values)) > 1 else values[:1]
            words.append(f"{name} {'×'.join(map(str, shown))}")
    if isinstance(module, CONV_TYPES) and module.groups > 1:
        depthwise = module.groups == module.in_channels == module.out_channels
        words.append("depthwise" if depthwise else f"{module.groups} groups")
    return ", ".join(words)


def _window(number: int, walked: Walked) -> dict[str, Any] | None:
    """A layer's window along each axis, and the sizes that it slides over; None without one."""
    calculation = walked.found[number]
    given = calculation.operands[0].shape[2:] if calculation.operands else ()
    found = sliding(calculation.module, given)
    if found is None:
        return None
    return {
        "kernel": [window.kernel_size for window in found],
        "stride": [window.stride for window in found],
        "dilation": [window.dilation for window in found],
        "padding": [[window.low, window.high] for window in found],
        "space": list(given),
        "channels": calculation.operands[0].shape[1],
    }


def _tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _field(field: Field | None) -> dict[str, float] | None:
    if field is None:
        return None
    return {name: plain_number(getattr(field, name)) for name in ("size", "jump", "start")}


def _stages(summary: Summary, walked: Walked) -> list[dict[str, Any]]:
    """Runs of layers whose maps have the same size, and the head; every layer is in one.

    A layer whose positions cannot be told apart, such as the mean of a gate, goes with those
    before it.
    """
    number_of = {id(layer): number for number, layer in enumerate(summary.layers)}
    firsts = [number_of[id(stage.layers[0])] for stage in summary.stages()]
    lasts = [number_of[id(stage.layers[-1])] for stage in summary.stages()]
    names = [" × ".join(map(str, stage.space)) for stage in summary.stages()]
    begins = [0, *firsts[1:]] if firsts else []
    head = lasts[-1] + 1 if lasts else 0
    if head < len(summary.layers):
        name = "attention, head" if any(map(is_of_heads, walked.found[head:])) else "head"
        begins, names, lasts = [*begins, head], [*names, name], [*lasts, len(summary.layers) - 1]
    ends = [*begins[1:], len(summary.layers)]
    return [
        {"name": name, "first": first, "end": end, "shown": min(last, end - 1)}
        for name, first, end, last in zip(names, begins, ends, lasts, strict=True)
    ]
