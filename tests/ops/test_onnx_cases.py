"""Every single-node case of the ONNX backend tests for the operators of this room.

Left out are those of max pooling that ask for the indices of the maxima as well.

The tolerance is each case's own (1e-3 relative: some of the answers are written to four digits).
"""

import warnings

import numpy as np
import pytest
import torch

from striate import ops

onnx = pytest.importorskip("onnx")

OPERATORS = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
)  # fmt: skip


def load_cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, from onnx making the cases of other operators
        cases = load_model_tests(kind="node")
    single = [case for case in cases if case.model and len(case.model.graph.node) == 1]
    nodes = [(case, case.model.graph.node[0]) for case in single]
    return [case for case, n in nodes if n.op_type in OPERATORS and len(n.output) == 1]


def padding_of(attributes, rank):
    names = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto in names:
        return names[auto]
    pads = attributes.get("pads", [0] * 2 * rank)
    return [(pads[axis], pads[axis + rank]) for axis in range(rank)]


def convolution(x, weight, bias=None, attributes=None):
    return ops.convolve(
        x,
        weight,
        bias,
        stride=attributes.get("strides", 1),
        padding=padding_of(attributes, x.ndim - 2),
        dilation=attributes.get("dilations", 1),
        groups=attributes.get("group", 1),
    )


def transposed_padding(attributes, x, weight):
    """ONNX may give the output's shape instead of the padding."""
    rank = x.ndim - 2
    strides = attributes.get("strides", [1] * rank)
    shape = attributes.get("output_shape")
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto.startswith("SAME") and shape is None:
        shape = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    extra = list(attributes.get("output_padding", [0] * rank))
    if shape is None:
        return padding_of(attributes, rank), extra
    dilations = attributes.get("dilations", [1] * rank)
    pads = []
    for axis in range(rank):
        full = (x.shape[2 + axis] - 1) * strides[axis] + 1
        full += (weight.shape[2 + axis] - 1) * dilations[axis] + extra[axis]
        total = full - shape[axis]
        if total < 0:
            extra[axis], total = extra[axis] - total, 0
        greater = total - total // 2
        pads.append((total // 2, greater) if auto == "SAME_UPPER" else (greater, total // 2))
    return pads, extra


def transposed(x, weight, bias=None, attributes=None):
    padding, extra = transposed_padding(attributes, x, weight)
    return ops.convolve_transposed(
        x,
        weight,
        bias,
        stride=attributes.get("strides", 1),
        padding=padding,
        dilation=attributes.get("dilations", 1),
        groups=attributes.get("group", 1),
        output_padding=extra,
    )


def pool_arguments(x, attributes):
    return {
        "kernel_size": attributes["kernel_shape"],
        "stride": attributes.get("strides", 1),
        "padding": padding_of(attributes, x.ndim - 2),
        "dilation": attributes.get("dilations", 1),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


def run(node, inputs):
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x = inputs[0]
    match node.op_type:
        case "Conv":
            return (convolution(*inputs, attributes=attributes),)
        case "ConvTranspose":
            return (transposed(*inputs, attributes=attributes),)
        case "MaxPool":
            return (ops.max_pool(x, **pool_arguments(x, attributes)),)
        case "AveragePool":
            include = bool(attributes.get("count_include_pad", 0))
            pooled = ops.avg_pool(x, **pool_arguments(x, attributes), count_include_pad=include)
            return (pooled,)
        case "GlobalMaxPool":
            return (ops.global_max_pool(x),)
        case "GlobalAveragePool":
            return (ops.global_avg_pool(x),)


def test_every_case_passes():
    cases = load_cases()
    assert len(cases) >= 58
    assert {case.model.graph.node[0].op_type for case in cases} == set(OPERATORS)
    for case in cases:
        node = case.model.graph.node[0]
        for inputs, expected in case.data_sets:
            outputs = run(node, [torch.from_numpy(np.array(array)) for array in inputs])
            assert len(outputs) == len(expected)
            for ours, theirs in zip(outputs, expected, strict=True):
                assert ours.numpy().dtype == theirs.dtype, case.name
                np.testing.assert_allclose(
                    ours.numpy(), theirs, rtol=case.rtol, atol=case.atol, err_msg=case.name
                )
