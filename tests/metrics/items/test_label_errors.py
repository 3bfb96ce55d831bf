"""Labels that are likely wrong, on real data with planted errors and by the definition."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from striate.metrics.items.label_errors import doubtful_labels, label_doubts


def test_each_item_in_doubt_is_so_by_the_definition():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 200)
    probabilities = draws.dirichlet(np.full(4, 0.5), 200)
    usual = [probabilities[labels == c, c].mean() for c in range(4)]
    expected = {}
    for item, (row, label) in enumerate(zip(probabilities, labels, strict=True)):
        others = [c for c in range(4) if c != label and row[c] >= usual[c]]
        likely = max(others, key=lambda c: row[c], default=label)
        if row[likely] > row[label]:
            expected[item] = likely
    found = doubtful_labels(probabilities, labels)
    assert {one.item: one.likely for one in found} == expected
    doubts = label_doubts(probabilities, labels)[[one.item for one in found]].tolist()
    assert doubts == sorted(doubts, reverse=True)


def test_a_label_is_compared_with_the_best_other_class_and_with_what_is_usual():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1]])
    labels = np.array([0, 0, 2, 1])
    usual = np.array([(0.1 + 0.9) / 2, 0.6, 0.6])
    expected = [
        np.sqrt(0.9 * usual[0]) / 0.1,
        np.sqrt(0.1 * usual[0]) / 0.9,
        np.sqrt(0.2 * usual[2]) / 0.6,
        np.sqrt(0.3 * usual[1]) / 0.6,
    ]
    np.testing.assert_allclose(label_doubts(probabilities, labels), expected)


def test_a_label_whose_probability_is_zero_is_most_doubtful():
    probabilities = np.array([[0.0, 1.0], [0.9, 0.1], [0.2, 0.8]])
    doubts = label_doubts(probabilities, np.array([0, 0, 1]))
    assert np.isfinite(doubts).all()
    assert doubts.argmax() == 0


def test_a_class_without_items_is_nobodys_right_class():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.05, 0.05, 0.9], [0.9, 0.1, 0.0]])
    assert {one.likely for one in doubtful_labels(probabilities, np.array([0, 0, 0, 1]))} <= {0, 1}


@pytest.mark.parametrize(
    ("load", "share"),
    [
        (load_wine, 0.1),
        (load_breast_cancer, 0.05),
        pytest.param(load_digits, 0.1, marks=pytest.mark.slow),
    ],
)
def test_planted_errors_come_first_with_their_right_class(load, share):
    inputs, right = load(return_X_y=True)
    draws = np.random.default_rng(0)
    wrong = draws.random(len(right)) < share
    num_classes = right.max() + 1
    labels = np.where(
        wrong, (right + draws.integers(1, num_classes, len(right))) % num_classes, right
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    probabilities = cross_val_predict(model, inputs, labels, cv=5, method="predict_proba")
    found = doubtful_labels(probabilities, labels)
    planted = [one for one in found if wrong[one.item]]
    assert len(planted) >= 0.5 * wrong.sum()
    assert len(planted) >= 0.75 * len(found)
    assert np.mean([one.likely == right[one.item] for one in planted]) >= 0.85
    # Ranked by doubt, no worse than by the probability of the label alone.
    own = probabilities[np.arange(len(labels)), labels]
    doubt = np.zeros(len(labels))
    doubt[[one.item for one in found]] = np.arange(len(found), 0, -1)
    first = len(planted)
    assert wrong[np.argsort(-doubt)[:first]].mean() >= wrong[np.argsort(own)[:first]].mean() - 0.02
    assert average_precision_score(wrong, -own) > share
