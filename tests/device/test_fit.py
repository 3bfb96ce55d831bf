"""What a fit does, and what is done with a run, on a GPU: no tensor is left on the wrong device.

A tiny fit for each kind and method, then predictions, an evaluation, explanations and an export.
Where the machine has no GPU it is a pretended one; see `pretended_gpu`.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.errors import StoppedError

pytestmark = pytest.mark.usefixtures("gpu")

GRADIENT_METHODS = ("eigencam", "gradcam-plus-plus", "integrated-gradients", "layercam", "saliency")
SMALL = "[conv8-relu]x2 - gap - fc2"


def pair(folder, items, large):
    folder.mkdir()
    np.save(folder / "X.npy", items)
    np.save(folder / "y.npy", np.where(large, "large", "small"))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory, own_cache):
    """By kind: where the data are, and one input."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    large = np.arange(24) % 2 == 1
    scale = np.where(large, 3.0, 1.0)
    series = rng.normal(size=(24, 2, 40)) * scale[:, None, None]
    volumes = rng.normal(size=(24, 8, 8, 8)) * scale[:, None, None, None]
    stripes = np.mgrid[:32, :32][0][None] // np.where(large, 8, 2)[:, None, None] % 2
    images = (stripes[..., None] * 120 + rng.integers(0, 120, (24, 32, 32, 3))).astype(np.uint8)
    chains = [f"{'C' * n},small" for n in range(2, 14)] + [
        f"{'C' * n}O,large" for n in range(2, 14)
    ]
    (root / "chains.csv").write_text("\n".join(["smiles,label", *chains]))
    rings = root / "rings"
    rings.mkdir()
    edges = [f"{a},{a + 1 if (a + 1) % 30 else a - 29}" for a in range(60)]
    (rings / "edges.csv").write_text("\n".join(["source,target", *edges, "0,30"]))
    nodes = [f"{node},{'small' if node < 30 else 'large'}" for node in range(60)]
    (rings / "nodes.csv").write_text("\n".join(["id,label", *nodes]))
    return {
        "signal": (pair(root / "series", series.astype(np.float32), large), series[0]),
        "volume": (pair(root / "volumes", volumes.astype(np.float32), large), volumes[0]),
        "image": (pair(root / "images", images, large), images[0]),
        "graph": (root / "chains.csv", "CCCCO"),
        "node": (rings, rings),
    }


CASES = {
    "node": ("node", {"epochs": 1}, ("gradcam",)),
    "signal-scratch": (
        "signal",
        {"method": "scratch", "epochs": 1, "model": SMALL},
        ("gradcam", "occlusion", *GRADIENT_METHODS),
    ),
    "image-kernel": ("image", {"method": "kernel", "image_size": 32}, ("gradcam",)),
    "graph": (
        "graph",
        {"epochs": 1, "model": "gin_small"},
        ("gradcam", "occlusion", "saliency", "integrated-gradients"),
    ),
    "signal-probe": ("signal", {"method": "probe"}, ("gradcam", "occlusion")),
    "signal-wide": ("signal", {"method": "wide"}, ("occlusion",)),
    "volume-probe": ("volume", {"method": "probe"}, ("gradcam",)),
    "volume-scratch": ("volume", {"method": "scratch", "epochs": 1, "model": SMALL}, ("gradcam",)),
    "image-probe": ("image", {"method": "probe", "image_size": 32}, ("gradcam",)),
    "image-finetune": (
        "image",
        {"method": "finetune", "image_size": 32, "symmetry": "identity", "epochs": 1},
        ("occlusion",),
    ),
    "image-scratch": (
        "image",
        {"method": "scratch", "image_size": 32, "epochs": 1, "model": "resnet18"},
        ("occlusion",),
    ),
}
QUICK = ("node", "signal-scratch")
EXPORTED = ("image-kernel", "signal-probe", "volume-scratch")


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES]
)
def test_a_fit_and_what_is_done_with_its_run(case, data, tmp_path):
    kind, options, explanations = CASES[case]
    path, one = data[kind]
    run = striate.fit(path, out=tmp_path / "run", **options)
    assert run.record.kind == kind and run.record.device.startswith("cuda")
    assert next(run.model.parameters()).is_cuda
    found = run.predict([one])
    assert all(prediction.label in ("small", "large") for prediction in found)
    on_cpu = striate.load(run.folder.path, device="cpu").predict([one])
    assert found[0].probabilities == pytest.approx(on_cpu[0].probabilities, abs=1e-2)
    assert run.evaluate(path).num_items >= 24
    if kind != "node":
        for method in explanations:
            (explained,) = run.explain([one], method=method, out=tmp_path / method)
            assert Path(explained.path).is_file()
    else:
        assert run.explain([one, "0"], out=tmp_path / "drawn")
    if case in EXPORTED:
        assert run.export("pt2").is_file()


def test_a_training_on_a_gpu_is_gone_on_with_where_it_was_stopped(data, tmp_path):
    path, _ = data["signal"]
    options = {"method": "scratch", "epochs": 2, "model": SMALL}
    whole = striate.fit(path, out=tmp_path / "whole", **options)
    asked = []

    def stop():
        asked.append(1)
        return len(asked) == 20

    with pytest.raises(StoppedError):
        striate.fit(path, out=tmp_path / "cut", **options, stop=stop)
    again = striate.fit(path, out=tmp_path / "cut", **options, resume=True)
    found = again.model.state_dict()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(found[name].cpu(), value.cpu(), rtol=1e-5, atol=1e-6)
