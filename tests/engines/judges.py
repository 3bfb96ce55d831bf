"""What exported files answer in a process of their own that cannot import Striate."""

import os
import subprocess
import sys

import numpy as np

JUDGES = {
    "onnx": ("onnxruntime", "reference"),
    "openvino": ("openvino",),
    "pt2": ("torch",),
}
"""Who reads the file of each engine, as functions below; `reference` is ONNX's own evaluator."""

_ANSWER = """
import sys

sys.modules["striate"] = None  # an import of it fails

import numpy as np


def onnxruntime(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def reference(path, x):
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(path)
    return session.run(None, {session.input_names[0]: x})


def openvino(path, x):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(value) for value in model(x).values()]


def torch(path, x):
    import torch

    module = torch.export.load(path).module()
    return [tensor.detach().numpy() for tensor in module(torch.from_numpy(x))]


judge, path, inputs, outputs, count = sys.argv[1:]
given = np.load(inputs)
if judge == "reference":
    given = given[: int(count)]
np.savez(outputs, *globals()[judge](path, given))
"""


def judged(path, engine, inputs, folder, reference_items):
    """The outputs of a file by each of its readers, by their names.

    Args:
        path: The file.
        engine: Name of the engine that it was written for.
        inputs: Array of all items.
        folder: Where the arrays that are passed on may lie.
        reference_items: Items that the slow evaluator answers: the first ones.
    """
    np.save(folder / "inputs.npy", inputs)
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    found = {}
    for judge in JUDGES[engine]:
        outputs = folder / f"{judge}.npz"
        arguments = [judge, path, folder / "inputs.npy", outputs, reference_items]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _ANSWER, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
        )
        assert done.returncode == 0, f"{judge}: {done.stderr[-2000:]}"
        with np.load(outputs) as arrays:
            found[judge] = [arrays[f"arr_{place}"] for place in range(len(arrays.files))]
    return found


def assert_same_answers(found, expected, tolerance=1e-4):
    """Every reader's logits are those expected, and so is the class of every item.

    Args:
        found: What `judged` gave.
        expected: Uncalibrated outputs of all items.
        tolerance: Of a difference, relative to the largest output.
    """
    for judge, (outputs, *_) in found.items():
        wanted = expected[: len(outputs)]
        assert outputs.shape == wanted.shape and outputs.dtype == np.float32, judge
        apart = np.abs(outputs - wanted).max() / np.abs(wanted).max()
        assert apart <= tolerance, f"{judge}: {apart:.1e}"
        assert (outputs.argmax(1) == wanted.argmax(1)).all(), judge
