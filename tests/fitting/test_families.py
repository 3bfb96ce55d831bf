"""One step of every family from data to an exported file: fitted, explained, exported, resumed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import ArgumentError, EngineError, StoppedError
from striate.models import MODELS
from striate.run.explain import explain_inputs

SIDES = {"inception": 75, "alexnet": 64, "googlenet": 32}
"""Sides of pictures of families for which 32 is too small."""

QUICK = ("lenet", "mobilenet_v3", "tcn", "minirocket", "graph")
"""Families that the quick tests go through."""

NOT_FITTED = {
    "kernel_machine": "it is made by the method kernel",
    "memory_bank": "it is made by the method oneclass",
    "tri_planar": "its features are fixed: the method probe fits its layer",
    "hydra": "its features are fixed: the method probe fits its layer",
    "minirocket": "its features are fixed: the method probe fits its layer",
    "multirocket": "its features are fixed: the method probe fits its layer",
    "multirocket_hydra": "its features are fixed: the methods probe and wide fit its layer",
}
"""Families that are not trained from scratch, and why."""

TIMM = ("timm/vit_tiny_patch16_224", "timm/resnet10t", "timm/swin_tiny_patch4_window7_224")


def smallest() -> dict[str, str]:
    """The smallest network of each family."""
    best: dict[str, str] = {}
    for name, variant in MODELS.items():
        other = best.setdefault(variant.family, name)
        if variant.num_parameters < MODELS.get(other).num_parameters:
            best[variant.family] = name
    return {family: name for family, name in best.items() if family not in NOT_FITTED}


FAMILIES = [
    pytest.param(
        name, family, marks=() if family.startswith(QUICK) else pytest.mark.slow, id=family
    )
    for family, name in smallest().items()
] + [pytest.param(name, "timm", marks=pytest.mark.slow, id=name) for name in TIMM]


def data_for(name: str, family: str, folder: Path) -> tuple[Path, dict[str, Any], Any]:
    """Data of two classes that a network takes, options of the fit, and an item to explain."""
    rng = np.random.default_rng(0)
    ranks = (2,) if family == "timm" else MODELS.get(name).ranks
    if not ranks:
        smiles = [
            "CCO",
            "CCCO",
            "CCCCO",
            "CC(C)O",
            "OCCO",
            "CCN",
            "CCCN",
            "CCCCN",
            "CC(C)N",
            "NCCN",
        ]
        lines = [f"{text},{'on'['N' in text]}" for text in smiles]
        (folder / "molecules.csv").write_text("smiles,label\n" + "\n".join(lines))
        return folder / "molecules.csv", {}, "CCCO"
    if 2 in ranks:
        side = SIDES.get(family, 32)
        for number in range(10):
            path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return folder / "photos", {"image_size": side}, path
    shape = (10, 1, 64) if 1 in ranks else (10, 1, 16, 16, 16)
    np.savez(folder / "grids.npz", X=rng.normal(size=shape), y=np.arange(10) % 2)
    return folder / "grids.npz", {}, rng.normal(size=shape[1:]).astype(np.float32)


@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_a_family_is_fitted_explained_exported_and_resumed(
    name: str, family: str, tmp_path: Path, own_cache: object
) -> None:
    if family == "timm":
        pytest.importorskip("timm")
    if family == "graph" or not (family == "timm" or MODELS.get(name).ranks):
        pytest.importorskip("rdkit")
    data, options, item = data_for(name, family, tmp_path)
    options |= {"model": name, "method": "scratch", "epochs": 1, "out": tmp_path / "run"}
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 6

    try:
        striate.fit(data, stop=stop, device="cpu", **options)
    except StoppedError:
        striate.fit(data, resume=True, device="cpu", **options)
    run = striate.load(tmp_path / "run", device="cpu")
    switched = [choice for choice in run.report.choices if choice.topic == "explanation"]
    # Gradients say nothing of features that are fixed: occlusion does, and the report says so,
    # where it shows a mistake.
    fixed = name == "graph_features"
    shown = bool(run.report.worst_mistakes)
    assert [choice.choice for choice in switched] == ["occlusion"] * (fixed and shown)
    (explained,) = explain_inputs(run, [item])
    assert explained.method == "occlusion" or not fixed
    # What is no better than marks at random gives way to occlusion.
    assert explained.method in (run.kind.explanation, "occlusion")
    try:
        assert run.export("pt2").is_file()
    except EngineError as error:
        assert "not exported" in str(error)


def test_a_size_that_a_network_does_not_take_is_refused_before_the_training(
    tmp_path: Path, own_cache: object
) -> None:
    data, options, _ = data_for("lenet5", "lenet", tmp_path)
    said: list[str] = []
    with pytest.raises(ArgumentError, match=r"the minimum along each axis is"):
        striate.fit(
            data,
            method="scratch",
            model="inception_v3",
            out=tmp_path / "run",
            progress=said.append,
            **options,
        )
    assert not any("training" in line for line in said)


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs timm")
def test_a_network_of_timm_that_takes_another_input_is_refused_in_one_line(
    tmp_path: Path, own_cache: object
) -> None:
    data, options, _ = data_for("lenet5", "lenet", tmp_path)
    with pytest.raises(ArgumentError, match=r"timm/coat_tiny does not take inputs of") as caught:
        striate.fit(data, method="scratch", model="timm/coat_tiny", out=tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
