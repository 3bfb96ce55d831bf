"""Nodes that exporters take a layer apart into, joined again, so that the page shows the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from torch import Tensor

from striate.explorer.onnx.file import Node, OnnxFile
from striate.explorer.onnx.layers import LINEAR

_GATED: Final = {"Sigmoid": "striate.SiLU", "HardSigmoid": "HardSwish"}
"""What a number times a function of itself is, by the function."""

_CLOSE: Final = 1e-4
"""Relative difference up to which a number in the file is meant to be another."""


def joined(file: OnnxFile) -> list[Node]:
    """The nodes of a file with dense layers, GELU, SiLU and hard swish in one piece.

    A dense layer is a product with weights and the addition of a bias; GELU is x times
    (1 + erf(x / √2)) / 2, with its factors in any order.

    Args:
        file: The file.
    """
    replaced: dict[int, Node] = {}
    gone: set[int] = set()
    for node in file.nodes:
        for found in (_gelu(file, node), _gated(file, node), _dense(file, node)):
            if found is not None:
                made, *parts = found
                gone.update(map(id, parts))
                replaced[id(parts[-1])] = made
    return [
        replaced.get(id(node), node)
        for node in file.nodes
        if id(node) in replaced or id(node) not in gone
    ]


def _dense(file: OnnxFile, node: Node) -> list[Node] | None:
    """A dense layer from its product on, and the nodes that it is in the file."""
    after = _only_taker(file, node)
    if node.operator != "MatMul" or after is None or after.operator != "Add":
        return None
    weight = file.constants.get(node.inputs[1])
    (other,) = [name for name in after.inputs if name != node.outputs[0]] or [""]
    bias = file.constants.get(other)
    if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[1:]:
        return None
    inputs = (*node.inputs, other)
    return [replace(after, operator=LINEAR, inputs=inputs, attributes={}), node, after]


def _gated(file: OnnxFile, node: Node) -> list[Node] | None:
    """SiLU or hard swish from its gate on, and the nodes that it is in the file."""
    after = _only_taker(file, node)
    if node.operator not in _GATED or after is None or after.operator != "Mul":
        return None
    if sorted(after.inputs) != sorted((node.inputs[0], node.outputs[0])):
        return None
    if node.operator == "HardSigmoid" and not _near(node.attributes.get("alpha", 0.2), 1 / 6):
        return None
    operator = _GATED[node.operator]
    return [replace(after, operator=operator, inputs=node.inputs, attributes={}), node, after]


def _gelu(file: OnnxFile, node: Node) -> list[Node] | None:
    """GELU from its erf on, and the nodes that it is in the file."""
    scaled = file.makers.get(node.inputs[0]) if node.operator == "Erf" else None
    shifted = _only_taker(file, node)
    if scaled is None or shifted is None or shifted.operator != "Add":
        return None
    if _only_taker(file, scaled) is not node or not any(_near(n, 1) for n in _sides(file, shifted)):
        return None
    root = math.sqrt(2) if scaled.operator == "Div" else math.sqrt(0.5)
    if scaled.operator not in ("Div", "Mul") or not any(
        _near(n, root) for n in _sides(file, scaled)
    ):
        return None
    x = next(name for name in scaled.inputs if _number(file, name) is None)
    parts = [scaled, node, shifted]
    left = {x, 0.5}
    while left:
        factor = _only_taker(file, parts[-1])
        if factor is None or factor.operator != "Mul":
            return None
        (other,) = [name for name in factor.inputs if name != parts[-1].outputs[0]] or [""]
        half, before = _number(file, other), file.makers.get(other)
        if half is not None and _near(half, 0.5):
            left.discard(0.5)
        elif other == x:
            left.discard(x)
        elif before is not None and _is_half_of(file, before, x):
            left -= {x, 0.5}
            parts.insert(0, before)
        else:
            return None
        parts.append(factor)
    return [replace(parts[-1], operator="Gelu", inputs=(x,), attributes={}), *parts]


def _is_half_of(file: OnnxFile, node: Node, x: str) -> bool:
    """Whether a node gives half of x, and to one node alone."""
    is_product = node.operator == "Mul" and x in node.inputs and _only_taker(file, node) is not None
    return is_product and any(_near(n, 0.5) for n in _sides(file, node))


def _only_taker(file: OnnxFile, node: Node) -> Node | None:
    """The one node that takes what a node gives, where nothing else does."""
    takers = file.takers.get(node.outputs[0], ())
    if len(node.outputs) != 1 or len(takers) != 1 or node.outputs[0] in file.outputs:
        return None
    return takers[0]


def _sides(file: OnnxFile, node: Node) -> Iterator[float]:
    """The single numbers among a node's inputs."""
    return (n for n in (_number(file, name) for name in node.inputs) if n is not None)


def _number(file: OnnxFile, name: str) -> float | None:
    """A constant that is one number."""
    found, maker = file.constants.get(name), file.makers.get(name)
    if found is None and maker is not None and maker.operator == "Constant":
        value = maker.attributes.get("value")
        found = value if isinstance(value, Tensor) else None
    return float(found) if found is not None and found.numel() == 1 else None


def _near(number: float, meant: float) -> bool:
    return math.isclose(number, meant, rel_tol=_CLOSE)
