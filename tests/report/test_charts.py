"""Charts: round ticks around the values, and points where they belong."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.metrics.intervals import Estimate
from striate.report.charts import (
    Line,
    histogram_chart,
    interval_bar,
    line_chart,
    scatter_chart,
    ticks,
)

FINITE = st.floats(-1e9, 1e9)


@given(FINITE, FINITE)
def test_ticks_are_few_even_and_around_the_values(a, b):
    low, high = sorted((a, b))
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-6):
        high = low  # closer than any axis can tell
    values = ticks(low, high)
    assert 2 <= len(values) <= 8
    tolerance = 1e-9 * max(abs(low), abs(high), 1)
    assert values[0] <= low + tolerance
    assert values[-1] >= high - tolerance
    steps = [after - before for before, after in itertools.pairwise(values)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_a_gap_splits_a_line_and_a_lone_point_is_a_dot():
    line = Line(name="loss <&>", style=1, points=[(1, 1.0), (2, 0.5), (3, None), (4, 0.25)])
    svg = ElementTree.fromstring(line_chart([line], title="Loss", x_label="epoch"))
    assert len(svg.findall("polyline")) == 2
    assert svg.find("circle/title").text == "loss <&>"


def test_a_single_epoch_is_drawn():
    line = Line(name="loss", style=1, points=[(1, 0.5)])
    svg = ElementTree.fromstring(line_chart([line], title="Loss", x_label="epoch"))
    assert len(svg.findall("circle")) == 1


def test_an_interval_bar_places_value_and_limits():
    figure = Estimate(value=0.5, ci95=(0.25, 1.0))
    svg = ElementTree.fromstring(interval_bar(figure, "recall"))
    assert svg.find("circle").get("cx") == "70"
    interval = svg.findall("line")[1]
    assert (interval.get("x1"), interval.get("x2")) == ("38", "134")
    assert len(ElementTree.fromstring(interval_bar(Estimate(value=None), "-")).findall("*")) == 1


def test_a_scatter_has_a_point_an_item_and_the_diagonal_where_both_agree():
    svg = ElementTree.fromstring(scatter_chart((0.0, 5.0, 10.0), (0.0, 10.0, 10.0), "mm"))
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in svg.findall("circle")]
    (diagonal,) = svg.findall("line[@class='diagonal']")
    ends = [tuple(float(diagonal.get(f"{axis}{n}")) for axis in "xy") for n in (1, 2)]
    assert [points[0], points[2]] == ends
    assert points[1] == ((ends[0][0] + ends[1][0]) / 2, ends[1][1])
    assert svg.find("circle/title").text == "true 0, predicted 0"
    assert "true value (mm)" in [text.text for text in svg.findall("text")]


def test_a_histograms_columns_are_as_high_as_their_counts():
    svg = ElementTree.fromstring(histogram_chart((-1.0, 0.0, 1.0, 2.0), (4, 8, 0)))
    heights = [float(column.get("height")) for column in svg.findall("rect")]
    assert heights[1] == pytest.approx(2 * heights[0]) and heights[2] == 0
    (zero,) = svg.findall("line[@class='diagonal']")
    column = svg.findall("rect")[1]
    assert float(zero.get("x1")) == pytest.approx(float(column.get("x")) - 0.5)


def test_equal_numbers_are_drawn():
    assert ElementTree.fromstring(scatter_chart((3.0,), (3.0,))).find("circle") is not None
