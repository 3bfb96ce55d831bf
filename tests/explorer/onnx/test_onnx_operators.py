"""Each operator gives ONNX Runtime's numbers, for one item and for several."""

import numpy as np
import onnx
import pytest
import torch

from striate.explorer.onnx.file import read_onnx
from striate.explorer.onnx.network import read_network
from striate.explorer.onnx.runtime import in_onnx_runtime
from striate.nn.fuse import fold_batch_norm

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


MAP, SERIES, VOLUME, VECTOR = (1, 4, 9, 8), (1, 4, 11), (1, 2, 6, 7, 5), (1, 6)
KERNEL, BIAS = normal(6, 4, 3, 3), normal(6)

CASES = {
    "conv": ("Conv", MAP, [KERNEL, BIAS], {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    "conv uneven": ("Conv", MAP, [KERNEL, BIAS], {"pads": [0, 1, 1, 2], "strides": [2, 2]}),
    "conv same": ("Conv", MAP, [KERNEL], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv same lower": ("Conv", MAP, [KERNEL], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "conv valid": ("Conv", MAP, [KERNEL], {"auto_pad": "VALID"}),
    "conv dilated": ("Conv", MAP, [KERNEL], {"dilations": [2, 3]}),
    "conv groups": ("Conv", MAP, [normal(8, 2, 3, 3)], {"group": 2}),
    "conv series": ("Conv", SERIES, [normal(5, 4, 4), normal(5)], {"pads": [1, 2]}),
    "conv volume": ("Conv", VOLUME, [normal(3, 2, 3, 2, 3)], {"pads": [1, 0, 1, 1, 1, 1]}),
    "gemm": ("Gemm", VECTOR, [normal(6, 5), normal(5)], {}),
    "gemm turned": ("Gemm", VECTOR, [normal(5, 6), normal(1, 5)], {"transB": 1}),
    "gemm scaled": ("Gemm", VECTOR, [normal(6, 5), normal(5)], {"alpha": 0.5, "beta": 2.0}),
    "gemm single bias": ("Gemm", VECTOR, [normal(6, 5), normal(1)], {}),
    "matmul": ("MatMul", (1, 5, 6), [normal(6, 3)], {}),
    "matmul of maps": ("MatMul", MAP, [normal(1, 4, 8, 3)], {}),
    "batch norm": (
        "BatchNormalization",
        MAP,
        [normal(4), normal(4), normal(4), RNG.random(4).astype(np.float32) + 0.5],
        {"epsilon": 1e-3},
    ),
    "batch norm of a vector": (
        "BatchNormalization",
        VECTOR,
        [normal(6), normal(6), normal(6), RNG.random(6).astype(np.float32) + 0.5],
        {},
    ),
    "layer norm": ("LayerNormalization", (1, 5, 6), [normal(6), normal(6)], {"epsilon": 1e-6}),
    "layer norm without shift": ("LayerNormalization", (1, 5, 6), [normal(6)], {}),
    "instance norm": ("InstanceNormalization", MAP, [normal(4), normal(4)], {}),
    "lrn": ("LRN", MAP, [], {"size": 3, "alpha": 0.1, "bias": 2.0}),
    "max pool": ("MaxPool", MAP, [], {"kernel_shape": [3, 2], "strides": [2, 2]}),
    "max pool ceil": (
        "MaxPool",
        MAP,
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "max pool uneven": ("MaxPool", MAP, [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}),
    "max pool same": (
        "MaxPool",
        MAP,
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "max pool dilated": ("MaxPool", MAP, [], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
    "average pool": ("AveragePool", MAP, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average pool counted": (
        "AveragePool",
        MAP,
        [],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "average pool uneven": (
        "AveragePool",
        MAP,
        [],
        {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1},
    ),
    "average pool volume": ("AveragePool", VOLUME, [], {"kernel_shape": [2, 3, 2]}),
    "global average": ("GlobalAveragePool", VOLUME, [], {}),
    "global maximum": ("GlobalMaxPool", SERIES, [], {}),
    "flatten": ("Flatten", MAP, [], {}),
    "flatten at 2": ("Flatten", MAP, [], {"axis": 2}),
    "softmax": ("Softmax", MAP, [], {"axis": 1}),
    "clip": ("Clip", MAP, [np.float32(-0.5), np.float32(0.25)], {}),
    "clip to 6": ("Clip", MAP, [np.float32(0), np.float32(6)], {}),
    "clip below": ("Clip", MAP, [np.float32(0)], {}),
    "hard sigmoid": ("HardSigmoid", MAP, [], {"alpha": 0.3, "beta": 0.4}),
    "hard sigmoid of mobile nets": ("HardSigmoid", MAP, [], {"alpha": 1 / 6, "beta": 0.5}),
    "leaky relu": ("LeakyRelu", MAP, [], {"alpha": 0.1}),
    "prelu": ("PRelu", MAP, [normal(4, 1, 1)], {}),
    "elu": ("Elu", MAP, [], {"alpha": 0.7}),
    **{
        name: (name, MAP, [], {})
        for name in [
            "Relu",
            "Sigmoid",
            "Tanh",
            "HardSwish",
            "Mish",
            "Softplus",
            "Softsign",
            "Abs",
            "Neg",
            "Exp",
            "Erf",
            "Floor",
            "Ceil",
            "Round",
            "Sign",
            "Sin",
            "Cos",
            "Identity",
        ]
    },
    "add": ("Add", MAP, [normal(4, 1, 1)], {}),
    "subtract": ("Sub", MAP, [normal(1)], {}),
    "multiply": ("Mul", MAP, [normal(1, 4, 9, 1)], {}),
    "divide": ("Div", MAP, [normal(8)], {}),
    "power": ("Pow", MAP, [np.float32(2)], {}),
    "maximum": ("Max", MAP, [normal(8)], {}),
    "mean of axes": ("ReduceMean", MAP, [ints(2, 3)], {"keepdims": 1}),
    "sum of an axis": ("ReduceSum", MAP, [ints(-1)], {"keepdims": 0}),
    "maximum of axes": ("ReduceMax", MAP, [ints(2, 3)], {}),
    "length": ("ReduceL2", VECTOR, [ints(1)], {}),
    "reshape": ("Reshape", MAP, [ints(0, 2, -1, 8)], {}),
    "transpose": ("Transpose", MAP, [], {"perm": [0, 2, 3, 1]}),
    "squeeze": ("Squeeze", (1, 4, 1, 3), [ints(2)], {}),
    "unsqueeze": ("Unsqueeze", VECTOR, [ints(1, -1)], {}),
    "concat": ("Concat", MAP, [normal(1, 2, 9, 8)], {"axis": 1}),
    "slice": ("Slice", MAP, [ints(1, -4), ints(9, 100), ints(2, 3), ints(2, 1)], {}),
    "slice backwards": ("Slice", MAP, [ints(-1), ints(-(2**62)), ints(3), ints(-1)], {}),
    "gather": ("Gather", MAP, [ints(3, 0, -1)], {"axis": 1}),
    "gather one": ("Gather", MAP, [np.array(-2)], {"axis": 2}),
    "gather places": ("GatherND", MAP, [np.array([[[0, 2], [0, -1]], [[0, 0], [0, 3]]])], {}),
    "pad": ("Pad", MAP, [ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.5)], {}),
    "pad channels": ("Pad", MAP, [ints(0, 1, 0, 0, 0, 2, 0, 3)], {}),
    "pad nothing": ("Pad", MAP, [ints(0, 0, 0, 0, 0, 0, 0, 0)], {}),
    "pad named axes": ("Pad", MAP, [ints(1, -2), np.float32(0), ints(-1)], {}),
    "pad reflected": ("Pad", MAP, [ints(0, 0, 1, 2, 0, 0, 3, 0)], {"mode": "reflect"}),
    "expand": ("Expand", (1, 4, 1), [ints(1, 1, 3)], {}),
    "tile": ("Tile", SERIES, [ints(1, 2, 1)], {}),
    "where": ("Where", MAP, [], {}),
    "einsum": ("Einsum", (1, 5, 6), [normal(6, 3)], {"equation": "bik,kj->bij"}),
}

SEVERAL = ("flatten at 2", "gather places")
"""Of these one item becomes several rows."""


def file_of(name, graph_file):
    operator, shape, constants, settings = CASES[name]
    names = [f"c{number}" for number in range(len(constants))]
    if operator == "Where":
        nodes = [
            onnx.helper.make_node("Greater", ["x", "zero"], ["over"]),
            onnx.helper.make_node("Where", ["over", "x", "zero"], ["y"]),
        ]
        return graph_file(nodes, shape, {"zero": np.float32(0)}), shape
    node = onnx.helper.make_node(operator, ["x", *names], ["y"], **settings)
    return graph_file([node], shape, dict(zip(names, constants, strict=True))), shape


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_onnx_runtimes(name, graph_file):
    path, shape = file_of(name, graph_file)
    file = read_onnx(path)
    network = read_network(file, "x", "y", shape[1:])
    x = normal(*shape)
    expected = in_onnx_runtime(file, "x", "y", x)
    with torch.no_grad():
        got = network(torch.from_numpy(x))
    np.testing.assert_allclose(got.numpy().reshape(-1), expected, rtol=1e-4, atol=1e-5)
    assert network.output_shape[0] == len(got) == 1 or name in SEVERAL


def test_items_of_a_batch_do_not_mix(graph_file):
    nodes = [
        onnx.helper.make_node("Shape", ["x"], ["sizes"], start=0, end=1),
        onnx.helper.make_node("Concat", ["sizes", "rest"], ["wanted"], axis=0),
        onnx.helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "w"], ["y"]),
    ]
    path = graph_file(nodes, ("n", 2, 3), {"rest": ints(-1), "w": normal(6, 4)})
    network = read_network(read_onnx(path), "x", "y", (2, 3))
    x = torch.from_numpy(normal(5, 2, 3))
    single = torch.cat([network(item) for item in x.split(1)])
    torch.testing.assert_close(network(x), single)
    assert network(x).shape == (5, 4)


def test_gelu_and_gates_are_put_together_again(graph_file):
    make = onnx.helper.make_node
    root, half, one = np.float32(2**0.5), np.float32(0.5), np.float32(1)
    nodes = [
        make("Div", ["x", "root"], ["a"]),
        make("Erf", ["a"], ["b"]),
        make("Add", ["b", "one"], ["c"]),
        make("Mul", ["x", "c"], ["d"]),
        make("Mul", ["d", "half"], ["e"]),
        make("Sigmoid", ["e"], ["f"]),
        make("Mul", ["e", "f"], ["g"]),
        make("MatMul", ["g", "w"], ["h"]),
        make("Add", ["bias", "h"], ["y"]),
    ]
    constants = {"root": root, "half": half, "one": one, "w": normal(6, 3), "bias": normal(3)}
    file = read_onnx(graph_file(nodes, VECTOR, constants))
    network = read_network(file, "x", "y", (6,))
    kinds = [type(module).__name__ for module in network.children()]
    assert kinds == ["GELU", "SiLU", "Linear"]
    x = normal(*VECTOR)
    got = network(torch.from_numpy(x)).numpy().reshape(-1)
    np.testing.assert_allclose(got, in_onnx_runtime(file, "x", "y", x), rtol=1e-4, atol=1e-6)


def test_what_only_looks_like_gelu_is_left(graph_file):
    make = onnx.helper.make_node
    nodes = [
        make("Div", ["x", "root"], ["a"]),
        make("Erf", ["a"], ["b"]),
        make("Add", ["b", "one"], ["c"]),
        make("Mul", ["x", "c"], ["d"]),
        make("Mul", ["d", "third"], ["y"]),
    ]
    constants = {"root": np.float32(2**0.5), "one": np.float32(1), "third": np.float32(1 / 3)}
    file = read_onnx(graph_file(nodes, VECTOR, constants))
    network = read_network(file, "x", "y", (6,))
    x = normal(*VECTOR)
    got = network(torch.from_numpy(x)).numpy().reshape(-1)
    np.testing.assert_allclose(got, in_onnx_runtime(file, "x", "y", x), rtol=1e-4, atol=1e-6)


def test_a_copy_has_layers_of_its_own(graph_file):
    make = onnx.helper.make_node
    norm = [normal(6), normal(6), normal(6), RNG.random(6).astype(np.float32) + 0.5]
    names = ["scale", "shift", "mean", "variance"]
    nodes = [
        make("Conv", ["x", "kernel"], ["a"]),
        make("BatchNormalization", ["a", *names], ["y"]),
    ]
    constants = {"kernel": KERNEL, **dict(zip(names, norm, strict=True))}
    network = read_network(read_onnx(graph_file(nodes, MAP, constants)), "x", "y", MAP[1:])
    x = torch.from_numpy(normal(*MAP))
    folded = fold_batch_norm(network, x)
    assert [type(layer).__name__ for layer in folded.children()] == ["Conv2d", "Identity"]
    torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)
