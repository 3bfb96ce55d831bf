"""What the page says of the worst parts and of more data; silent where the data do not tell."""

from types import SimpleNamespace

import pytest

from striate.metrics.intervals import Estimate
from striate.report.outlook import learning_part, learning_sentence, slice_rows
from striate.report.schema import LearningCurve, SliceFigures, SliceReport


def report(low, high, *, is_share=True, supported=None, **more):
    curve = LearningCurve(
        error_name="share of wrong answers" if is_share else "mean absolute error",
        is_share=is_share,
        sizes=(20, 40, 80),
        errors=tuple(Estimate(value=v, ci95=(v / 2, 2 * v)) for v in (0.3, 0.2, 0.15)),
        num_items=100,
        gain=Estimate(value=(low + high) / 2, ci95=(low, high)),
        expected=Estimate(value=0.12, ci95=(0.1, 0.14)),
        is_supported=low > 0 if supported is None else supported,
    )
    shown = {"nouns": ("image", "images"), "unit": "", "learning_curve": curve, "slices": None}
    return SimpleNamespace(**{**shown, **more})


def test_what_twice_the_data_would_bring():
    told = learning_sentence(report(0.01, 0.03))
    assert told == (
        "Twice the images would lower the share of wrong answers of a linear model by about 2.0 "
        "percentage points (95 % interval: 1.0 to 3.0), to about 12\u00a0%."
    )
    assert "<svg" in learning_part(report(0.01, 0.03))["chart"]
    told = learning_sentence(report(0.1, 0.3, is_share=False, unit="mm"))
    assert "by about 0.200 mm (95 % interval: 0.100 to 0.300), to about 0.120" in told


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.03), (0.0, 0.02)])
def test_nothing_is_said_where_the_data_do_not_tell(low, high):
    assert learning_sentence(report(low, high)) == ""
    assert learning_part(report(low, high)) is None
    assert learning_part(report(low, high, learning_curve=None)) is None


def test_that_more_brings_little_is_said():
    assert "by 0.5 percentage points at most" in learning_sentence(report(-0.002, 0.005))


def test_the_worst_parts():
    found = SliceFigures(
        column="brightness",
        value="up to 0.2",
        num_items=40,
        error=Estimate(value=0.4, ci95=(0.2, 0.6)),
        others=0.1,
        p_value=0.0005,
    )
    slices = SliceReport(error_name="x", is_share=True, num_tried=9, found=(found,))
    (row,) = slice_rows(report(0, 1, slices=slices))
    assert row["name"] == "brightness: up to 0.2"
    assert (row["interval"], row["chance"]) == ("20 to 60\u00a0%", "below 0.1 %")
    assert slice_rows(report(0, 1)) == []
