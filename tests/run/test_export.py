"""Exported files, read without Striate, against the run's own predictions."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.data.source import Reading
from striate.engines import load_engines
from striate.engines.torch_export import TorchExport
from striate.errors import ArgumentError, DataError, EngineError, StorageError, UnknownNameError
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.kind import kind_named
from striate.kinds.signal.inputs import SignalInputs
from striate.models import create_model
from striate.run.deployment import check as checking
from striate.run.deployment.answering import Answering, deployment_of
from striate.run.export import export
from striate.run.predictor import Predictor
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.regression.scoring import NumberCalibration


def answers(path, pixels):
    """Outputs of a file by its engine alone."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return session.run(["logits", "probabilities"], {"pixels": pixels})
    if path.suffix == ".xml":
        import openvino

        model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = model({"pixels": pixels})
        return [found["logits"], found["probabilities"]]
    found = torch.export.load(path).module()(torch.from_numpy(pixels))
    return [tensor.detach().numpy() for tensor in found[:2]]


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        pytest.param("kernel_run", "onnx", marks=pytest.mark.slow),
        pytest.param("tuned_run", "openvino", marks=pytest.mark.slow),
        pytest.param("probe_run", "pt2", marks=pytest.mark.slow),
    ],
)
def test_a_file_gives_the_runs_probabilities(kind, to, request, draw, tmp_path):
    run = request.getfixturevalue(kind)
    suffix = load_engines().get(to).suffix
    exported = export(run, to, out=tmp_path / f"m{suffix}")
    assert exported.check.items == "test items"
    assert exported.check.count == run.report.split_sizes["test"]
    assert exported.check.passed
    images = np.stack([draw(shape, 77) for shape in ("disc", "square", "stripes")])
    logits, probabilities = answers(exported.path, images.transpose(0, 3, 1, 2).copy())
    assert logits.shape == (3, 3)
    expected = [prediction.probabilities for prediction in run.predict(images)]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
    card = json.loads((tmp_path / f"m{suffix}.json").read_text())
    assert card["classes"] == list(run.classes)
    assert card["input"]["shape"] == ["items", 3, 64, 64]
    assert card["check"]["same"] == exported.check.count
    assert sorted(tmp_path.iterdir()) == sorted(exported.files)
    if to == "onnx":
        import onnx

        held = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
        assert json.loads(held["striate"])["classes"] == list(run.classes)


@pytest.mark.parametrize("symmetry", ["identity", "dihedral"])
def test_the_module_answers_as_the_predictor(symmetry):
    torch.manual_seed(0)
    network = create_model("resnet18", num_classes=3, weights=None).eval()
    calibration = ClassCalibration(temperature=0.3, bias=(0.1, -0.2, 0.0))
    inputs = ImageInputs(size=40, averaged=symmetry).for_network(network)
    predictor = Predictor(network=network, inputs=inputs, device=torch.device("cpu"))
    pixels = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    with torch.no_grad():
        outputs, probabilities = Answering(network, inputs, calibration.module())(pixels)
    readings = [Reading(array=image.numpy(), sha256="") for image in pixels]
    expected = predictor.outputs(readings)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(probabilities, calibration.answers(expected.numpy()), atol=1e-5)


def test_numbers_come_in_the_unit_of_the_targets():
    calibration = NumberCalibration(mean=-3.0, std=250.0)
    x = torch.tensor([[0.5], [-2.0]])
    inputs = SignalInputs(channels=1, length=1)
    same = torch.nn.Module()
    same.forward_pooled, same.head = lambda view: view, lambda features: features
    outputs, numbers = Answering(same, inputs, calibration.module())(x)
    np.testing.assert_allclose(numbers, calibration.answers(outputs.numpy()), rtol=1e-6)


def test_what_cannot_be_exported_is_told_and_nothing_is_written(probe_run, tmp_path):
    with pytest.raises(UnknownNameError, match="onnx"):
        export(probe_run, "onx")
    with pytest.raises(ArgumentError, match=r"let it end in \.pt2"):
        export(probe_run, "pt2", out=tmp_path / "m.onnx")
    with pytest.raises(EngineError, match="graph of any size"):
        inputs = GraphInputs(node_mean=(), node_std=())
        predictor = SimpleNamespace(inputs=inputs)
        deployment_of(SimpleNamespace(predictor=predictor, kind=kind_named("graph")))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/m\.pt2"):
        export(probe_run, "pt2", out=tmp_path / "file" / "m.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(scope="module")
def written(probe_run, tmp_path_factory):
    """A function in the place of `TorchExport.write`: the run's file, which is written once."""
    path = tmp_path_factory.mktemp("written") / "m.pt2"
    export(probe_run, "pt2", out=path)
    return lambda self, deployment, out: shutil.copy(path, out)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda a, b, *rest: (0.1 * a, b, *rest), "answers otherwise: 9 of 9"),
        (lambda a, b, *rest: (a, b * 0.998, *rest), "answers otherwise: 9 of 9"),
        (lambda a, b, *rest: (-a, b, *rest), "answers otherwise: [0-8] of 9"),
        (lambda a, b, *rest: (a, b[:, ::-1], *rest), "answers otherwise"),
        (lambda a, b, inside, strange: (a, b, ~inside, strange), "set the same for 0;"),
        (
            # What may differ grows with the size of a novelty.
            lambda a, b, inside, strange: (a, b, inside, strange + 0.1 * (1 + abs(strange))),
            "novelty the same for 0,",
        ),
    ],
)
def test_a_file_that_answers_otherwise_is_refused(
    wrong, said, probe_run, written, tmp_path, monkeypatch
):
    load = TorchExport.load
    monkeypatch.setattr(TorchExport, "write", written)

    def loaded(self, path):
        session = load(self, path)
        return lambda inputs: wrong(*session(inputs))

    monkeypatch.setattr(TorchExport, "load", loaded)
    with pytest.raises(
        EngineError, match=f"{said}.*export to onnx or openvino, or keep .*force=True"
    ):
        export(probe_run, "pt2", out=tmp_path / "new" / "m.pt2")
    assert not list(tmp_path.iterdir())
    forced = export(probe_run, "pt2", out=tmp_path / "m.pt2", force=True)
    assert not forced.check.passed and forced.path.is_file()
    assert forced.card["check"]["largest"] == forced.check.largest


def test_outputs_that_mean_the_same_probabilities_are_not_refused(
    probe_run, written, tmp_path, monkeypatch
):
    load = TorchExport.load
    monkeypatch.setattr(TorchExport, "write", written)

    def loaded(self, path):
        session = load(self, path)

        def shifted(inputs):
            logits, *others = session(inputs)
            return logits * (1 + 2e-4), *others

        return shifted

    monkeypatch.setattr(TorchExport, "load", loaded)
    check = export(probe_run, "pt2", out=tmp_path / "m.pt2").check
    assert check.same == check.count and check.passed
    assert check.outputs > 1e-4 > check.largest


def test_without_its_data_a_file_is_checked_on_noise(probe_run, tmp_path, monkeypatch):
    def gone(name, kind):
        raise DataError(f"{name} is not there")

    monkeypatch.setattr(checking, "open_source", gone)
    exported = export(probe_run, "pt2", out=tmp_path / "m.pt2")
    assert exported.check.items == "random inputs"
    assert exported.check.passed and exported.check.count == 16
