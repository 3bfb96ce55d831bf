"""Two sets of rows told apart: the closed form is scikit-learn's, and the level is kept."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from striate.metrics.unlabelled.two_sample import RIDGE, classifier_test, holm


@pytest.mark.parametrize(("n", "m", "k"), [(12, 9, 4), (10, 14, 60)])
def test_the_area_is_that_of_ridge_regressions_that_leave_each_row_out(n, m, k):
    rng = np.random.default_rng(k)
    first, second = rng.normal(size=(n, k)), rng.normal(0.7, 1.3, size=(m, k))
    rows = np.concatenate([first, second])
    rows = (rows - rows.mean(0)) / rows.std(0)
    labels = np.repeat([-1 / n, 1 / m], [n, m])
    alpha = RIDGE * np.square(rows).sum() / len(rows)
    model = Ridge(alpha=alpha, fit_intercept=False)
    scores = cross_val_predict(model, rows, labels, cv=LeaveOneOut())
    test = classifier_test(first, second, permutations=19)
    assert test.told_apart == pytest.approx(roc_auc_score(labels > 0, scores), abs=1e-12)


def test_p_values_of_alike_sets_are_uniform():
    rng = np.random.default_rng(0)
    found = [
        classifier_test(*np.split(rng.standard_t(3, (30, 8)), [18]), permutations=99).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(found) <= 0.05) < 0.08
    assert kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("change", [lambda x: x + 0.8, lambda x: np.exp(x) * 2])
def test_a_change_is_found(change):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(60, 3)), change(rng.normal(size=(40, 3)))
    test = classifier_test(first, second)
    assert test.p_value == 0.001
    assert test.told_apart > 0.6


def test_rows_without_variation_are_alike():
    test = classifier_test(np.ones((5, 3)), np.ones((4, 3)), permutations=9)
    assert (test.p_value, test.told_apart) == (1.0, 0.5)


def test_holm_is_p_adjust_of_r():
    p_values = np.array([0.03, 0.01, 0.05, 0.02, 0.04])
    assert holm(p_values) == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])
