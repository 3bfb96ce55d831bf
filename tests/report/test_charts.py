"""Charts: round ticks around the values, and points where they belong."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.report.charts import Line, interval_bar, line_chart, ticks
from striate.report.schema import Figure

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
    figure = Figure(value=0.5, ci95=(0.25, 1.0))
    svg = ElementTree.fromstring(interval_bar(figure, label="recall"))
    assert svg.find("circle").get("cx") == "70"
    interval = svg.findall("line")[1]
    assert (interval.get("x1"), interval.get("x2")) == ("38", "134")
    assert (
        len(ElementTree.fromstring(interval_bar(Figure(value=None), label="-")).findall("*")) == 1
    )
