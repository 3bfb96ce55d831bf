"""What the page supposes of a file's items and outputs, and what Striate's own files tell."""

import json

import numpy as np
import onnx
import pytest
import torch
from tests.explorer.conftest import lively

from striate.engines import Deployment
from striate.engines.onnx_file import write_onnx
from striate.errors import DataError
from striate.explorer.numbers import unpacked
from striate.explorer.session import Session
from striate.explorer.subjects.onnx_subject import OnnxSubject
from striate.explorer.subjects.run_subject import RunSubject
from striate.kinds.image.inputs import ImageInputs
from striate.models import create_model
from striate.run.deployment.answering import Answering
from striate.run.export import export
from striate.tasks.classification.scoring import ClassCalibration

make = onnx.helper.make_node
WEIGHTS = {"w": np.arange(12, dtype=np.float32).reshape(3, 4) / 7}
HEAD = [
    make("GlobalAveragePool", ["seen"], ["pooled"]),
    make("Flatten", ["pooled"], ["flat"]),
    make("Gemm", ["flat", "w"], ["logits"]),
]


def subject_of(graph_file, before, after=(), shape=(1, 3, 8, 10), output="logits", **options):
    constants = WEIGHTS | options.pop("constants", {})
    nodes = [*before, *HEAD, *after]
    return OnnxSubject(graph_file(nodes, shape, constants, output=output, **options))


def notes(subject):
    return " ".join(subject.notes)


def test_pixels_are_normalized_as_imagenets_where_the_file_is_silent(graph_file):
    subject = subject_of(graph_file, [make("Relu", ["x"], ["seen"])])
    opened = subject.open(0)
    mean, std = (
        np.array(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    np.testing.assert_allclose(opened.x[0], (opened.raw / 255 - mean) / std, atol=1e-5)
    assert "ImageNet's mean" in notes(subject)
    assert subject.classes == ()


def test_scaling_in_the_file_is_followed_and_is_no_layer(graph_file):
    mean, std = (np.array([v]).reshape(1, 3, 1, 1) for v in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.25]))
    scaling = [make("Sub", ["x", "m"], ["c"]), make("Div", ["c", "s"], ["seen"])]
    constants = {"m": mean.astype(np.float32), "s": std.astype(np.float32)}
    subject = subject_of(graph_file, scaling, constants=constants)
    opened = subject.open(0)
    np.testing.assert_allclose(opened.x[0], (opened.raw / 255 - mean[0]) / std[0], atol=1e-5)
    assert "from 0 to 1." in notes(subject)
    assert Session(subject).network["nodes"][0]["kind"] == "AdaptiveAvgPool2d"
    constants = {"m": (255 * mean).astype(np.float32), "s": (255 * std).astype(np.float32)}
    subject = subject_of(graph_file, scaling, constants=constants)
    again = subject.open(0)
    torch.testing.assert_close(again.x, opened.x, rtol=1e-4, atol=1e-5)
    assert "from 0 to 255." in notes(subject)


def test_channels_last_and_bytes(graph_file):
    before = [
        make("Cast", ["x"], ["f"], to=1),
        make("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        make("Mul", ["t", "k"], ["seen"]),
    ]
    constants = {"k": np.float32(1 / 255)}
    subject = subject_of(
        graph_file, before, shape=(1, 8, 10, 3), dtype=np.uint8, constants=constants
    )
    opened = subject.open(0)
    assert subject.shape == (3, 8, 10)
    np.testing.assert_allclose(opened.x[0], opened.raw / 255, atol=1e-6)
    assert "equal those of ONNX Runtime" in notes(subject)


@pytest.mark.parametrize("ending", ["Softmax", "Sigmoid"])
def test_the_logits_before_an_ending_are_shown(ending, graph_file):
    after = [make(ending, ["logits"], ["y"])]
    subject = subject_of(graph_file, [make("Relu", ["x"], ["seen"])], after, output="y")
    assert f"The file ends in {ending}" in notes(subject)
    session = Session(subject)
    outputs = session.item(0)["outputs"]
    logits = session.walked(0).logits
    for each in outputs:
        own = logits[each["number"]]
        assert each["logit"] == pytest.approx(own, abs=1e-5)
        if ending == "Sigmoid":
            assert each["probability"] == pytest.approx(1 / (1 + np.exp(-own)), abs=1e-5)


def test_logits_of_a_mean_without_a_layer_after_it(graph_file):
    nodes = [make("Relu", ["x"], ["a"]), make("GlobalAveragePool", ["a"], ["b"])]
    path = graph_file([*nodes, make("Identity", ["b"], ["y"])], (1, 3, 8, 10))
    session = Session(OnnxSubject(path))
    assert session.walked(0).logits.shape == (3,)
    assert [each["number"] for each in session.item(0)["outputs"]] == list(
        np.argsort(-session.walked(0).logits)
    )


def test_a_last_step_that_is_no_layer_is_refused_where_it_changes_the_logits(graph_file):
    after = [make("Neg", ["logits"], ["y"])]
    with pytest.raises(DataError, match="other numbers than ONNX Runtime"):
        subject_of(graph_file, [make("Relu", ["x"], ["seen"])], after, output="y")


def test_series_and_volumes(graph_file):
    for shape in ((1, 3, 50), (1, 3, 6, 7, 8)):
        subject = subject_of(graph_file, [make("Relu", ["x"], ["seen"])], shape=shape)
        assert subject.shape == shape[1:]
        opened = subject.open(0)
        assert tuple(opened.x.shape) == shape and abs(float(opened.x.mean())) < 0.1
        assert "mean of 0" in notes(subject)


def test_a_file_of_the_users(graph_file, photos):
    before = [make("Relu", ["x"], ["seen"])]
    path = graph_file([*before, *HEAD], (1, 3, 20, 24), WEIGHTS, output="logits")
    subject = OnnxSubject(path, files=[photos / "disc" / "01.png"])
    assert [entry.name for entry in subject.entries] == ["01.png", "a built-in picture"]
    subject.add("more.png", (photos / "square" / "02.png").read_bytes())
    assert subject.open(2).raw.shape == (3, 20, 24)


@pytest.fixture(scope="module")
def exported(probe_run, tmp_path_factory):
    return export(probe_run, "onnx", out=tmp_path_factory.mktemp("exported") / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "pictures.onnx"])
def test_a_file_of_striates_is_shown_as_its_run(name, exported, probe_run, photos):
    picture = photos / "disc" / "01.png"
    run = Session(RunSubject(probe_run.folder.path, [picture]))
    file = Session(OnnxSubject(exported.path.with_name(name), files=[picture]))
    assert file.network["classes"] == list(probe_run.classes)
    assert file.network["input_shape"] == run.network["input_shape"]
    shown, expected = file.item(0), run.item(0)
    np.testing.assert_array_equal(unpacked(shown["picture"]), unpacked(expected["picture"]))
    torch.testing.assert_close(file.walked(0).x, run.walked(0).x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(file.walked(0).logits, run.walked(0).logits, rtol=1e-3, atol=1e-3)
    for got, wanted in zip(shown["outputs"], expected["outputs"], strict=True):
        assert got["class"] == wanted["class"]
        assert got["probability"] == pytest.approx(wanted["probability"], abs=1e-3)
    assert shown["answer"].startswith(expected["answer"].split()[0])
    assert file.network["nodes"][0]["kind"] == "Conv2d"
    assert "equal those of ONNX Runtime" in file.network["notes"][-1]


@pytest.mark.parametrize(
    "card",
    [
        "no json",
        "[1]",
        "{}",
        json.dumps({"input": {"name": "pixels", "pictures": {"size": 1e300}}, "outputs": 3}),
        json.dumps({"input": 7, "outputs": [{"name": "nothing"}], "classes": [1, 2, 3, 4]}),
        json.dumps({"input": {"pictures": {"size": 8, "frame": [8, 10], "scales": []}}}),
    ],
)
def test_a_card_that_does_not_fit_the_file(card, graph_file):
    path = graph_file(
        [make("Relu", ["x"], ["seen"]), *HEAD], (1, 3, 8, 10), WEIGHTS, output="logits"
    )
    model = onnx.load(path)
    model.metadata_props.add(key="striate", value=card)
    path.write_bytes(model.SerializeToString())
    session = Session(OnnxSubject(path))
    assert len(session.item(0)["outputs"]) == 4
    assert session.network["classes"] == []


def test_of_averaged_copies_the_item_as_it_is_is_shown(tmp_path):
    network = lively(create_model("conv6-bn-relu-gap-fc3", weights=None)).eval()
    inputs = ImageInputs(size=20, averaged="mirror")
    answering = Answering(network, inputs, ClassCalibration().module()).eval()
    outputs = [{"name": "logits"}, {"name": "probabilities"}]
    classes = ["a", "b", "c"]
    card = {"input": {"name": "pixels"}, "outputs": outputs, "classes": classes}
    example = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    write_onnx(
        Deployment(
            module=answering,
            example=example,
            input_name="pixels",
            output_names=("logits", "probabilities"),
            card=card,
        ),
        tmp_path / "m.onnx",
    )
    session = Session(OnnxSubject(tmp_path / "m.onnx"))
    assert "averages the answers over 2 copies" in " ".join(session.network["notes"])
    opened = session.subject.open(0)
    with torch.no_grad():
        expected = network(opened.x)[0].numpy()
        averaged = answering(torch.from_numpy(opened.raw)[None])[1][0].tolist()
    np.testing.assert_allclose(session.walked(0).logits, expected, rtol=1e-4, atol=1e-5)
    assert opened.probabilities == pytest.approx(averaged, abs=1e-5)
    assert sum(node["kind"] == "Conv2d" for node in session.network["nodes"]) == 1
