"""Figures against those of torchmetrics and statsmodels, to 1e-6."""

import numpy as np
import pytest

from striate.metrics.classification import metric_values
from striate.metrics.intervals import wilson_interval
from striate.metrics.paired import mcnemar


@pytest.mark.parametrize(("num_items", "num_classes"), [(40, 2), (300, 3), (2000, 10)])
def test_figures_of_classes_equal_torchmetrics(sample, num_items, num_classes):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.functional.classification")
    probabilities, labels = sample(num_items, num_items, num_classes)
    ours = {name: value[0] for name, value in metric_values(probabilities, labels).items()}
    given = torch.from_numpy(probabilities), torch.from_numpy(labels)
    options = {"num_classes": num_classes}
    expected = {
        "ece": theirs.multiclass_calibration_error(*given, n_bins=15, norm="l1", **options),
        "accuracy": theirs.multiclass_accuracy(*given, average="micro", **options),
        "balanced_accuracy": theirs.multiclass_accuracy(*given, average="macro", **options),
        "macro_f1": theirs.multiclass_f1_score(*given, average="macro", **options),
        "roc_auc": theirs.multiclass_auroc(*given, average="macro", **options),
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(float(value), abs=1e-6), name


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (0, 5), (10, 10), (41, 70)])
def test_mcnemar_equals_statsmodels(only_first, only_second):
    theirs = pytest.importorskip("statsmodels.stats.contingency_tables")
    table = [[500, only_first], [only_second, 60]]
    expected = theirs.mcnemar(table, exact=True).pvalue
    assert mcnemar(only_first, only_second) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("right", "items"), [(0, 10), (50, 51), (930, 2000)])
def test_wilson_equals_statsmodels(right, items):
    theirs = pytest.importorskip("statsmodels.stats.proportion")
    expected = theirs.proportion_confint(right, items, method="wilson")
    assert wilson_interval(right / items, items) == pytest.approx(expected, abs=1e-6)


def test_holm_equals_statsmodels():
    theirs = pytest.importorskip("statsmodels.stats.multitest")
    from striate.metrics.unlabelled.two_sample import holm

    p_values = np.random.default_rng(0).random(30) ** 3
    expected = theirs.multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected, atol=1e-6, rtol=0)
