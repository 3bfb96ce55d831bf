"""Networks and graphs of single operators as ONNX files."""

import warnings

import numpy as np
import onnx
import pytest
import torch


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A function that exports a network by torch.onnx, and returns the file and the logits of an item."""
    folder = tmp_path_factory.mktemp("onnx")

    def export(name, network, shape, *, dynamo=False, opset=17):
        path = folder / f"{name}.onnx"
        options = {"external_data": False} if dynamo else {"input_names": ["x"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                (torch.zeros(1, *shape),),
                path,
                dynamo=dynamo,
                opset_version=opset,
                verbose=False,
                **options,
            )
        return path

    return export


@pytest.fixture
def graph_file(tmp_path):
    """A function that writes a graph of one input of some nodes, with constants by name."""

    def write(nodes, shape, constants=None, *, opset=18, output="y", dtype=np.float32, name="m"):
        helper = onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", kind, shape)],
            [onnx.ValueInfoProto(name=output)],
            [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write
