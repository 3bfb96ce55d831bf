"""Every metric against scikit-learn, and against a loop that follows the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from striate.errors import ArgumentError
from striate.metrics.classification import METRICS, evaluate, metric_values, roc_area_bound


def sklearn_metrics(probabilities, labels, weights):
    num_classes = probabilities.shape[1]
    predictions = probabilities.argmax(1)
    scores = probabilities[:, 1] if num_classes == 2 else probabilities
    kept = weights > 0
    one_hot = np.eye(num_classes)[labels]
    areas = [
        sk.roc_auc_score(one_hot[:, c], probabilities[:, c], sample_weight=weights)
        for c in ([1] if num_classes == 2 else range(num_classes))
    ]
    if (weights == 1).all():
        whole = sk.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert whole == pytest.approx(np.mean(areas), abs=1e-12)
    return {
        "accuracy": sk.accuracy_score(labels, predictions, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(
            labels[kept], predictions[kept], sample_weight=weights[kept]
        ),
        "macro_f1": sk.f1_score(
            labels[kept], predictions[kept], average="macro", sample_weight=weights[kept]
        ),
        "roc_auc": np.mean(areas),
        "log_loss": sk.log_loss(
            labels, probabilities, sample_weight=weights, labels=range(num_classes)
        ),
        "ece": ece_by_loop(probabilities, labels, weights),
    }


def ece_by_loop(probabilities, labels, weights):
    total = 0.0
    for low in range(15):
        in_bin = [
            (w, row.max(), row.argmax() == y)
            for row, y, w in zip(probabilities, labels, weights, strict=True)
            if low / 15 < row.max() <= (low + 1) / 15
        ]
        if in_bin:
            w, confidence, right = (np.array(column) for column in zip(*in_bin, strict=True))
            total += abs((w * confidence).sum() - (w * right).sum())
    return total / weights.sum()


@pytest.mark.parametrize(("num_items", "num_classes"), [(60, 2), (300, 3), (400, 12)])
@pytest.mark.parametrize("decimals", [None, 0])
def test_metrics_equal_scikit_learn(sample, num_items, num_classes, decimals):
    probabilities, labels = sample(1, num_items, num_classes, decimals)
    ours = metric_values(probabilities, labels)
    assert tuple(ours) == METRICS
    theirs = sklearn_metrics(probabilities, labels, np.ones(num_items))
    for name in METRICS:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-12), name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), num_classes=st.integers(2, 5), data=st.data())
def test_weighted_metrics_equal_scikit_learn(sample, seed, num_classes, data):
    num_items = data.draw(st.integers(num_classes + 1, 40))
    probabilities, labels = sample(seed, num_items, num_classes, decimals=1)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, size=(num_items, 3)).astype(float)
    weights[:num_classes] += 1  # every class keeps an item
    ours = metric_values(probabilities, labels, weights)
    for draw in range(3):
        theirs = sklearn_metrics(probabilities, labels, weights[:, draw])
        for name in METRICS:
            assert ours[name][draw] == pytest.approx(theirs[name], abs=1e-12), name


def test_integer_weights_equal_repeated_items(sample):
    probabilities, labels = sample(3, 50, 3)
    weights = np.random.default_rng(3).integers(0, 3, size=50)
    weights[:3] = 1
    repeated = metric_values(probabilities.repeat(weights, 0), labels.repeat(weights))
    weighted = metric_values(probabilities, labels, weights[:, None].astype(float))
    for name in METRICS:
        assert weighted[name] == pytest.approx(repeated[name], abs=1e-12), name


def test_per_class_figures_equal_scikit_learn(sample):
    probabilities, labels = sample(4, 200, 4)
    evaluation = evaluate(probabilities, labels)
    predictions = probabilities.argmax(1)
    theirs = sk.precision_recall_fscore_support(labels, predictions, zero_division=0)
    for c, figures in enumerate(evaluation.per_class):
        ours = (figures.precision, figures.recall.value, figures.f1, figures.support)
        assert ours == pytest.approx([column[c] for column in theirs], abs=1e-12)
        assert figures.roc_auc == pytest.approx(
            sk.roc_auc_score(labels == c, probabilities[:, c]), abs=1e-12
        )
    np.testing.assert_array_equal(evaluation.confusion, sk.confusion_matrix(labels, predictions))


def test_a_class_without_items_leaves_no_roc_auc_and_says_why(sample):
    probabilities, labels = sample(5, 60, 3)
    kept = labels != 2
    evaluation = evaluate(probabilities[kept], labels[kept])
    assert evaluation.metrics["roc_auc"].value is None
    assert evaluation.metrics["roc_auc"].reason == "1 of 3 classes have no item here"
    assert evaluation.metrics["accuracy"].value is not None
    assert evaluation.per_class[2].recall.value is None
    assert evaluation.per_class[2].roc_auc is None
    assert evaluation.per_class[2].support == 0


def test_perfect_predictions_claim_no_certainty():
    labels = np.arange(40) % 2
    evaluation = evaluate(np.eye(2)[labels], labels)
    accuracy = evaluation.metrics["accuracy"]
    assert accuracy.value == 1.0
    assert accuracy.ci95 == pytest.approx((40 / (40 + 1.959964**2), 1.0), abs=1e-6)
    assert evaluation.metrics["roc_auc"].value == 1.0
    assert evaluation.metrics["roc_auc"].ci95 == (pytest.approx(0.8987, abs=1e-3), 1.0)
    balanced = evaluation.metrics["balanced_accuracy"].ci95
    # Two independent shares of 20: Wilson's arm of each over the root of 2.
    assert balanced == (pytest.approx(1 - 1.959964**2 / (20 + 1.959964**2) / 2**0.5), 1.0)
    assert evaluation.metrics["macro_f1"].ci95 == balanced


def test_a_single_item_is_evaluated():
    evaluation = evaluate(np.array([[0.7, 0.3]]), np.array([0]))
    assert evaluation.metrics["accuracy"].value == 1.0
    assert evaluation.metrics["ece"].value == 0.0  # noise alone leaves more than 0.3
    assert evaluation.metrics["ece"].ci95[1] > 0.9


def test_zero_probability_of_the_true_class_stays_finite():
    values = metric_values(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 0]))
    assert values["log_loss"][0] == pytest.approx((-np.log(np.finfo(float).eps) + np.log(2)) / 2)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.empty((0, 2)), np.empty(0, int), "nothing to evaluate"),
        (np.ones((3, 2)) / 2, np.zeros(2, int), "for 2 labels"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "labels from 0 to 2"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(probabilities, labels, message):
    with pytest.raises(ArgumentError, match=message):
        evaluate(probabilities, labels)


def test_the_bound_of_an_area_is_scikit_learns_area_and_two_errors():
    rng = np.random.default_rng(3)
    positive, negative = rng.normal(0.5, 1, 12).round(1), rng.normal(0, 1, 20).round(1)
    area = sk.roc_auc_score([1] * 12 + [0] * 20, np.concatenate([positive, negative]))
    error = np.sqrt((12 + 20 + 1) / (12 * 12 * 20))
    assert roc_area_bound(positive, negative) == pytest.approx(area + 2 * error, rel=1e-12)
