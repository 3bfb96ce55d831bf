"""What a file tells beside its answers: the set, the interval, 'none of these', as the run's own."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import striate
from striate.engines import load_engines
from striate.metrics.conformal import fit_prediction_sets
from striate.metrics.novelty import FeaturedItems, fit_novelty
from striate.metrics.regression import PredictionInterval
from striate.run.deployment.check import judged_novelty, judged_promise
from striate.run.deployment.novelty import Novelty
from striate.run.export import export
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.regression.scoring import NumberCalibration


def session_of(path):
    """A function: what a file tells of inputs, by the names of its outputs, by its engine alone."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        names = [output.name for output in session.get_outputs()]
        (given,) = session.get_inputs()
        return lambda x: dict(zip(names, session.run(names, {given.name: x}), strict=True))
    if path.suffix == ".xml":
        import openvino

        model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        names = [output.any_name for output in model.outputs]
        return lambda x: {name: np.array(model(x)[name]) for name in names}
    module = torch.export.load(path).module()
    card = json.loads(path.with_name(f"{path.name}.json").read_text())
    names = [output["name"] for output in card["outputs"]]
    return lambda x: dict(
        zip(names, (t.detach().numpy() for t in module(torch.from_numpy(x))), strict=True)
    )


def prepared(run, items):
    """What the network is given of items, as an exported file takes it."""
    source = run.open(items)
    readings = [reading for _, reading in run.read(source, source.listing.items)]
    return run.predictor.inputs.inputs(readings).numpy()


def features(seed, count, width, spread=1.0):
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(0).normal(size=(4, width)) * 2
    return np.maximum(middles[np.arange(count) % 4] + spread * rng.normal(size=(count, width)), 0)


@pytest.mark.parametrize("width", [6, 64, 3000])
def test_the_module_tells_the_novelty_that_the_detector_tells(width):
    known = features(1, 120, width).astype(np.float32)
    strata = np.arange(120) % 4
    detector = fit_novelty(FeaturedItems(features=known, groups=np.arange(120), strata=strata))
    new = np.concatenate(
        [features(2, 40, width), features(3, 40, width, 8.0), known[:5], np.zeros((1, width))]
    ).astype(np.float32)
    with torch.no_grad():
        found = Novelty(detector)(torch.from_numpy(new)).numpy()
    expected = detector.novelty(new)
    assert (expected > 0).any() and (expected < 0).any()
    agreement = judged_novelty(expected, found)
    assert agreement.passed and agreement.largest < 5e-3
    assert ((found > 0) == (expected > 0)).all()


@pytest.mark.parametrize("num_classes", [2, 10, 300])
def test_the_module_makes_the_sets_that_the_run_makes(num_classes):
    rng = np.random.default_rng(num_classes)
    labels = np.arange(2000) % num_classes
    logits = rng.normal(size=(2000, num_classes)).astype(np.float32) * 2
    logits[np.arange(2000), labels] += 3
    plain = ClassCalibration(temperature=0.7, bias=tuple(rng.normal(size=num_classes)))
    sets = fit_prediction_sets(plain.answers(logits), labels, class_items=60)
    calibration = ClassCalibration(temperature=0.7, bias=plain.bias, sets=sets)
    with torch.no_grad():
        found = calibration.promise.module()(torch.from_numpy(logits)).numpy()
    assert found.dtype == bool
    answers = plain.answers(logits)
    agreement = judged_promise(calibration.promise, answers, answers.astype(np.float32), found)
    assert agreement.passed and agreement.ties <= 10
    assert (found.sum(1) > 1).any()


def test_a_class_without_a_threshold_is_in_every_set_and_small_probabilities_keep_their_rank():
    calibration = ClassCalibration()
    sets = fit_prediction_sets(np.full((30, 4), 0.25), np.arange(30) % 4)
    open_sets = type(sets)(
        thresholds=(1.015, 1.015, None, 1.015), own=(False,) * 4, level=0.9, num_items=30
    )
    promise = type(calibration)(sets=open_sets).promise
    logits = torch.tensor([[0.0, -200.0, -900.0, -150.0], [0.0, -150.0, -900.0, -200.0]])
    expected = promise.of(calibration.answers(logits.numpy()))
    assert expected.tolist() == [[True, False, True, True], [True, True, True, False]]
    assert promise.module()(logits).tolist() == expected.tolist()


@pytest.mark.parametrize("scaled", [False, True])
def test_the_module_makes_the_intervals_that_the_run_makes(scaled):
    knots = {"knots": (-1.0, 0.5, 0.5, 2.0), "scales": (0.5, 1.0, 1.5, 3.0)} if scaled else {}
    interval = PredictionInterval(half_width=2.0, level=0.9, num_items=100, **knots)
    calibration = NumberCalibration(mean=1.0, std=2.0, interval=interval)
    outputs = torch.linspace(-3, 3, 61)[:, None]
    found = calibration.promise.module()(outputs).numpy()
    answers = calibration.answers(outputs.numpy())
    expected = np.array([calibration.limits(number) for number in answers])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert judged_promise(calibration.promise, answers, answers, found).passed
    assert not judged_promise(calibration.promise, answers, answers, found + 0.1).passed


def test_a_difference_is_a_tie_where_the_files_own_answers_ask_for_it():
    calibration = ClassCalibration()
    sets = fit_prediction_sets(np.tile([0.6, 0.3, 0.1], (30, 1)), np.arange(30) % 3)
    limit = sets.thresholds[0]
    promise = type(calibration)(sets=sets).promise
    at = limit - 0.5 * 0.1 - 0.01  # the second class stands at the threshold
    run = np.array([[at, 0.1, 0.9 - at]]) if at > 0.9 - at else None
    assert run is not None, "the first class is the most probable"
    ranked = np.sort(run)[:, ::-1]
    expected = promise.of(ranked)
    other = ~expected
    other[:, 0] = True
    wrong = judged_promise(promise, ranked, ranked, other)
    assert wrong.same == 0 and not wrong.passed
    same = judged_promise(promise, ranked, ranked, expected)
    assert (same.same, same.ties) == (1, 0)


def test_a_novelty_that_is_off_or_not_a_number_is_no_tie():
    expected = np.array([-2.0, 0.004, 50.0])
    found = judged_novelty(expected, np.array([-2.0, -0.004, 50.2]))
    assert (found.same, found.ties, found.passed) == (2, 1, True)
    assert not judged_novelty(expected, expected + 0.02).passed
    assert not judged_novelty(expected, np.array([-2.0, np.nan, 50.0])).passed
    assert not judged_novelty(expected, np.full(3, -5.0)).passed


def judge(run, path, items):
    """Compare what a file tells of items with what the run says of them."""
    told = session_of(path)(prepared(run, items))
    expected = run.predict(items)
    assert None not in [prediction.novelty for prediction in expected]
    novelty = np.array([prediction.novelty for prediction in expected])
    agreement = judged_novelty(novelty, told["novelty"])
    assert agreement.passed, agreement.as_text()
    near = np.abs(novelty) <= 0.01
    unknown = np.array([prediction.unknown for prediction in expected])
    assert ((told["novelty"] > 0) == unknown)[~near].all()
    for prediction, inside, scores in zip(
        expected, told["set"], told["probabilities"], strict=True
    ):
        named = {name for name, is_in in zip(run.classes, inside, strict=True) if is_in}
        tied = run.calibration.promise.follows(scores[None], inside[None]).all()
        assert named == set(prediction.prediction_set) or tied
    return unknown


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("probe_run", "pt2"),
        pytest.param("probe_run", "onnx", marks=pytest.mark.slow),
        pytest.param("probe_run", "openvino", marks=pytest.mark.slow),
        pytest.param("kernel_run", "onnx", marks=pytest.mark.slow),
        pytest.param("kernel_run", "openvino", marks=pytest.mark.slow),
    ],
)
def test_a_file_of_a_run_on_images_gives_its_verdicts_and_sets(kind, to, request, draw, tmp_path):
    run = request.getfixturevalue(kind)
    exported = export(run, to, out=tmp_path / f"m{load_engines().get(to).suffix}")
    names = [output["name"] for output in exported.card["outputs"]]
    assert names == ["logits", "probabilities", "set", "novelty"]
    assert [one.name for one in exported.check.beside] == ["set", "novelty"]
    assert all(one.passed and one.count == exported.check.count for one in exported.check.beside)
    shapes = [draw(shape, seed) for seed in range(90, 95) for shape in ("disc", "stripes")]
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(4)]
    flat = [np.full((64, 64, 3), level, np.uint8) for level in (0, 128, 255)]
    unknown = judge(run, exported.path, np.stack([*shapes, *noise, *flat]))
    assert unknown[len(shapes) :].any() and not unknown[: len(shapes)].all()


@pytest.fixture(scope="module")
def series(tmp_path_factory, own_cache):
    """Series of two classes as a folder, and 40 of them."""
    rng = np.random.default_rng(0)
    loud = np.arange(160) % 2 == 1
    folder = tmp_path_factory.mktemp("data") / "series"
    folder.mkdir()
    items = rng.normal(size=(160, 2, 64)) * np.where(loud, 3.0, 1.0)[:, None, None]
    np.save(folder / "X.npy", items.astype(np.float32))
    np.save(folder / "y.npy", np.where(loud, "loud", "quiet"))
    return folder, items.astype(np.float32)


@pytest.fixture(scope="module")
def trained_series(series, tmp_path_factory):
    """A small network on series, trained for two epochs."""
    options = {"method": "scratch", "epochs": 2, "model": "[conv8-bn-relu]x2 - gap - fc2"}
    out = tmp_path_factory.mktemp("runs") / "scratch"
    return striate.fit(series[0], out=out, device="cpu", **options)


@pytest.fixture(scope="module")
def probed_series(series, tmp_path_factory):
    """A linear probe on fixed features of series."""
    out = tmp_path_factory.mktemp("runs") / "probe"
    return striate.fit(series[0], out=out, device="cpu", method="probe")


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("trained_series", "onnx"),
        ("trained_series", "openvino"),
        ("trained_series", "pt2"),
        pytest.param("probed_series", "onnx", marks=pytest.mark.slow),
        pytest.param("probed_series", "openvino", marks=pytest.mark.slow),
    ],
)
def test_a_file_of_a_run_on_series_gives_its_verdicts_and_sets(kind, to, request, series, tmp_path):
    run = request.getfixturevalue(kind)
    exported = export(run, to, out=tmp_path / f"m{load_engines().get(to).suffix}")
    assert [one.name for one in exported.check.beside] == ["set", "novelty"]
    strange = 500 * np.cumsum(series[1][:6], axis=2)
    unknown = judge(run, exported.path, np.concatenate([series[1][:20], strange]))
    assert unknown[20:].any() and not unknown[:20].all()


@pytest.mark.slow
def test_the_reader_and_the_certificate_tell_sets_and_verdicts(kernel_run, photos, tmp_path):
    exported = export(kernel_run, "onnx", out=tmp_path / "model.onnx")
    parity = json.loads((tmp_path / "parity.json").read_text())
    count = sum(parity["files"].values())
    assert [entry["name"] for entry in parity["beside"]] == ["set", "novelty"]
    assert all(
        entry["same"] + entry["ties"] == entry["count"] == count for entry in parity["beside"]
    )
    paths = [*sorted(map(str, photos.rglob("0*.png"))), str(tmp_path / "noise.png")]
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(paths[-1])
    reader = exported.path.with_name("predict.py")
    done = subprocess.run(
        [sys.executable, str(reader), *paths], capture_output=True, text=True, check=True
    )
    for prediction, line in zip(kernel_run.predict(paths), done.stdout.splitlines(), strict=True):
        told = json.loads(line)
        assert told["set"] == list(prediction.prediction_set)
        assert told["novelty"] == pytest.approx(prediction.novelty, abs=0.02)
        assert told["unknown"] is prediction.unknown or abs(prediction.novelty) < 0.02
    assert any(json.loads(line)["unknown"] for line in done.stdout.splitlines())


def test_a_run_that_knows_no_limits_has_a_file_of_two_outputs(trained_series, tmp_path):
    run = striate.load(trained_series.folder.path, device="cpu")
    run.novelty_detector = None
    run.calibration = run.calibration.without_promises()
    from striate.run.deployment.answering import deployment_of

    deployment = deployment_of(run)
    assert deployment.output_names == ("logits", "probabilities")
    assert len(deployment.module(deployment.example)) == 2
