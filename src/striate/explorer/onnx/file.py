"""An ONNX file as plain nodes and tensors, read within limits."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from striate.data.folder_walk import existing_path
from striate.engines.onnx_file import CARD
from striate.errors import DataError, MissingExtraError
from striate.files import os_reason

SUFFIX: Final = ".onnx"

EXTRA: Final = "onnx"

PACKAGES: Final = ("onnx", "onnxruntime")

MAX_BYTES: Final = 2**30
"""The largest file, and the most bytes of weights that it may name beside it."""

MAX_NODES: Final = 20_000
"""Nodes of a graph; the largest image classifiers have some thousands."""

MIN_OPSET: Final = 7
"""The oldest operators that are read, those of 2018."""

_OWN_DOMAINS: Final = ("", "ai.onnx")
"""Names of ONNX's own domain of operators."""

_SCOPES: Final = "pkg.torch.onnx.name_scopes"
"""Where torch writes the names of the modules that a node comes from."""

_DTYPES: Final = frozenset(
    ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
)
"""Types of tensors that are computed with."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One call of an operator.

    Attributes:
        operator: Name of the operator; outside of ONNX's own domain with that domain.
        name: What the file calls the node; may be empty.
        scope: Path of the module that it was exported from; empty where that is not known.
        inputs: Names of the values that it takes; empty for one that is left out.
        outputs: Names of the values that it gives.
        attributes: Its settings; tensors as torch's.
    """

    operator: str
    name: str
    scope: str = ""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxFile:
    """What an ONNX file holds.

    Attributes:
        path: The file.
        model: All of it as onnx has it, with the weights that lay beside it.
        opset: Version of the operators.
        nodes: The calls, each after those whose outputs it takes.
        constants: Weights and other tensors by name.
        input_name: Name of the only input.
        input_shape: Its sizes, the batch first; None where the file leaves one open.
        input_dtype: Type of its values in NumPy's words.
        outputs: Names of the outputs.
    """

    path: Path
    model: Any
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    input_name: str
    input_shape: tuple[int | None, ...]
    input_dtype: str
    outputs: tuple[str, ...]

    @cached_property
    def card(self) -> Mapping[str, Any]:
        """What Striate wrote into a file that it exported; empty for another."""
        texts = [entry.value for entry in self.model.metadata_props if entry.key == CARD]
        try:
            card = json.loads(texts[0]) if texts else {}
        except (ValueError, RecursionError):
            card = {}
        return card if isinstance(card, dict) else {}

    @property
    def listed_outputs(self) -> tuple[str, ...]:
        """The outputs that the card lists, in its order; none where it does not fit the file."""
        listed = self.card.get("outputs")
        named = listed if isinstance(listed, list) else []
        names = [str(each.get("name")) for each in named if isinstance(each, dict)]
        known = [name for name in names if name in self.outputs]
        return tuple(known) if len(known) == len(names) else ()

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """The node that gives each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def takers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that take each value."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file, and weights that lie beside it.

    Nothing is computed yet. Tensors are compared with the size of the file before they are made,
    and weights beside it are read from its own folder alone, never through a link.

    Args:
        path: The file.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        DataError: It is no ONNX file, is damaged or too large, or takes several inputs.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(missing[0], EXTRA)
    model = _parsed(path)
    _load_outside_tensors(path, model.graph)
    constants = {_text(t.name): _tensor(path, t) for t in model.graph.initializer}
    inputs = [each for each in model.graph.input if _text(each.name) not in constants]
    if len(inputs) != 1:
        names = ", ".join(_text(each.name) for each in inputs[:5])
        raise _refused(path, f"it takes {len(inputs)} inputs ({names}), and the page shows one")
    dtype, shape = _typed(path, inputs[0])
    return OnnxFile(
        path=path,
        model=model,
        opset=_opset(path, model),
        nodes=tuple(_node(path, node) for node in model.graph.node),
        constants=constants,
        input_name=_text(inputs[0].name),
        input_shape=shape,
        input_dtype=dtype,
        outputs=tuple(_text(each.name) for each in model.graph.output),
    )


def _parsed(path: Path) -> Any:
    """The file as onnx has it."""
    import onnx

    content = _content(existing_path(path))
    if not content:
        raise _refused(path, "empty file")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's own error; onnx brings protobuf, and does not name it
        raise _refused(path, "it is no ONNX file, or a damaged one") from None
    if not model.graph.node or not model.opset_import:
        raise _refused(path, "it is no ONNX file, or a damaged one")
    if len(model.graph.node) > MAX_NODES:
        raise _refused(path, f"{len(model.graph.node)} nodes, over the limit of {MAX_NODES}")
    return model


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "not a regular file")
        if status.st_size > MAX_BYTES:
            raise _refused(path, f"{status.st_size} bytes, over the limit of {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise _refused(path, os_reason(error)) from None


def _opset(path: Path, model: Any) -> int:
    versions = [each.version for each in model.opset_import if each.domain in _OWN_DOMAINS]
    if not versions or versions[0] < MIN_OPSET:
        raise DataError(
            f"cannot open {path}",
            why=f"its operators are older than opset {MIN_OPSET}",
            fix="export it anew",
        )
    return int(versions[0])


def _typed(path: Path, given: Any) -> tuple[str, tuple[int | None, ...]]:
    """Type and sizes of an input, the batch among them."""
    tensor = given.type.tensor_type
    if not given.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise _refused(path, f"the input {given.name!r} has no shape")
    dtype = str(_dtype(tensor.elem_type) or "unknown")
    if dtype not in ("float32", "uint8"):
        raise DataError(
            f"cannot open {path}",
            why=f"the input {given.name!r} has {dtype} values, and the page gives float32 or uint8",
            fix="export it in float32" if dtype == "float16" else "",
        )
    sizes = [each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim]
    return dtype, tuple(size if size and size > 0 else None for size in sizes)


def _text(value: str | bytes) -> str:
    """A text of the file; protobuf gives bytes where it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _node(path: Path, node: Any) -> Node:
    domain = "" if node.domain in _OWN_DOMAINS else f"{_text(node.domain)}."
    return Node(
        operator=f"{domain}{_text(node.op_type)}",
        name=_text(node.name),
        scope=_scope(node),
        inputs=tuple(map(_text, node.input)),
        outputs=tuple(map(_text, node.output)),
        attributes={_text(each.name): _attribute(path, each) for each in node.attribute},
    )


def _attribute(path: Path, attribute: Any) -> Any:
    import onnx

    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        if attribute.t.data_location == onnx.TensorProto.EXTERNAL:
            raise _refused(path, f"the tensor of an attribute, {attribute.name!r}, lies elsewhere")
        return _tensor(path, attribute.t)
    plain = (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS, kinds.STRINGS)
    if attribute.type not in plain:
        return None  # a graph in the graph: no operator that is known has one
    value = onnx.helper.get_attribute_value(attribute)
    return _text(value) if isinstance(value, bytes) else value


def _scope(node: Any) -> str:
    """The module that torch exported a node from, as torch names modules.

    Its newer exporter writes a list of scopes, of which the last is the function; its older one
    names a node by them, as in "/layer1/layer1.0/conv1/Conv".
    """
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = re.findall(r"'([^']*)'", _text(entry.value))
            return scopes[-2] if len(scopes) > 1 else ""
    found = ""
    for part in _text(node.name).split("/")[1:-1]:
        last = found.rpartition(".")[2]
        nested = part.startswith(f"{last}.") if last else False
        found = f"{found}{part[len(last) :]}" if nested else f"{found}.{part}".strip(".")
    return found


def _tensor(path: Path, tensor: Any) -> Tensor:
    import onnx

    dtype = _dtype(tensor.data_type)
    if dtype is None or str(dtype) not in _DTYPES:
        raise DataError(
            f"cannot open {path}",
            why=f"the tensor {tensor.name!r} has {dtype or 'unknown'} values",
            fix="export it in float32",
        )
    try:
        return torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
    except (TypeError, ValueError, MemoryError):
        raise _refused(path, f"the tensor {tensor.name!r} is damaged") from None


def _dtype(number: int) -> np.dtype[Any] | None:
    """The type of that number; None of one that NumPy has not."""
    import onnx

    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, TypeError, ValueError):
        return None


def _load_outside_tensors(path: Path, graph: Any) -> None:
    """Put weights that lie in other files of the folder into the model itself."""
    import onnx

    total = 0
    for tensor in graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        said = {_text(each.key): _text(each.value) for each in tensor.external_data}
        dtype, offset = _dtype(tensor.data_type), said.get("offset", "0")
        if dtype is None or min(tensor.dims, default=0) < 0 or not offset.isdecimal():
            raise _refused(path, f"the tensor {tensor.name!r} is damaged")
        length = prod(tensor.dims) * dtype.itemsize
        total += length
        if total > MAX_BYTES:
            raise _refused(path, f"its weights are over the limit of {MAX_BYTES} bytes")
        tensor.raw_data = _part(path, said.get("location", ""), int(offset[:18]), length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _part(path: Path, location: str, offset: int, length: int) -> bytes:
    """Bytes of a file that lies beside a model, which must be in the model's own folder."""
    folder = path.parent.resolve()
    try:
        file = folder / location
        status = file.lstat()
        own = folder in file.parents and file.resolve() == file
    except (OSError, RuntimeError, ValueError):
        raise _refused(path, f"{location!r}, which has its weights, is not beside it") from None
    if not own or not stat.S_ISREG(status.st_mode):
        raise _refused(path, f"{location!r}, said to have its weights, is no file of its folder")
    if offset + length > status.st_size:
        raise _refused(path, f"{location!r}, which has its weights, ends too early")
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(length)
    except OSError as error:
        raise _refused(path, f"{location!r}, which has its weights: {os_reason(error)}") from None


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"cannot open {path}", why=why)
