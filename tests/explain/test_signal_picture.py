"""Signals as pictures."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from striate.errors import ArgumentError
from striate.explain.signal_picture import WIDTH, signal_image, signal_svg

SVG = "{http://www.w3.org/2000/svg}"


def example(channels: int = 3, length: int = 200) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(length)
    signal = np.stack([np.sin(time * (0.05 + 0.03 * c)) for c in range(channels)])
    heat = np.exp(-(((time - length / 4) / 10) ** 2))
    return signal, heat


@pytest.mark.parametrize("length", [1, 2, 24, 200, 50_000])
@pytest.mark.parametrize("channels", [1, 3, 60])
def test_everything_lies_inside(channels: int, length: int) -> None:
    root = ET.fromstring(signal_svg(*example(channels, length)))
    height = float(root.get("height"))
    lines = root.findall(f"{SVG}polyline")
    assert float(root.get("width")) == WIDTH and len(lines) == channels
    for line in lines:
        points = np.array([p.split(",") for p in line.get("points").split()], float)
        assert (points >= 0).all() and (points <= [WIDTH, height]).all()
        assert len(points) <= 2 * WIDTH
    assert signal_image(*example(channels, length)).size == (2 * WIDTH, 2 * height)


def test_the_heat_is_where_it_is_said_to_be() -> None:
    root = ET.fromstring(signal_svg(*example()))
    bars = [rect for rect in root.findall(f"{SVG}rect") if rect.get("fill-opacity")]
    strongest = max(bars, key=lambda rect: float(rect.get("fill-opacity")))
    assert float(strongest.get("x")) == pytest.approx(WIDTH / 4, abs=10)
    assert len(bars) < 60
    pixels = np.asarray(signal_image(*example()), int)
    row = pixels[pixels.shape[0] // 3]
    assert abs(row[WIDTH // 2] - 255).sum() > 60 and (row[-200:-100].sum(1) > 600).all()


def test_a_short_peak_among_many_samples_is_drawn() -> None:
    signal, heat = np.zeros((1, 100_000)), np.zeros(100_000)
    signal[0, 70_000], heat[70_000] = 1, 1
    root = ET.fromstring(signal_svg(signal, heat))
    points = root.find(f"{SVG}polyline").get("points").split()
    ys = [float(point.split(",")[1]) for point in points]
    assert max(ys) - min(ys) > 80
    assert len([r for r in root.findall(f"{SVG}rect") if r.get("fill-opacity")]) == 1


def test_times_and_names_are_written_and_escaped() -> None:
    svg = signal_svg(*example(2, 101), rate=50, channels=("x<y", "z"))
    texts = [element.text for element in ET.fromstring(svg).findall(f"{SVG}text")]
    assert texts == ["x<y", "z", "0 s", "0.5 s", "1 s", "1.5 s", "2 s"]


@pytest.mark.parametrize(
    ("signal", "heat", "said"),
    [
        (np.zeros((1, 5)), np.zeros(4), r"heat of \(4,\) for a signal of \(1, 5\)"),
        (np.zeros((1, 5)), np.full(5, 2.0), "heat from 2 to 2"),
        (np.full((1, 5), np.nan), np.zeros(5), "not finite"),
        (np.zeros((0, 5)), np.zeros(5), "for a signal of"),
    ],
)
def test_what_cannot_be_drawn(signal: np.ndarray, heat: np.ndarray, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        signal_svg(signal, heat)
    with pytest.raises(ArgumentError, match="2 names"):
        signal_svg(np.zeros((1, 5)), np.zeros(5), channels=("a", "b"))
