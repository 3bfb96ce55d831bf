"""What cannot be opened is told in one line, and nothing large is made of small files."""

import os

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from striate.errors import ArgumentError, DataError, MissingExtraError
from striate.explorer.onnx import file as onnx_file
from striate.explorer.onnx import network as onnx_network
from striate.explorer.onnx.file import read_onnx
from striate.explorer.onnx.parts import parts_of
from striate.explorer.subjects import onnx_subject
from striate.explorer.subjects.onnx_subject import OnnxSubject

make = onnx.helper.make_node
IMAGE = (1, 3, 8, 8)
HEAD = [
    make("GlobalAveragePool", ["x"], ["pooled"]),
    make("Flatten", ["pooled"], ["flat"]),
    make("Gemm", ["flat", "w"], ["y"]),
]
WEIGHTS = {"w": np.arange(12, dtype=np.float32).reshape(3, 4)}


def refused(path, error=DataError):
    with pytest.raises(error) as found:
        parts_of(read_onnx(path))
    line = str(found.value)
    assert "\n" not in line and str(path) in line
    return line


def test_a_sound_file_is_not_refused(graph_file):
    assert parts_of(read_onnx(graph_file(HEAD, IMAGE, WEIGHTS))).outputs == 4


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty file"),
        (b"<html>no model</html>", "no ONNX file"),
        (b"\x00" * 99, "no ONNX file"),
    ],
)
def test_what_is_no_onnx_file(content, why, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    assert why in refused(tmp_path / "m.onnx")


def test_a_file_that_ends_too_early_or_has_a_changed_byte(graph_file):
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        cut = damaged if rng.random() < 0.5 else damaged[: rng.integers(len(whole))]
        path.write_bytes(bytes(cut))
        try:
            parts_of(read_onnx(path))
        except (DataError, ArgumentError) as error:
            assert "\n" not in str(error)


def test_what_is_not_there_or_no_file(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    assert "not a regular file" in refused(tmp_path / "model.onnx")
    with pytest.raises(DataError, match=r"did you mean '.*model\.onnx'"):
        read_onnx(tmp_path / "modle.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "not a regular file" in refused(tmp_path / "pipe.onnx")


def test_a_file_over_the_limits(graph_file, monkeypatch):
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    monkeypatch.setattr(onnx_file, "MAX_NODES", 2)
    assert "3 nodes, over the limit of 2" in refused(path)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    assert "over the limit of 100" in refused(path)


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("NonMaxSuppression", "does not know its operator NonMaxSuppression (node 'odd')"),
        ("Loop", "does not know its operator Loop"),
        ("QLinearConv", "it is quantized (operator QLinearConv); open the float32 file"),
    ],
)
def test_an_operator_that_is_not_known(operator, line, graph_file):
    nodes = [make(operator, ["x"], ["z"], name="odd"), make("Gemm", ["z", "w"], ["y"])]
    assert line in refused(graph_file(nodes, IMAGE, WEIGHTS))


def test_an_operator_of_others(graph_file):
    nodes = [make("Relu", ["x"], ["y"], domain="com.example")]
    assert "com.example.Relu" in refused(graph_file(nodes, IMAGE))


def test_a_node_that_does_not_fit(graph_file):
    conv = make("Conv", ["x", "k"], ["y"], name="c")
    line = refused(graph_file([conv], IMAGE, {"k": np.zeros((2, 5, 3, 3), np.float32)}))
    assert "its operator Conv (node 'c'): its kernel does not fit its input" in line
    far = [make("Add", ["x", "k"], ["z"]), make("Gemm", ["nothing", "w"], ["y"])]
    line = refused(graph_file(far, IMAGE, WEIGHTS | {"k": np.float32(1)}))
    assert "nothing before it gives its input 'nothing'" in line


@pytest.mark.parametrize(
    ("shape", "dtype", "why"),
    [
        ((1, 3, 8, 8), np.float16, "float16 values"),
        ((1, 3, 8, 8), np.int64, "int64 values"),
        ((1, 8), np.float32, "its input has 2 axes"),
        ((1, 2, 3, 4, 5, 6), np.float32, "its input has 6 axes"),
    ],
)
def test_an_input_that_is_not_shown(shape, dtype, why, graph_file):
    assert why in refused(graph_file([make("Relu", ["x"], ["y"])], shape, dtype=dtype))


def test_weights_that_are_not_computed(graph_file):
    path = graph_file(HEAD, IMAGE, {"w": WEIGHTS["w"].astype(np.float16)})
    assert "'w' has float16 values; export it in float32" in refused(path)


def test_an_output_that_is_no_classifiers(graph_file):
    line = refused(graph_file([make("Relu", ["x"], ["y"])], IMAGE))
    assert "its output 'y' is 1 x 3 x 8 x 8, not a number for each class" in line


def test_an_output_that_does_not_depend_on_the_input(graph_file):
    path = graph_file([make("Relu", ["w"], ["y"])], IMAGE, WEIGHTS)
    assert "does not depend on its input" in refused(path)


def test_a_small_file_that_wants_much_memory(graph_file):
    huge = np.array([1, 3, 2**20, 2**20], np.int64)
    pads = np.array([0, 0, 0, 0, 0, 0, 2**20, 2**20], np.int64)
    for node, constant in (
        ("Expand", huge),
        ("Tile", np.array([1, 1, 2**16, 2**16])),
        ("Pad", pads),
    ):
        path = graph_file([make(node, ["x", "k"], ["y"])], (1, 3, 1, 1), {"k": constant})
        assert "it computes more than" in refused(path)
    nodes = [make("ConstantOfShape", ["k"], ["z"]), make("Add", ["x", "z"], ["y"])]
    assert "it computes more than" in refused(graph_file(nodes, IMAGE, {"k": huge}))
    nodes = [make("Range", ["a", "b", "c"], ["y"])]
    path = graph_file(nodes, IMAGE, {"a": np.int64(0), "b": np.int64(2**40), "c": np.int64(1)})
    assert "it is too long" in refused(path)


def test_a_small_file_that_wants_much_time(graph_file, monkeypatch):
    monkeypatch.setattr(onnx_network, "MAX_MULTIPLY_ADDS", 10)
    assert "products" in refused(graph_file(HEAD, IMAGE, WEIGHTS))


def outside(graph_file, location="weights.bin", **changes):
    """A file whose weights lie beside it."""
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    model = onnx.load(path)
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, path)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = changes.get(entry.key, location if entry.key == "location" else entry.value)
    if "dims" in changes:
        model.graph.initializer[0].dims[:] = changes["dims"]
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_file(graph_file):
    path = outside(graph_file)
    np.testing.assert_array_equal(read_onnx(path).constants["w"].numpy(), WEIGHTS["w"])


def test_weights_that_lie_elsewhere_are_not_read(graph_file, tmp_path):
    secret = tmp_path.parent / "secret.bin"
    secret.write_bytes(bytes(1000))
    (tmp_path / "link.bin").symlink_to(secret)
    (tmp_path / "folder").symlink_to(tmp_path.parent)
    for location in (
        "../secret.bin",
        str(secret),
        "link.bin",
        "folder/secret.bin",
        "missing.bin",
        "",
        ".",
        "a\0b",
        "x" * 5000,
    ):
        line = refused(outside(graph_file, location))
        assert "weights" in line


def test_weights_that_are_not_what_the_file_says(graph_file):
    for changes, why in (
        ({"dims": [3, 40]}, "ends too early"),
        ({"dims": [2**40, 2**40]}, "over the limit"),
        ({"dims": [-1, 4]}, "damaged"),
        ({"offset": "10000"}, "ends too early"),
        ({"offset": "-4"}, "damaged"),
        ({"offset": "9" * 30}, "ends too early"),
    ):
        path = outside(graph_file, **changes)
        assert why in refused(path), changes


def test_several_inputs(graph_file):
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", 1, [1]))
    path.write_bytes(model.SerializeToString())
    assert "it takes 2 inputs (x, other)" in refused(path)


def test_a_shape_that_the_file_does_not_take(graph_file):
    file = read_onnx(graph_file(HEAD, ("n", 3, "h", "w"), WEIGHTS))
    assert parts_of(file).shape == (3, 224, 224)
    assert parts_of(file, (3, 16, 20)).shape == (3, 16, 20)
    for shape in ((1, 16, 16), (3, 16)):
        with pytest.raises(ArgumentError, match=r"takes \(3, any, any\)"):
            parts_of(file, shape)


def test_other_numbers_than_onnx_runtimes_are_refused(graph_file, monkeypatch):
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    OnnxSubject(path)
    monkeypatch.setattr(onnx_subject, "in_onnx_runtime", lambda *_: np.full(4, 0.1))
    with pytest.raises(DataError, match="other numbers than ONNX Runtime"):
        OnnxSubject(path)


def test_a_missing_package_names_the_extra(graph_file, monkeypatch):
    path = graph_file(HEAD, IMAGE, WEIGHTS)
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"striate\[onnx\]"):
        read_onnx(path)
