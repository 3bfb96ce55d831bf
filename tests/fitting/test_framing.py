"""Which part of an image a fit looks at: chosen from the data, and the same in all that follows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import ArgumentError
from striate.fitting import framing
from striate.fitting.baseline import Baseline
from striate.fitting.check import check
from striate.fitting.framing import Judged, choose_framing, preferred
from striate.fitting.options import FitOptions
from striate.run.export import export

OPTIONS = {"method": "probe", "image_size": 64, "device": "cpu"}
PARTS = {"train": 16, "val": 6, "test": 20}


def strip(shape, seed, *, tall=False, long=192):
    """Noise of 64 x 192 pixels with a disc or a cross in the first or the last 32 pixels."""
    rng = np.random.default_rng([shape, seed])
    pixels = rng.integers(0, 256, (64, long, 3), dtype=np.uint8)
    y, x = np.mgrid[:32, :32] - 15.5
    sign = (x**2 + y**2 < 160) if shape == 0 else ((abs(x) < 4.5) | (abs(y) < 4.5))
    top, left = rng.integers(0, 33), rng.choice([0, long - 32])
    pixels[top : top + 32, left : left + 32] = np.where(sign[..., None], 255, 40)
    return np.ascontiguousarray(pixels.transpose(1, 0, 2)) if tall else pixels


def folder_of(root, **options):
    number = 0
    for part, count in PARTS.items():
        for shape, name in enumerate(("disc", "cross")):
            (root / part / name).mkdir(parents=True)
            for _ in range(count):
                number += 1
                picture = Image.fromarray(strip(shape, number, **options))
                picture.save(root / part / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def strips(tmp_path_factory, own_cache):
    return folder_of(tmp_path_factory.mktemp("data") / "strips")


@pytest.fixture(scope="module")
def strips_run(strips, tmp_path_factory):
    return striate.fit(strips, out=tmp_path_factory.mktemp("runs") / "strips", **OPTIONS)


def choice_of(run):
    (choice,) = (choice for choice in run.report.choices if choice.topic == "framing")
    return choice


def test_a_sign_at_the_edge_of_a_strip_is_seen(strips, strips_run, tmp_path):
    assert strips_run.metrics["accuracy"] >= 0.95
    assert choice_of(strips_run).choice == strips_run.predictor.inputs.framing != "crop"
    details = strips_run.report.model_details
    assert details["pixels seen"] == "100% in the median, 100% at least"
    assert details["framing"] == choice_of(strips_run).choice
    middle = striate.fit(strips, out=tmp_path / "middle", framing="crop", **OPTIONS)
    assert middle.metrics["accuracy"] <= 0.70
    assert middle.report.model_details["pixels seen"] == "33% in the median, 33% at least"


def test_tall_strips_become_tall_inputs(tmp_path):
    tall = folder_of(tmp_path / "tall", tall=True)
    run = striate.fit(tall, out=tmp_path / "run", framing="rectangle", **OPTIONS)
    assert run.predictor.inputs.input_shape == (3, 96, 32)
    assert run.metrics["accuracy"] >= 0.95


@pytest.mark.slow
def test_the_run_predicts_explains_and_exports_what_it_saw(strips, strips_run, tmp_path):
    run = striate.load(strips_run.folder.path, device="cpu")
    inputs = run.predictor.inputs
    assert inputs.input_shape == strips_run.predictor.inputs.input_shape
    paths = sorted((strips / "test").rglob("*.png"))
    found = run.predict(paths)
    rows = run.folder.read_csv("predictions.csv")
    told = {row["item"]: row["prediction"] for row in rows}
    assert {p.item for p in found} and len(told) == len(found)
    assert [told[str(path.relative_to(strips))] for path in paths] == [p.label for p in found]
    others = [strip(0, 900, long=64), strip(0, 901, tall=True), strip(0, 902, long=900)]
    assert all(prediction.label for prediction in run.predict(others))

    (explained,) = run.explain(paths[:1], method="saliency")
    height, width = inputs.space
    assert explained.image.width > 2 * width and explained.image.height > height

    exported = export(run, "onnx", out=tmp_path / "m.onnx")
    given = exported.card["input"]
    assert given["shape"] == ["items", 3, height, width]
    assert given["framing"] == inputs.framing and given["fill"] == [124, 116, 104]
    assert exported.check.passed


@pytest.mark.slow
def test_networks_trained_by_steps_see_it_too(strips, tmp_path):
    options = {**OPTIONS, "method": "finetune", "image_size": 32, "framing": "pad"}
    run = striate.fit(strips, out=tmp_path / "pad", epochs=1, symmetry="dihedral", **options)
    assert run.predictor.inputs.framing == "pad"
    options = {**OPTIONS, "method": "finetune", "framing": "rectangle"}
    run = striate.fit(strips, out=tmp_path / "rectangle", epochs=1, **options)
    assert run.predictor.inputs.input_shape == (3, 32, 96)
    assert run.predictor.inputs.averaged in ("identity", "mirror", "flips")


def test_squares_are_cropped_without_a_comparison(tmp_path, draw, monkeypatch, own_cache):
    for shape in ("disc", "square"):
        (tmp_path / "data" / shape).mkdir(parents=True)
        for number in range(10):
            picture = Image.fromarray(draw(shape, number, 64, 66))
            picture.save(tmp_path / "data" / shape / f"{number}.png")
    compared = []
    monkeypatch.setattr(framing, "_judged", lambda *arguments: compared.append(arguments))
    monkeypatch.setattr(framing, "default_baseline", lambda context: compared.append(context))
    run = striate.fit(tmp_path / "data", out=tmp_path / "auto", **OPTIONS)
    assert choice_of(run).choice == "crop" and not compared
    asked = striate.fit(tmp_path / "data", out=tmp_path / "crop", framing="crop", **OPTIONS)
    names = ("predictions.csv", "model.safetensors")
    for name in names:
        assert (run.folder.path / name).read_bytes() == (asked.folder.path / name).read_bytes()


def test_a_resumed_fit_keeps_the_framing(strips, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Baseline, "features", property(interrupted))
        striate.fit(strips, out=out, **OPTIONS)
    steps = json.loads((out / "checkpoints" / "steps.json").read_text())["steps"]
    monkeypatch.setattr(framing, "_compared", interrupted)
    run = striate.fit(strips, out=out, resume=True, **OPTIONS)
    assert run.predictor.inputs.framing == steps["framing"]["choice"]


def interrupted(*_):
    raise KeyboardInterrupt


def test_check_says_what_is_seen(strips, photos):
    found = check(strips, image_size=64).as_json()["choices"]
    assert found["pixels seen"] == "33% in the median, 33% at least"
    assert "crop, pad, rectangle" in found["framing"]


def test_quarter_turns_of_a_rectangle_are_refused(strips, tmp_path):
    options = {**OPTIONS, "method": "finetune", "framing": "rectangle", "symmetry": "dihedral"}
    with pytest.raises(ArgumentError, match="a rectangle cannot be transposed"):
        striate.fit(strips, out=tmp_path / "run", **options)


def test_the_simplest_framing_is_kept_unless_another_is_better_beyond_chance():
    def judged(*losses):
        return Judged(loss=float(np.mean(losses)), losses=np.array(losses))

    clear = {"crop": judged(*[0.7] * 9), "pad": judged(*[0.1] * 9), "rectangle": judged(*[0.2] * 9)}
    assert preferred(clear)[0] == "pad"
    same = {"crop": judged(0.5, 0.5), "pad": judged(0.5, 0.5)}
    assert preferred(same)[0] == "crop"
    by_chance = {"crop": judged(0.1, 2.0, 0.1), "pad": judged(0.2, 0.1, 0.3)}
    assert preferred(by_chance)[0] == "crop"


def test_other_kinds_have_nothing_to_choose():
    inputs = SimpleNamespace(framings=dict)
    assert choose_framing(SimpleNamespace(inputs=inputs, options=FitOptions())) is inputs
    with pytest.raises(ArgumentError, match="of no use for "):
        striate.fit("sample:karate-club", framing="pad")
