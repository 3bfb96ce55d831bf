"""The plain sentences say what the figures say."""

import numpy as np
import pytest

from striate.metrics.intervals import Estimate
from striate.report import Candidate
from striate.report.page import percent
from striate.tasks.classification.page import classification_verdict as verdict
from striate.tasks.classification.report import build_report


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
    report = build_report(*make_inputs(signal=50.0, test={"probe": probe}))
    assert verdict(report).sentences[1] == (
        "A linear classifier on features that were not trained for this task is right for "
        "75\u00a0%, 25.0 percentage points less than this model."
    )


def test_a_probe_is_not_compared_with_itself(make_inputs):
    """Fitted again to more items, it differs from the baseline a little, which tells nothing."""
    probe = np.full((120, 2), 0.5)
    facts = {"is_baseline": True, "test": {"probe": probe}}
    told = " ".join(verdict(build_report(*make_inputs(**facts))).sentences)
    assert "linear" not in told


def test_the_weakest_class_and_what_it_is_taken_for(make_inputs):
    labels = np.repeat([0, 1, 2], 40)
    predictions = labels.copy()
    predictions[40:60] = 2
    test = {"truth": labels, "outputs": np.eye(3)[predictions] * 4}
    told = " ".join(verdict(build_report(*make_inputs(classes="abc", test=test))).sentences)
    assert "weakest at “b” (50\u00a0% found, most often taken for “c”)" in told


def class_report(make_inputs, counts, wrong, num_classes=3):
    """A report on so many items of each class, of which so many are taken for the next class."""
    labels = np.repeat(np.arange(num_classes), counts)
    predictions = np.concatenate(
        [(np.arange(n) < w) + k for k, (n, w) in enumerate(zip(counts, wrong, strict=True))]
    )
    test = {"truth": labels, "outputs": np.eye(num_classes)[predictions % num_classes] * 4}
    classes = [f"c{k}" for k in range(num_classes)]
    return build_report(*make_inputs(num_items=len(labels), classes=classes, test=test))


@pytest.mark.parametrize(
    ("counts", "wrong", "said"),
    [
        (
            [2, 40, 40],
            [2, 0, 20],
            "“c0” has 2 test images: too few to tell how well it is found. Of the other classes it "
            "is best at “c1” (100\u00a0% of them found) and weakest at “c2” (50\u00a0% found, most "
            "often taken for “c0”).",
        ),
        (
            [0, 1, 40, 40],
            [0, 0, 0, 0],
            "“c0” has no and “c1” has 1 test images: too few to tell how well they are found. It "
            "finds all other classes about equally well.",
        ),
        ([9, 9, 9], [0, 0, 0], "Every class has fewer than 10 test images: too few to tell"),
        (
            [15, 15, 15],
            [1, 3, 2],
            "weakest at “c1” (80\u00a0% found, most often taken for “c2”); chance alone may explain "
            "the difference.",
        ),
    ],
)
def test_classes_of_few_items_are_named_first(make_inputs, counts, wrong, said):
    report = class_report(make_inputs, counts, wrong, len(counts))
    assert said in " ".join(verdict(report).sentences)


def test_more_classes_of_few_items_are_counted(make_inputs):
    report = class_report(make_inputs, [1, 2, 3, 4, 5, 40, 40], [0] * 7, 7)
    assert (
        "“c0” has 1, “c1” has 2, “c2” has 3 and 2 more have fewer than 10 test images: too few"
        in " ".join(verdict(report).sentences)
    )


def test_a_class_of_few_items_is_marked_in_the_table(make_inputs, page):
    report = class_report(make_inputs, [2, 40, 40], [2, 0, 20])
    assert page(report).count("<small>too few to tell</small>") == 1


@pytest.mark.parametrize(("num_items", "right"), [(2, 0), (1, 1), (19, 15)])
def test_of_few_items_the_headline_speaks_of_these_alone(make_inputs, num_items, right):
    labels = np.zeros(num_items, int)
    outputs = np.eye(2)[(np.arange(num_items) >= right).astype(int)] * 4
    report = build_report(
        *make_inputs(num_items=num_items, test={"truth": labels, "outputs": outputs})
    )
    noun = "images" if num_items > 1 else "image"
    assert verdict(report).headline == (
        f"It classified {right} of {num_items} test {noun} correctly: too few to tell how often it "
        "will be right"
    )


def calibrated(make_inputs, value, ci95):
    report = build_report(*make_inputs())
    figure = Estimate(value=value, ci95=ci95)
    return report.model_copy(update={"test": report.test.model_copy(update={"ece": figure})})


@pytest.mark.parametrize(
    ("value", "ci95", "said"),
    [
        (0.02, (0.01, 0.04), "by 2.0 percentage points on average (95 % interval: 1.0 to 4.0), so"),
        (0.02, (0.01, 0.04), "so they can be taken at face value."),
        (0.09, (0.06, 0.12), "so do not take them at face value."),
        (0.05, (0.02, 0.08), "(95 % interval: 2.0 to 8.0)."),
        (0.122, (0.0, 0.147), "120 test images are too few to tell whether its stated probabil"),
        (0.122, (0.0, 0.147), "off by anything from 0.0 to 14.7 percentage points."),
        (0.0, (0.0, 0.03), "by no more than chance explains (95 % interval: 0.0 to 3.0), so"),
        (0.2, (0.1, 0.3), "so do not take them at face value."),
        (0.0, None, "too few to tell"),
    ],
)
def test_the_calibration_is_told_with_its_uncertainty(make_inputs, page, value, ci95, said):
    report = calibrated(make_inputs, value, ci95)
    (sentence,) = [text for text in verdict(report).sentences if "stated probab" in text]
    assert said in sentence
    assert sentence in page(report)


def test_a_few_items_that_are_all_right_prove_no_calibration(make_inputs):
    report = build_report(*make_inputs(num_items=18, signal=50.0))
    assert report.test.ece.value < 0.01
    told = " ".join(verdict(report).sentences)
    assert "18 test images are too few to tell whether its stated probabilities" in told


def test_what_was_tried_is_a_table(make_inputs, page):
    tried = [
        Candidate(method="probe", model="b0", judged_by="validation", loss=0.5, kept=False, why="worse"),
        Candidate(method="finetune", model="b0", judged_by="validation", loss=0.25, seconds=75, kept=True),
    ]  # fmt: skip
    shown = page(build_report(*make_inputs(candidates=tried)))
    assert "What was tried" in shown and "0.2500" in shown and "worse" in shown
    assert "What was tried" not in page(build_report(*make_inputs()))


def test_the_facts_say_where_the_weights_come_from(make_inputs, page):
    facts = {"weights": "ImageNet weights of a-package", "method_summary": "pretrained first"}
    shown = page(build_report(*make_inputs(**facts)))
    assert "<dt>Weights</dt><dd>ImageNet weights of a-package</dd>" in shown
    assert "<dd>finetune: pretrained first</dd>" in shown


def test_few_items_are_mentioned(make_inputs):
    few = verdict(build_report(*make_inputs(num_items=40))).sentences
    assert few[-1] == "The test set holds only 40 images: the figures are rough."
    many = verdict(build_report(*make_inputs(num_items=100))).sentences
    assert not any("only" in sentence for sentence in many)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0.0, "0"), (1e-5, "0.1"), (0.004, "0.4"), (0.5, "50"), (0.995, "99.5")),
        *((0.99999, "99.9"), (1 - 1e-16, "100"), (1.0, "100")),
    ],
)
def test_percentages_near_the_ends_keep_a_decimal(share, text):
    assert percent(share) == text + "\u00a0%"
