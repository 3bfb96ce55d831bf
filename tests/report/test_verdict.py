"""The plain sentences say what the figures say."""

import numpy as np
import pytest

from striate.report import build_report, verdict
from striate.report.verdict import percent


def test_a_good_model(make_inputs):
    report = build_report(*make_inputs(signal=2.0))
    told = verdict(report)
    right = round(100 * report.test.accuracy.value)
    assert told.headline == f"Of 100 new images, about {right} are classified correctly"
    assert told.better_than_guessing
    assert told.sentences[0].startswith("Always answering with the most common class")


def test_a_model_that_guesses_is_called_so(make_inputs):
    told = verdict(build_report(*make_inputs(signal=0.0)))
    assert not told.better_than_guessing
    assert "do not rely on this model yet" in told.sentences[0]


def test_the_gain_over_the_probe_is_counted_in_points(make_inputs):
    labels = np.arange(120) % 2
    probe = np.eye(2)[np.where(np.arange(120) < 30, 1 - labels, labels)] * 0.8 + 0.1
    report = build_report(*make_inputs(signal=50.0, test={"probe_probabilities": probe}))
    assert "That is 25.0 percentage points more than a linear" in verdict(report).sentences[1]


def test_a_probe_is_not_compared_with_itself(make_inputs):
    """Fitted again to more items, it differs from the baseline a little, which tells nothing."""
    probe = np.full((120, 2), 0.5)
    facts = {"method": "probe", "test": {"probe_probabilities": probe}}
    told = " ".join(verdict(build_report(*make_inputs(**facts))).sentences)
    assert "linear" not in told


def test_the_weakest_class_and_what_it_is_taken_for(make_inputs):
    labels = np.repeat([0, 1, 2], 40)
    predictions = labels.copy()
    predictions[40:60] = 2
    test = {"labels": labels, "logits": np.eye(3)[predictions] * 4}
    told = " ".join(verdict(build_report(*make_inputs(classes="abc", test=test))).sentences)
    assert "weakest at “b” (50\u00a0% found, most often taken for “c”)" in told


def test_few_items_are_mentioned(make_inputs):
    few = verdict(build_report(*make_inputs(num_items=40))).sentences
    assert few[-1] == "The test set holds only 40 images: the figures are rough."
    many = verdict(build_report(*make_inputs(num_items=100))).sentences
    assert not any("only" in sentence for sentence in many)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (0.004, "0.4"), (0.5, "50"), (0.995, "99.5"), (1.0, "100")],
)
def test_percentages_near_the_ends_keep_a_decimal(share, text):
    assert percent(share) == text + "\u00a0%"
