"""Curves against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from striate.metrics.curves import threshold_curve


@pytest.mark.parametrize("decimals", [None, 1])
def test_points_equal_scikit_learns(sample, decimals):
    probabilities, labels = sample(2, 150, 2, decimals)
    scores, positive = probabilities[:, 1], labels == 1
    curve = threshold_curve(scores, positive)
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_array_equal(curve.thresholds[::-1], thresholds[1:])
    np.testing.assert_allclose(curve.found[::-1] / positive.sum(), true[1:])
    np.testing.assert_allclose(curve.false_alarms[::-1] / (~positive).sum(), false[1:])
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.found / (curve.found + curve.false_alarms), precision[:-1])
    np.testing.assert_allclose(curve.found / positive.sum(), recall[:-1])


def test_long_curves_are_thinned_between_their_ends(sample):
    probabilities, labels = sample(3, 3000, 2)
    curve = threshold_curve(probabilities[:, 1], labels == 1)
    assert len(curve.thresholds) == 200
    assert curve.found[0] == (labels == 1).sum() and curve.false_alarms[0] == (labels == 0).sum()
    assert curve.found[-1] + curve.false_alarms[-1] == 1
    for threshold, found in zip(curve.thresholds, curve.found, strict=True):
        assert found == ((probabilities[:, 1] >= threshold) & (labels == 1)).sum()
