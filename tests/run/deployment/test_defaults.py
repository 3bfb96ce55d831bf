"""What each kind fits by default, in the file of every engine: all validation and test items have the
class that the run gives them, and the same logits, in a process that does not have Striate."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from sklearn.datasets import load_digits
from tests.engines.judges import assert_same_answers, judged

import striate
from striate.data import snapshot
from striate.data.layouts.layout import open_source
from striate.engines import load_engines
from striate.run.export import export
from striate.run.folder import LOCK

REFERENCE_ITEMS = 2
"""Items that ONNX's own evaluator answers, which takes seconds for each."""


def digits(folder):
    """Small images: 300 digits of 8 x 8."""
    given = load_digits()
    images = (given.images[:300] * 15).astype(np.uint8)
    np.savez(folder / "digits.npz", X=images, y=given.target[:300])
    return folder / "digits.npz"


def series(folder):
    """Slow and fast waves in noise, two channels."""
    rng = np.random.default_rng(7)
    fast = np.arange(60) % 2 == 1
    angle = 2 * np.pi * np.where(fast, 9, 4)[:, None, None] * np.arange(64) / 64
    waves = np.sin(angle + rng.uniform(0, 6, (60, 1, 1))) + 0.2 * rng.normal(size=(60, 2, 64))
    np.save(folder / "X.npy", waves.astype(np.float32))
    np.save(folder / "y.npy", np.where(fast, "fast", "slow"))
    return folder


def sounds(folder):
    """Low and high tones in noise, one second each."""
    rng = np.random.default_rng(1)
    for name, pitch in (("low", 300), ("high", 1200)):
        (folder / name).mkdir()
        for number in range(20):
            wave = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * np.arange(8000) / 8000)
            noisy = 8000 * (wave + 0.3 * rng.normal(size=8000))
            wavfile.write(folder / name / f"{number:02}.wav", 8000, noisy.astype(np.int16))
    return folder


def volumes(folder):
    """A small or a large ball in noise."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.mgrid[:16, :16, :16]) - 8
    large = np.arange(40) % 2 == 1
    ball = (grid**2).sum(0) < np.where(large, 5.5, 3.0)[:, None, None, None] ** 2
    np.save(folder / "X.npy", (ball + 0.3 * rng.normal(size=ball.shape)).astype(np.float32))
    np.save(folder / "y.npy", np.where(large, "large", "small"))
    return folder


def parts(folder):
    """Good items alone, stripes in noise, and a few with a spot."""
    rng = np.random.default_rng(0)
    for name, count in (("fine", 30), ("spot", 6)):
        (folder / name).mkdir()
        for number in range(count):
            waves = np.sin(np.linspace(0, 12 * np.pi, 64) + rng.uniform(0, 6))
            pixels = 120 + 60 * waves[None, :] + rng.normal(0, 8, (64, 64))
            if name == "spot":
                pixels[20:32, 20:32] = 10
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / name / f"{number:02}.png"
            )
    return folder


DATA = {
    "digits": digits,
    "series": series,
    "sounds": sounds,
    "volumes": volumes,
    "parts": parts,
}
DEFAULTS = [
    ("photos", "probe", "efficientnet_lite0"),
    ("photos", "kernel", "kernel_machine"),
    ("photos", "finetune", "efficientnet_lite0"),
    ("digits", "probe", "patch_filters"),
    ("digits", "kernel", "kernel_machine"),
    ("digits", "scratch", "thumbnet"),
    ("series", "probe", "minirocket"),
    ("series", "wide", "multirocket_hydra"),
    ("series", "scratch", "inception_time"),
    ("sounds", "probe", "efficientnet_lite0"),
    ("volumes", "probe", "tri_planar"),
    ("volumes", "scratch", "resnet18"),
    ("parts", "oneclass", "memory_bank"),
]


@pytest.fixture(scope="module")
def default_run(photos, tmp_path_factory):
    """A function: the run of a method on some data, fitted once, with its outputs of held-out items.

    They are uncalibrated, beside the inputs that the files take.
    """
    made, data = {}, {"photos": photos}

    def of(name, method):
        if (name, method) not in made:
            made.clear()
            if name not in data:
                data[name] = DATA[name](tmp_path_factory.mktemp(name))
            options = {"image_size": 64} if name in ("photos", "parts") else {}
            options |= {"epochs": 1} if method in ("finetune", "scratch") else {}
            options |= {"good": "fine"} if name == "parts" else {}
            out = tmp_path_factory.mktemp("runs") / method
            run = striate.fit(
                data[name], out=out, method=method, device="cpu", time="10m", **options
            )
            made[name, method] = (run, *held_out(run))
        return made[name, method]

    return of


def held_out(run):
    """What the network is given of every item that was not learnt from, and what it answers."""
    locked = snapshot.from_json(run.folder.read_json(LOCK))
    names = {item.id for item in locked.items if item.split != "train"}
    source = open_source(run.record.data, run.record.kind)
    items = [item for item in source.listing.items if item.id in names]
    assert len(items) == len(names) >= 8
    readings = [reading for _, reading in run.read(source, items)]
    outputs = run.predictor.outputs(readings).numpy()
    return run.predictor.inputs.inputs(readings).numpy(), outputs


@pytest.mark.slow
@pytest.mark.parametrize("engine", load_engines().names())
@pytest.mark.parametrize(("name", "method", "model"), DEFAULTS)
def test_every_held_out_item_is_answered_the_same(
    name, method, model, engine, default_run, tmp_path
):
    run, inputs, expected = default_run(name, method)
    assert run.record.model.name == model
    path = tmp_path / f"m{load_engines().get(engine).suffix}"
    assert export(run, engine, out=path).check.agrees
    found = judged(path, engine, inputs, tmp_path, REFERENCE_ITEMS)
    assert_same_answers(found, expected)
