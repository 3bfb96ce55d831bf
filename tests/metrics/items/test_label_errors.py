"""Labels that are likely wrong, on real data with planted errors and by the definition."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from striate.metrics.items.label_doubts import label_doubts, plain_doubts, usual_probabilities
from striate.metrics.items.label_errors import MIN_DOUBT, doubtful_labels


def plain(probabilities, labels):
    return plain_doubts(probabilities, labels, usual_probabilities(probabilities, labels))


def test_so_many_labels_are_in_doubt_as_are_wrong_among_the_clear_ones():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 200)
    probabilities = draws.dirichlet(np.full(4, 0.5), 200)
    usual = [probabilities[labels == c, c].mean() for c in range(4)]
    expected = 0.0
    for label in range(4):
        clear = wrong = 0
        for row in probabilities[labels == label]:
            confident = [c for c in range(4) if row[c] >= usual[c]]
            if confident:
                clear += 1
                wrong += max(confident, key=lambda c: row[c]) != label
        expected += (labels == label).sum() * wrong / clear
    doubts = label_doubts(probabilities, labels)
    most_doubtful = np.argsort(-doubts, kind="stable")[: round(expected)].tolist()
    least = plain(probabilities, labels)
    found = doubtful_labels(probabilities, labels)
    assert [one.item for one in found] == [i for i in most_doubtful if least[i] >= MIN_DOUBT]
    assert len(found) > 10
    for one in found:
        row = probabilities[one.item].copy()
        assert one.own_probability == row[labels[one.item]]
        row[labels[one.item]] = -1
        assert (one.likely, one.probability) == (row.argmax(), row.max())


def test_right_labels_of_classes_that_overlap_are_seldom_in_doubt():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, 2000)
    inputs = draws.normal(labels, 1.0)  # the best answer is right 69 % of the time
    probabilities = 1 / (1 + np.exp(np.stack([inputs - 0.5, 0.5 - inputs], 1)))
    assert len(doubtful_labels(probabilities, labels)) < 0.1 * len(labels)


def test_a_label_is_compared_with_the_best_other_class_and_with_what_is_usual():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1]])
    labels = np.array([0, 0, 2, 1])
    usual = np.array([(0.1 + 0.9) / 2, 0.6, 0.6])
    expected = [
        0.9**0.25 * usual[0] ** 0.5 / 0.12,
        0.1**0.25 * usual[0] ** 0.5 / 0.92,
        0.2**0.25 * usual[2] ** 0.5 / 0.62,
        0.3**0.25 * usual[1] ** 0.5 / 0.62,
    ]
    np.testing.assert_allclose(plain(probabilities, labels), expected)


def test_a_label_whose_probability_is_zero_is_most_doubtful():
    probabilities = np.array([[0.0, 1.0], [0.9, 0.1], [0.2, 0.8]])
    labels = np.array([0, 0, 1])
    for doubts in (plain(probabilities, labels), label_doubts(probabilities, labels)):
        assert np.isfinite(doubts).all()
        assert doubts.argmax() == 0


def planted(margin_tells, seed):
    """Probabilities of models that are unsure of all classes alike, or take odd items for none."""
    draws = np.random.default_rng(seed)
    right = draws.integers(0, 5, 800)
    wrong = draws.random(800) < 0.05
    labels = np.where(wrong, (right + draws.integers(1, 5, 800)) % 5, right)
    logits = draws.normal(0, 1, (800, 5))
    logits[np.arange(800), right] += 6
    odd = draws.random(800) < 0.04
    if margin_tells:  # odd items resemble no class, least of all their own
        logits[odd] = draws.normal(0, 0.3, (odd.sum(), 5))
        logits[odd, right[odd]] -= 2
    else:  # odd items resemble one other class
        logits[odd, (right[odd] + 1) % 5] += 6
    scaled = np.exp(logits)
    return scaled / scaled.sum(1, keepdims=True), labels, wrong


@pytest.mark.parametrize("margin_tells", [True, False])
def test_the_order_follows_what_tells_drawn_labels_in_the_data(margin_tells):
    leads, better = [], []
    for seed in range(5):
        probabilities, labels, wrong = planted(margin_tells, seed)
        own = probabilities[np.arange(len(labels)), labels]
        others = probabilities.copy()
        others[np.arange(len(labels)), labels] = -1
        found = label_doubts(probabilities, labels)
        by_score = [average_precision_score(wrong, s) for s in (-own, others.max(1) - own)]
        leads.append(average_precision_score(wrong, found) - max(by_score))
        better.append(by_score[1] > by_score[0])
    assert np.mean(leads) > -0.01
    assert np.mean(better) > 0.5 if margin_tells else True


def test_of_many_items_and_classes_a_part_of_the_other_labels_is_drawn():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 40, 4000)
    probabilities = draws.dirichlet(np.full(40, 0.2), 4000)
    probabilities[np.arange(4000), labels] += 1.0
    probabilities /= probabilities.sum(1, keepdims=True)
    labels[:20] = (labels[:20] + 1) % 40
    found = label_doubts(probabilities, labels)
    assert set(np.argsort(-found)[:20].tolist()) == set(range(20))


def test_probabilities_that_know_nothing_of_the_labels_keep_the_plain_order():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 3, 300)
    probabilities = draws.dirichlet(np.ones(3), 300)
    probabilities[np.arange(300), labels] *= 0.2  # worse than chance
    probabilities /= probabilities.sum(1, keepdims=True)
    found = label_doubts(probabilities, labels)
    np.testing.assert_array_equal(np.argsort(-found), np.argsort(-plain(probabilities, labels)))


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
