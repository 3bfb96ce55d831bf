"""Pictures of any height and width as the input of an ONNX file: the resizing as explicit operations.

Operators named Resize differ between runtimes. Here each axis is resized by a product with a matrix
of weights that the graph computes from the picture's size: the weights of torch and Pillow for
antialiased bilinear resizing, rounded to the same fractions of a power of two and rounded to whole
levels after each axis, so that every runtime gives the pixels that Striate gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.engines.onnx_file import OPSET

INPUT: Final = "images"
"""Name of the input: uint8 (items, height, width, 3), upright RGB pictures of one size."""

_MOST_BITS: Final = 22
"""The most fractional bits of a weight."""

_WEIGHT_LIMIT: Final = 2**15
"""Weights are whole numbers below it, over a power of two."""


@dataclass(frozen=True, kw_only=True)
class PictureShape:
    """How a picture becomes what the network sees.

    Attributes:
        size: Shorter side in pixels that a picture is resized to first.
        max_aspect: A picture that is longer than so many times its shorter side is reduced until
            its longer side is that many times `size`.
        frame: Height and width of what the network sees.
        fill: Level of each channel beside a whole picture; None where the middle is cut out.
    """

    size: int
    max_aspect: int
    frame: tuple[int, int]
    fill: tuple[float, ...] | None


def add_pictures(path: Path, out: Path, shape: PictureShape, pixels: str) -> None:
    """Write an ONNX file that takes pictures, from one that takes what the network sees of them.

    Args:
        path: The file whose input is uint8 (items, 3, *frame).
        out: The file to write; metadata and outputs are those of the first.
        shape: How a picture becomes that.
        pixels: Name of the first file's input.
    """
    import onnx

    model = onnx.load(path)
    graph = _Graph()
    kind = onnx.TensorProto.UINT8
    seen = graph.add("Cast", _seen(graph, shape), to=kind)
    head = onnx.helper.make_graph(
        graph.nodes,
        "pictures",
        [onnx.helper.make_tensor_value_info(INPUT, kind, ["items", "height", "width", 3])],
        [onnx.helper.make_tensor_value_info(seen, kind, ["items", 3, *shape.frame])],
        graph.constants,
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    before = onnx.helper.make_model(head, opset_imports=opset, ir_version=model.ir_version)
    merged = onnx.compose.merge_models(before, model, io_map=[(seen, pixels)])
    del merged.metadata_props[:]
    merged.metadata_props.extend(model.metadata_props)
    onnx.save(merged, out)


def seen_by_network(model: Any, card: Mapping[str, Any]) -> str | None:
    """Name of the value that holds what the network sees of the pictures.

    Args:
        model: An ONNX file as onnx has it.
        card: The card among its metadata.

    Returns:
        None where the file is none that `add_pictures` wrote.
    """
    given = card.get("input")
    takes_frames = not isinstance(given, dict) or given.get("name") == INPUT
    if takes_frames or [each.name for each in model.graph.input] != [INPUT]:
        return None
    before = {name for node in model.graph.node for name in node.output if _is_own(name)}
    after = (node for node in model.graph.node if not any(map(_is_own, node.output)))
    seen = {name for node in after for name in node.input if name in before}
    return seen.pop() if len(seen) == 1 else None


def _is_own(name: str) -> bool:
    """Whether a value is one of those that resize pictures."""
    return name.startswith(f"{INPUT}_")


@dataclass
class _Graph:
    """Nodes and constants that are added one by one."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Add an operator, and the arrays among its inputs as constants; the name of its output."""
        import onnx

        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        output = f"{INPUT}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, names, [output], **attributes))
        return output

    def _constant(self, value: NDArray[Any]) -> str:
        import onnx

        name = f"{INPUT}_constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def _seen(graph: _Graph, shape: PictureShape) -> str:
    """What the network sees of the pictures, as whole float32 levels, channels first."""
    add = graph.add
    pixels = add("Cast", add("Transpose", INPUT, perm=[0, 3, 1, 2]), to=_FLOAT)
    given = add("Slice", add("Shape", INPUT), _ints(1), _ints(3))
    space = add("Cast", given, to=_DOUBLE)
    shorter, longer = add("ReduceMin", space), add("ReduceMax", space)
    long = add("Greater", longer, add("Mul", shorter, _doubles(shape.max_aspect)))
    wanted = add("Where", long, _doubles(shape.max_aspect * shape.size), _doubles(shape.size))
    over = add("Where", long, longer, shorter)
    target = add("Max", _rounded(graph, space, wanted, over), _doubles(1))
    pixels = _resized(graph, pixels, space, target)
    frame = _doubles(*shape.frame)
    if shape.fill is None:
        over = add("ReduceMin", target)
        inner = add("Max", _rounded(graph, target, _doubles(shape.size), over), frame)
        start = add("Floor", add("Div", add("Sub", inner, frame), _doubles(2)))
        return _resized(graph, pixels, target, inner, start, frame)
    scale = add("ReduceMin", add("Div", frame, target))
    inner = add("Max", add("Round", add("Mul", target, scale)), _doubles(1))
    inner = add("Min", inner, frame)
    pixels = _resized(graph, pixels, target, inner)
    start = add("Floor", add("Div", add("Sub", frame, inner), _doubles(2)))
    end = add("Sub", add("Sub", frame, inner), start)
    pads = add("Concat", _doubles(0, 0), start, _doubles(0, 0), end, axis=0)
    fill = np.array(shape.fill, np.float32).reshape(1, -1, 1, 1)
    padded = add("Pad", add("Sub", pixels, fill), add("Cast", pads, to=_INT))
    return add("Add", padded, fill)


def _rounded(graph: _Graph, sides: str, wanted: str | NDArray[Any], over: str) -> str:
    """round(side * wanted / over), halves to the even number as in Python."""
    return graph.add("Round", graph.add("Div", graph.add("Mul", sides, wanted), over))


def _resized(
    graph: _Graph,
    pixels: str,
    space: str,
    target: str,
    start: str | None = None,
    count: NDArray[Any] | None = None,
) -> str:
    """Pixels resized from `space` to `target`, or of the result `count` places from `start` on."""
    add = graph.add
    for axis in (1, 0):  # the width first, as torch and Pillow
        own, wanted = (add("Gather", sides, np.array(axis)) for sides in (space, target))
        first = np.array(0.0) if start is None else add("Gather", start, np.array(axis))
        last = wanted if count is None else add("Add", first, np.array(count[axis]))
        weights, unit = _weights(graph, own, wanted, first, last)
        if axis == 1:
            sums = add("MatMul", pixels, add("Transpose", weights, perm=[1, 0]))
        else:
            sums = add("MatMul", weights, pixels)
        halves = add("Add", sums, add("Div", unit, np.array(2, np.float32)))
        levels = add("Floor", add("Div", halves, unit))
        pixels = add("Clip", levels, np.array(0, np.float32), np.array(255, np.float32))
    return pixels


def _weights(
    graph: _Graph, own: str, wanted: str, first: str | NDArray[Any], last: str
) -> tuple[str, str]:
    """The weight of each sample in each wanted place, as whole numbers, and what 1 is among them."""
    add = graph.add
    scale = add("Div", own, wanted)
    place = add("Unsqueeze", add("Range", first, last, np.array(1.0)), _ints(1))
    centre = add("Mul", add("Add", place, np.array(0.5)), scale)
    sample = add("Add", add("Range", np.array(0.0), own, np.array(1.0)), np.array(0.5))
    reach = add("Max", scale, np.array(1.0))
    apart = add("Div", add("Abs", add("Sub", sample, centre)), reach)
    shares = add("Max", add("Sub", np.array(1.0), apart), np.array(0.0))
    shares = add("Div", shares, add("ReduceSum", shares, _ints(1), keepdims=1))
    powers = 2.0 ** np.arange(1, _MOST_BITS + 1)
    largest = add("ReduceMax", shares, keepdims=0)
    fits = add(
        "Less", add("Floor", _half_up(graph, largest, powers)), np.array(_WEIGHT_LIMIT * 1.0)
    )
    bits = add("ReduceSum", add("Cast", fits, to=_DOUBLE), keepdims=0)
    unit = add("Pow", np.array(2.0), bits)
    whole = add("Floor", _half_up(graph, shares, unit))
    return add("Cast", whole, to=_FLOAT), add("Cast", unit, to=_FLOAT)


def _half_up(graph: _Graph, value: str, factor: str | NDArray[Any]) -> str:
    return graph.add("Add", graph.add("Mul", value, factor), np.array(0.5))


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _doubles(*values: float) -> NDArray[np.float64]:
    return np.array(values, np.float64)


_FLOAT: Final = 1
_INT: Final = 7
_DOUBLE: Final = 11
"""Numbers of the types in `onnx.TensorProto`."""
