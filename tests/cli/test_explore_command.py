import re
import signal
import sys
import time
import urllib.request

import numpy as np
import pytest


def test_the_first_line_is_the_address_and_a_signal_ends_it(launcher):
    launcher.start(["explore", "conv4-relu-gap-fc2", "--input", "3,12,12"])
    deadline = time.monotonic() + 60
    while not (said := launcher.text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (address,) = said.split()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    with urllib.request.urlopen(f"{address}/api/network", timeout=20) as answer:
        assert answer.status == 200
    launcher.signal(signal.SIGTERM)
    assert launcher.wait() == 143


def test_a_page_is_saved(call, tmp_path):
    folder = tmp_path / "page"
    code, out, _ = call("explore", "conv3-relu-gap-fc2", "--input", "1,8,8", "--save", folder)
    assert code == 0
    assert out.strip() == str(folder / "index.html")
    assert (folder / "index.html").read_text().startswith("<!doctype html>")


def test_an_onnx_file_is_saved(call, refused, tmp_path):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "k"], ["a"]),
        make("ReduceMean", ["a"], ["b"], axes=[2, 3], keepdims=0),
        make("Softmax", ["b"], ["y"]),
    ]
    given = onnx.helper.make_tensor_value_info("x", 1, ["n", 3, "h", "w"])
    kernel = onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "k")
    graph = onnx.helper.make_graph(nodes, "g", [given], [onnx.ValueInfoProto(name="y")], [kernel])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    folder = tmp_path / "page"
    options = ("--input", "3,9,8", "--save", folder)
    code, out, _ = call("explore", tmp_path / "m.onnx", *options)
    assert (code, out.strip()) == (0, str(folder / "index.html"))
    for wrong in (["--input", "1,9,9"], ["--with", "run"]):
        assert refused("explore", str(tmp_path / "m.onnx"), *wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.onnx"], "cannot read none.onnx: file not found"),
        (["lenet6"], "unknown model 'lenet6'; did you mean"),
        (["lenet5", "--input", "3"], "CHANNELS,SIZE"),
        (["lenet5", "--input", "3,4,4"], "the minimum along each axis is 16"),
        (["gcn"], "takes graphs"),
        (["lenet5", "--item", "none.png"], "none.png"),
        (["lenet5", "--with", "run"], "--with: 'lenet5' is no run"),
        (["lenet5", "--patch-out", "patch.csv"], "--patch-out: 'lenet5' is no run"),
    ],
)
def test_what_cannot_be_explored_is_told_in_one_line(arguments, message, refused):
    assert message in refused("explore", *arguments)


def test_the_extra_is_named_where_it_is_missing(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    line = refused("explore", "conv4-gap-fc2", "--input", "3,8,8", code=3)
    assert 'pip install "striate[explore]"' in line
