"""Calibration and thresholds of several labels, and two models compared."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

from striate.tasks import task_named
from striate.tasks.multilabel.scoring import LabelCalibration, best_threshold, compare_rows


def overconfident(num_items=400, seed=0):
    """Logits three times too large and shifted, and labels drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(num_items, 3)) * 1.5 + (-1.0, 0.0, 0.5)
    return 3 * true + (1.0, 0.0, -2.0), rng.random((num_items, 3)) < 1 / (1 + np.exp(-true))


def test_calibration_finds_scale_and_shift():
    logits, members = overconfident(4000)
    found = LabelCalibration.fitted(logits, members)
    np.testing.assert_allclose(found.scale, 1 / 3, rtol=0.15)
    np.testing.assert_allclose(found.bias, [-1 / 3, 0, 2 / 3], atol=0.2)
    fresh, truth = overconfident(seed=1)
    for k in range(3):
        before = log_loss(truth[:, k], 1 / (1 + np.exp(-fresh[:, k])))
        assert log_loss(truth[:, k], found.answers(fresh)[:, k]) < before


def test_a_rare_label_takes_the_common_scale_and_the_default_threshold():
    logits, members = overconfident()
    members[:, 0] = False
    members[:5, 0] = True
    found = LabelCalibration.fitted(logits, members)
    assert found.thresholds[0] == 0.5 and found.bias[0] == 0.0
    few = LabelCalibration.fitted(logits[:3], members[:3])
    assert (few.scale, few.bias, few.thresholds) == ((1.0,) * 3, (0.0,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_higher_f1(seed):
    rng = np.random.default_rng(seed)
    has = rng.random(150) < 0.2
    scores = np.round(np.clip(rng.normal(0.25 + 0.3 * has, 0.15), 0.01, 0.99), 2)
    chosen = f1_score(has, scores >= best_threshold(scores, has))
    assert chosen == pytest.approx(max(f1_score(has, scores >= t) for t in np.unique(scores)))


def test_a_half_is_kept_where_it_is_as_good():
    scores = np.concatenate([np.linspace(0.1, 0.3, 20), np.linspace(0.6, 0.9, 20)])
    assert best_threshold(scores, scores > 0.5) == 0.5


def test_a_calibration_survives_json_and_is_the_same_as_a_module():
    calibration = LabelCalibration.fitted(*overconfident())
    assert task_named("multilabel").calibration(calibration.to_json()) == calibration
    outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found = calibration.module()(outputs)
    np.testing.assert_allclose(found, calibration.answers(outputs.numpy()), rtol=1e-5, atol=1e-6)
    card = calibration.outputs(("a", "b", "c"))
    assert card[1]["thresholds"] == dict(zip("abc", calibration.thresholds, strict=True))


def test_models_are_compared_by_their_wrong_labels():
    rng = np.random.default_rng(0)
    truth = rng.random((60, 2)) < 0.5

    def rows(noise):
        p = np.clip(np.where(truth, 0.8, 0.2) + rng.normal(0, noise, truth.shape), 0.01, 0.99)
        return [
            {
                "labels": "|".join(np.array(["a", "b"])[row]),
                "prediction": "|".join(np.array(["a", "b"])[of_item >= 0.5]),
                "p_a": str(of_item[0]),
                "p_b": str(of_item[1]),
            }
            for row, of_item in zip(truth, p, strict=True)
        ]

    bad, good = rows(0.5), rows(0.05)
    result = compare_rows(bad, good, ("a", "b"))
    assert result.second_better > 20 and result.first_better == 0 and result.p_value < 1e-4
    assert result.differences["map"].value > 0 and result.differences["micro_f1"].ci95[0] > 0
    same = compare_rows(good, good, ("a", "b"))
    assert same.p_value == 1.0 and same.differences["map"].value == 0
