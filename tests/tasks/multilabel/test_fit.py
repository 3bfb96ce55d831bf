"""From a manifest of pictures with several labels to a run, and what the run can do."""

import json

import pytest

from striate.data.layouts.layout import open_source
from striate.run.folder import PREDICTIONS


def test_a_run_of_several_labels(labelled_run, manifest):
    run = labelled_run
    assert run.record.task == "multilabel" and run.classes == ("bar", "disc", "square")
    assert run.metrics["map"] > 0.8 and run.metrics["micro_f1"] > 0.7
    truth = {
        item.id: frozenset(filter(None, item.extra["labels"].split("|")))
        for item in open_source(manifest).listing.items
    }
    found = run.predict([manifest.parent / f"{n}.png" for n in range(20)])
    right = sum(set(one.labels) == truth[f"{n}.png"] for n, one in enumerate(found))
    assert right >= 14
    rows = run.folder.read_csv(PREDICTIONS)
    assert {
        frozenset(filter(None, row["labels"].split("|"))) == truth[row["item"]] for row in rows
    } == {True}
    assert "Label by label" in (run.folder.path / "report.html").read_text()


def test_it_is_evaluated_explained_and_compared(labelled_run, manifest, tmp_path):
    own, new = labelled_run.evaluate(), labelled_run.evaluate(manifest)
    assert list(own.metrics) == list(new.metrics) == ["map", "micro_f1", "macro_f1", "roc_auc"]
    assert new.num_items == 90
    picture = manifest.parent / "0.png"
    (explained,) = labelled_run.explain(picture, target="disc", out=tmp_path)
    assert explained.target == "disc" and explained.path.is_file()
    compared = labelled_run.compare(labelled_run)
    assert compared.result.p_value == 1.0 and json.dumps(compared.as_json())


def test_the_exported_module_gives_the_probabilities(labelled_run, manifest):
    import numpy as np
    import torch

    from striate.run.deployment.answering import deployment_of

    deployment = deployment_of(labelled_run)
    logits, probabilities, *_ = deployment.module(deployment.example)
    expected = labelled_run.calibration.answers(logits.detach().numpy())
    np.testing.assert_allclose(probabilities.detach(), expected, atol=1e-5)
    assert isinstance(probabilities, torch.Tensor)
    assert "thresholds" in deployment.card["outputs"][1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["kernel", "finetune", "scratch"])
def test_every_method_learns_labels(manifest, tmp_path, method):
    import striate

    options = {"epochs": 2} if method in ("finetune", "scratch") else {}
    run = striate.fit(
        manifest, out=tmp_path / method, method=method, image_size=48, device="cpu", **options
    )
    assert run.record.method == method and run.metrics["map"] is not None
