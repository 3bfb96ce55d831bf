"""The ONNX file that takes whole pictures, and the reader that needs no Striate."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.data.stores.resizing import MAX_ASPECT, resize_shorter
from striate.engines.onnx_pictures import INPUT, PictureShape, add_pictures
from striate.errors import ArgumentError, EngineError
from striate.kinds.image.framing import cropped, fill_of, fitted
from striate.run.deployment import picture_reader
from striate.run.export import export

SIZE = 48
SPACES = [(48, 48), (30, 41), (97, 49), (300, 200), (33, 900), (700, 11), (4, 4), (260, 371)]
FILL = (124.0, 116.0, 104.0)

HIDDEN = """
import runpy, sys
for name in ("striate", "torch", "torchvision", "onnx", "scipy"):
    sys.modules[name] = None
reader = sys.argv[1]
sys.argv = sys.argv[1:]
runpy.run_path(reader, run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(kernel_run, tmp_path_factory):
    return export(kernel_run, "onnx", out=tmp_path_factory.mktemp("export") / "model.onnx")


@pytest.mark.parametrize(
    ("frame", "fill"), [((SIZE, SIZE), None), ((SIZE, SIZE), FILL), ((32, 96), FILL)]
)
def test_every_runtime_gives_the_pixels_that_predict_sees(frame, fill, tmp_path):
    import onnx
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    info = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, ["items", 3, *frame])
        for name in ("pixels", "seen")
    ]
    node = onnx.helper.make_node("Identity", ["pixels"], ["seen"])
    graph = onnx.helper.make_graph([node], "seen", info[:1], info[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "a")
    shape = PictureShape(size=SIZE, max_aspect=MAX_ASPECT, frame=frame, fill=fill)
    add_pictures(tmp_path / "a", tmp_path / "b.onnx", shape, "pixels")
    onnx.checker.check_model(onnx.load(tmp_path / "b.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "b.onnx")
    reference = ReferenceEvaluator(str(tmp_path / "b.onnx"))
    rng = np.random.default_rng(0)
    for height, width in SPACES:
        images = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        for answer in (session.run(None, {INPUT: images}), reference.run(None, {INPUT: images})):
            for image, seen in zip(images, answer[0], strict=True):
                kept = resize_shorter(image.transpose(2, 0, 1).copy(), SIZE)
                pixels = torch.from_numpy(kept)
                expected = (
                    cropped(pixels, SIZE)
                    if fill is None
                    else fitted(pixels, frame, fill_of(fill, torch.uint8))
                )
                apart = np.abs(seen.astype(int) - expected.numpy())
                # Exact, but for sums of float32 where a picture is reduced many times.
                assert apart.max() <= (1 if max(height, width) > 4 * SIZE else 0)
                assert (apart > 0).mean() < 0.01


def test_the_certificate_covers_test_items_and_odd_files(exported, kernel_run):
    parity = json.loads(exported.path.with_name("parity.json").read_text())
    assert parity["files"].pop("test items") == kernel_run.report.split_sizes["test"]
    assert set(parity["files"]) == {
        *("rotated.jpg", "grey.png", "cmyk.jpg", "alpha.png", "tiny.png", "huge.jpg")
    }
    assert parity["same"] == kernel_run.report.split_sizes["test"] + 6
    assert parity["largest"] <= 1e-3


def test_the_reader_answers_as_predict_without_striate_and_torch(exported, kernel_run, photos):
    paths = sorted(str(path) for path in photos.rglob("0*.*"))
    reader = exported.path.with_name("predict.py")
    assert len(reader.read_text().splitlines()) <= 60
    command = [sys.executable, "-c", HIDDEN, str(reader), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for prediction, answered in zip(kernel_run.predict(paths), found, strict=True):
        assert answered["item"] == prediction.item
        assert list(answered["answer"]) == list(kernel_run.classes)
        np.testing.assert_allclose(
            list(answered["answer"].values()), prediction.probabilities, atol=1e-3, rtol=0
        )
        assert answered["label"] == prediction.label and "undecided" not in answered


@pytest.mark.parametrize(
    "aim",
    [
        pytest.param({"target_recall": {"disc": 0.9}}, id="target_recall", marks=pytest.mark.slow),
        pytest.param({"error_costs": {"disc": 4}}, id="error_costs"),
        pytest.param({"cost_unknown": 0.5}, id="cost_unknown", marks=pytest.mark.slow),
    ],
)
def test_the_reader_decides_as_the_run_was_told(aim, photos, tmp_path):
    layers = "[conv8-relu]x2 - gap - fc10"  # its answers are not all near 0 or 1
    options = {"method": "scratch", "model": layers, "epochs": 1, "image_size": 64}
    run = striate.fit(photos, out=tmp_path / "run", device="cpu", **options, **aim)
    exported = export(run, "onnx", out=tmp_path / "model.onnx")
    paths = sorted(str(path) for path in photos.rglob("*.*"))
    command = [sys.executable, "-c", HIDDEN, str(tmp_path / "predict.py"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    predicted = run.predict(paths)
    assert [entry["label"] for entry in found] == [prediction.label for prediction in predicted]
    assert [entry.get("undecided") for entry in found] == [one.undecided for one in predicted]
    if "cost_unknown" in aim:
        assert {one.undecided for one in predicted} == {True, False}
    else:
        assert any(one.label != one.top(1)[0][0] for one in predicted)
    parity = json.loads((tmp_path / "parity.json").read_text())
    (judged,) = (entry for entry in parity["beside"] if entry["name"] == "decision")
    assert judged["same"] + judged["ties"] == judged["count"] == sum(parity["files"].values())
    assert exported.card["outputs"][1]["cost_unknown"] == aim.get("cost_unknown")


def test_a_file_that_decides_otherwise_is_refused(kernel_run, tmp_path, monkeypatch):
    """A reader that answers the least probable class, though its probabilities are the run's."""
    right = picture_reader.predict

    def wrong(path, session, card):
        told = right(path, session, card)
        return {**told, "label": min(told["answer"], key=told["answer"].get)}

    monkeypatch.setattr(picture_reader, "predict", wrong)
    with pytest.raises(EngineError, match=r"decision the same for 0 of \d+ pictures"):
        export(kernel_run, "onnx", out=tmp_path / "model.onnx")
    assert not (tmp_path / "pictures.onnx").exists()


def test_the_documented_lines_give_the_answer_of_predict(exported, kernel_run, photos, tmp_path):
    page = Path(__file__).parents[2] / "docs" / "command-line.md"
    (code,) = re.findall(r"```python no-run\n(import sys\n.*?)```", page.read_text(), re.DOTALL)
    picture = photos / "square" / "05.jpg"
    code = code.replace("runs/photos-1/export", str(exported.path.parent))
    script = tmp_path / "script.py"
    script.write_text(code.replace("new.jpg", str(picture)))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    answered = ast.literal_eval(done.stdout)
    (prediction,) = kernel_run.predict(picture)
    shares = list(answered["answer"].values())
    np.testing.assert_allclose(shares, prediction.probabilities, atol=1e-3, rtol=0)


def test_no_file_of_the_users_is_replaced(kernel_run, tmp_path):
    (tmp_path / "predict.py").write_text("mine = True\n")
    with pytest.raises(ArgumentError, match=r"predict\.py"):
        export(kernel_run, "onnx", out=tmp_path / "model.onnx")
    assert (tmp_path / "predict.py").read_text() == "mine = True\n"
