"""What ONNX Runtime makes of a part of a file, as the judge of what the page computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from striate.engines.engine import library_errors
from striate.explorer.onnx.file import OnnxFile


def in_onnx_runtime(
    file: OnnxFile, given: str, made: str, x: NDArray[Any]
) -> Float[np.ndarray, " outputs"]:
    """One value of a file, computed by ONNX Runtime from another.

    Args:
        file: The file.
        given: Name of the value that `x` is.
        made: Name of the value that is wanted.
        x: (1, ...) With the type that the file wants.

    Raises:
        EngineError: ONNX Runtime cannot compute it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    with library_errors(f"ONNX Runtime does not run {file.path}"):
        session = onnxruntime.InferenceSession(
            _part(file, given, made, x).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        return np.asarray(session.run([made], {given: x})[0]).reshape(-1)


def _part(file: OnnxFile, given: str, made: str, x: NDArray[Any]) -> Any:
    """A model of the nodes between two values."""
    import onnx

    graph, wanted, nodes = file.model.graph, {made}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output) and given not in node.output:
            nodes.append(node)
            wanted.update(node.input)
    kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    part = onnx.helper.make_graph(
        nodes[::-1],
        "part",
        [onnx.helper.make_tensor_value_info(given, kind, x.shape)],
        [onnx.ValueInfoProto(name=made)],
        [tensor for tensor in graph.initializer if tensor.name in wanted],
    )
    return onnx.helper.make_model(
        part, opset_imports=file.model.opset_import, ir_version=file.model.ir_version
    )
