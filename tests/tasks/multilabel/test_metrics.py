"""The metrics of several labels against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from striate.errors import ArgumentError
from striate.tasks.multilabel.metrics import METRICS, average_precision, evaluate, metric_values


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_are_those_of_scikit_learn(answers, ties):
    probabilities, decided, truth = answers(ties=ties)
    found = evaluate(probabilities, decided, truth)
    expected = {
        "map": sk.average_precision_score(truth, probabilities, average="macro"),
        "micro_f1": sk.f1_score(truth, decided, average="micro"),
        "macro_f1": sk.f1_score(truth, decided, average="macro"),
        "roc_auc": sk.roc_auc_score(truth, probabilities, average="macro"),
    }
    assert tuple(found.metrics) == METRICS
    for name, value in expected.items():
        estimate = found.metrics[name]
        assert estimate.value == pytest.approx(value, abs=1e-12), name
        assert estimate.ci95[0] < value < estimate.ci95[1]
    for k, of_label in enumerate(found.per_label):
        has, said, scores = truth[:, k], decided[:, k], probabilities[:, k]
        assert of_label.support == has.sum()
        assert of_label.num_predicted == said.sum()
        assert of_label.roc_auc.value == pytest.approx(sk.roc_auc_score(has, scores), abs=1e-12)
        assert of_label.roc_auc.ci95[0] < of_label.roc_auc.value < of_label.roc_auc.ci95[1]
        expected_ap = sk.average_precision_score(has, scores)
        assert of_label.average_precision.value == pytest.approx(expected_ap, abs=1e-12)
        assert of_label.precision == pytest.approx(sk.precision_score(has, said))
        assert of_label.recall == pytest.approx(sk.recall_score(has, said))
        assert of_label.f1 == pytest.approx(sk.f1_score(has, said))


def test_a_weight_counts_like_copies(answers):
    probabilities, decided, truth = answers(num_items=40, ties=True)
    weights = np.random.default_rng(1).integers(0, 4, 40)
    copies = [np.repeat(array, weights, axis=0) for array in (probabilities, decided, truth)]
    weighted = metric_values(probabilities, decided, truth, weights[:, None].astype(float))
    for name, (value,) in metric_values(*copies).items():
        assert weighted[name][0] == pytest.approx(value, abs=1e-12), name
    expected = sk.average_precision_score(truth[:, 0], probabilities[:, 0], sample_weight=weights)
    found = average_precision(probabilities[:, 0], truth[:, 0], weights[:, None].astype(float))
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_labels_that_do_not_occur_are_left_out(answers):
    probabilities, decided, truth = answers()
    truth[:, 0] = decided[:, 0] = False
    found, rest = (
        evaluate(probabilities[:, some], decided[:, some], truth[:, some]).metrics
        for some in (slice(None), slice(1, None))
    )
    for name in METRICS:
        assert found[name].value == pytest.approx(rest[name].value)
    alone = evaluate(probabilities[:, :1], decided[:, :1], truth[:, :1])
    assert {estimate.value for estimate in alone.metrics.values()} == {None}
    assert "no item here has the label" in alone.metrics["map"].reason


def test_arrays_that_do_not_fit_are_refused(answers):
    probabilities, decided, truth = answers()
    with pytest.raises(ArgumentError, match="one row an item"):
        evaluate(probabilities[:, :2], decided, truth)
    with pytest.raises(ArgumentError):
        evaluate(probabilities[:0], decided[:0], truth[:0])
